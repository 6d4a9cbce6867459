"""Evaluate a saved model in TensorFlow.

    python -m tf_impl.evaluate runs/first/best.npz part-7.bin
"""
import sys

from common.commands import evaluate
from common.errors import friendly
from tf_impl import load

main = friendly(evaluate.run, "python -m tf_impl.evaluate", load)

if __name__ == "__main__":
    sys.exit(main())
