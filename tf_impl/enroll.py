"""Enroll voices in a gallery in TensorFlow.

    python -m tf_impl.enroll runs/first Ada ada-1.wav ada-2.wav --gallery voices.npz
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.commands import enroll
from common.errors import friendly
from tf_impl import load


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return enroll.run("python -m tf_impl.enroll", load, argv)


if __name__ == "__main__":
    sys.exit(main())
