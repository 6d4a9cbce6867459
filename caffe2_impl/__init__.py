"""The networks in Caffe2: the twin of `tf_impl`, file by file."""
from __future__ import annotations

from common.twin import Twin


def load() -> Twin:
    """Import Caffe2 and return this implementation."""
    from caffe2_impl import feeding, importer, matmul, model, profile, runtime

    return Twin("caffe2_impl", "Caffe2", runtime.configure, model.Model, feeding.staged,
                importer.import_onnx, runtime.about, profile.profile, matmul.matmul)
