"""Train in TensorFlow.

    python -m tf_impl.train --data DATA --network tdnn --epochs 10 --out runs/first
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.commands import train
from common.errors import friendly
from tf_impl import load


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return train.run("python -m tf_impl.train", load, argv)


if __name__ == "__main__":
    sys.exit(main())
