"""Evaluate a saved model by ONNX Runtime alone.

    python -m common.evaluate speaker.onnx part-7.bin
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.commands import evaluate
from common.errors import friendly


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return evaluate.run("python -m common.evaluate", None, argv)


if __name__ == "__main__":
    sys.exit(main())
