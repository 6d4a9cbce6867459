"""Say whether recordings are by an enrolled voice by ONNX Runtime alone.

    python -m common.verify speaker.onnx --gallery voices.npz hello.wav
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.commands import verify
from common.errors import friendly


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return verify.run("python -m common.verify", None, argv)


if __name__ == "__main__":
    sys.exit(main())
