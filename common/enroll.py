"""Enroll voices in a gallery by ONNX Runtime alone.

    python -m common.enroll speaker.onnx Ada ada-1.wav ada-2.wav --gallery voices.npz
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.commands import enroll
from common.errors import friendly


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return enroll.run("python -m common.enroll", None, argv)


if __name__ == "__main__":
    sys.exit(main())
