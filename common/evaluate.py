"""Evaluate a saved model by ONNX Runtime alone.

    python -m common.evaluate speaker.onnx part-7.bin
"""
import sys

from common.commands import evaluate
from common.errors import friendly

main = friendly(evaluate.run, "python -m common.evaluate", None)

if __name__ == "__main__":
    sys.exit(main())
