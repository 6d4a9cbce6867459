"""Train in TensorFlow.

    python -m tf_impl.train --data DATA --network tdnn --epochs 10 --out runs/first
"""
import sys

from common.commands import train
from common.errors import friendly
from tf_impl import load

main = friendly(train.run, "python -m tf_impl.train", load)

if __name__ == "__main__":
    sys.exit(main())
