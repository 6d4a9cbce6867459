"""Enroll voices in a gallery in TensorFlow.

    python -m tf_impl.enroll runs/first Ada ada-1.wav ada-2.wav --gallery voices.npz
"""
import sys

from common.commands import enroll
from common.errors import friendly
from tf_impl import load

main = friendly(enroll.run, "python -m tf_impl.enroll", load)

if __name__ == "__main__":
    sys.exit(main())
