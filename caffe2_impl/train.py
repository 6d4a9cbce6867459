"""Train in Caffe2.

    python -m caffe2_impl.train --data DATA --network tdnn --epochs 10 --out runs/first
"""
import sys

from caffe2_impl import load
from common.commands import train
from common.errors import friendly

main = friendly(train.run, "python -m caffe2_impl.train", load)

if __name__ == "__main__":
    sys.exit(main())
