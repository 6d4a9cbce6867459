"""Evaluate a saved model in Caffe2.

    python -m caffe2_impl.evaluate runs/first/best.npz part-7.bin
"""
from __future__ import annotations

import sys
from functools import partial

from caffe2_impl import load
from common.commands import evaluate
from common.errors import friendly

main = friendly(partial(evaluate.run, "python -m caffe2_impl.evaluate", load))

if __name__ == "__main__":
    sys.exit(main())
