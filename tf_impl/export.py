"""Export a saved model to ONNX with TensorFlow's exporter.

    python -m tf_impl.export runs/first/best.npz speaker.onnx
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.commands import export
from common.errors import friendly
from tf_impl import load


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return export.run("python -m tf_impl.export", load, argv)


if __name__ == "__main__":
    sys.exit(main())
