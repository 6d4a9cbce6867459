"""Evaluate a saved model by ONNX Runtime alone.

    python -m common.evaluate speaker.onnx part-7.bin
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import evaluate
from common.errors import friendly

main = friendly(partial(evaluate.run, "python -m common.evaluate", None))

if __name__ == "__main__":
    sys.exit(main())
