"""Export a saved model to ONNX with TensorFlow's exporter.

    python -m tf_impl.export runs/first/best.npz speaker.onnx
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import export
from common.errors import friendly
from tf_impl import load

main = friendly(partial(export.run, "python -m tf_impl.export", load))

if __name__ == "__main__":
    sys.exit(main())
