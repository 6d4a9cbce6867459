"""Say who speaks in a recording in Caffe2.

    python -m caffe2_impl.identify runs/first/best.npz hello.wav
"""
import sys

from caffe2_impl import load
from common.commands import identify
from common.errors import friendly

main = friendly(identify.run, "python -m caffe2_impl.identify", load)

if __name__ == "__main__":
    sys.exit(main())
