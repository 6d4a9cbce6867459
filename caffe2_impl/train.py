"""Train in Caffe2.

    python -m caffe2_impl.train --data DATA --network tdnn --epochs 10 --out runs/first
"""
from __future__ import annotations

import sys
from functools import partial

from caffe2_impl import load
from common.commands import train
from common.errors import friendly

main = friendly(partial(train.run, "python -m caffe2_impl.train", load))

if __name__ == "__main__":
    sys.exit(main())
