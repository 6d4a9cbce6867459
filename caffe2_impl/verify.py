"""Say whether recordings are by an enrolled voice in Caffe2.

    python -m caffe2_impl.verify runs/first --gallery voices.npz hello.wav
"""
import sys

from caffe2_impl import load
from common.commands import verify
from common.errors import friendly

main = friendly(verify.run, "python -m caffe2_impl.verify", load)

if __name__ == "__main__":
    sys.exit(main())
