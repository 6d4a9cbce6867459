"""Say who speaks in a recording in TensorFlow.

    python -m tf_impl.identify runs/first/best.npz hello.wav
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.commands import identify
from common.errors import friendly
from tf_impl import load


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return identify.run("python -m tf_impl.identify", load, argv)


if __name__ == "__main__":
    sys.exit(main())
