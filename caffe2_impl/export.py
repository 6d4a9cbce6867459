"""Export a saved model to ONNX with Caffe2's exporter.

    python -m caffe2_impl.export runs/first/best.npz speaker.onnx
"""
import sys

from caffe2_impl import load
from common.commands import export
from common.errors import friendly

main = friendly(export.run, "python -m caffe2_impl.export", load)

if __name__ == "__main__":
    sys.exit(main())
