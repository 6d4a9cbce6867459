"""Export a saved model to ONNX with Caffe2's exporter.

    python -m caffe2_impl.export runs/first/best.npz speaker.onnx
"""
from __future__ import annotations

import sys
from typing import List, Optional

from caffe2_impl import load
from common.commands import export
from common.errors import friendly


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return export.run("python -m caffe2_impl.export", load, argv)


if __name__ == "__main__":
    sys.exit(main())
