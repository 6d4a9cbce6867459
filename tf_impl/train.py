"""Train in TensorFlow.

    python -m tf_impl.train --data DATA --network tdnn --epochs 10 --out runs/first
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import train
from common.errors import friendly
from tf_impl import load

main = friendly(partial(train.run, "python -m tf_impl.train", load))

if __name__ == "__main__":
    sys.exit(main())
