"""Enroll voices in a gallery by ONNX Runtime alone.

    python -m common.enroll speaker.onnx Ada ada-1.wav ada-2.wav --gallery voices.npz
"""
import sys

from common.commands import enroll
from common.errors import friendly

main = friendly(enroll.run, "python -m common.enroll", None)

if __name__ == "__main__":
    sys.exit(main())
