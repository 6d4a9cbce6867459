"""Evaluate a saved model in TensorFlow.

    python -m tf_impl.evaluate runs/first/best.npz part-7.bin
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import evaluate
from common.errors import friendly
from tf_impl import load

main = friendly(partial(evaluate.run, "python -m tf_impl.evaluate", load))

if __name__ == "__main__":
    sys.exit(main())
