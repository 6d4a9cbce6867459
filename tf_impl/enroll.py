"""Enroll voices in a gallery in TensorFlow.

    python -m tf_impl.enroll runs/first Ada ada-1.wav ada-2.wav --gallery voices.npz
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import enroll
from common.errors import friendly
from tf_impl import load

main = friendly(partial(enroll.run, "python -m tf_impl.enroll", load))

if __name__ == "__main__":
    sys.exit(main())
