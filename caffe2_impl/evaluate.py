"""Evaluate a saved model in Caffe2.

    python -m caffe2_impl.evaluate runs/first/best.npz part-7.bin
"""
import sys

from caffe2_impl import load
from common.commands import evaluate
from common.errors import friendly

main = friendly(evaluate.run, "python -m caffe2_impl.evaluate", load)

if __name__ == "__main__":
    sys.exit(main())
