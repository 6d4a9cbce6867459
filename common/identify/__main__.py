"""Say who speaks in recordings, by ONNX Runtime alone.

    python -m common.identify speaker.onnx hello.wav
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.commands import identify
from common.errors import friendly


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return identify.run("python -m common.identify", None, argv)


if __name__ == "__main__":
    sys.exit(main())
