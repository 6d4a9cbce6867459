"""Export a saved model to ONNX with TensorFlow's exporter.

    python -m tf_impl.export runs/first/best.npz speaker.onnx
"""
import sys

from common.commands import export
from common.errors import friendly
from tf_impl import load

main = friendly(export.run, "python -m tf_impl.export", load)

if __name__ == "__main__":
    sys.exit(main())
