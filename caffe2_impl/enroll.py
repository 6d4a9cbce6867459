"""Enroll voices in a gallery in Caffe2.

    python -m caffe2_impl.enroll runs/first Ada ada-1.wav ada-2.wav --gallery voices.npz
"""
import sys

from caffe2_impl import load
from common.commands import enroll
from common.errors import friendly

main = friendly(enroll.run, "python -m caffe2_impl.enroll", load)

if __name__ == "__main__":
    sys.exit(main())
