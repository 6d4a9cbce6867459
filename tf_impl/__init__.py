"""The networks in TensorFlow: the twin of `caffe2_impl`, file by file."""
from __future__ import annotations

from common.twin import Twin


def load() -> Twin:
    """Import TensorFlow and return this implementation; takes seconds."""
    from tf_impl import feeding, model, runtime

    return Twin("tf_impl", "TensorFlow", runtime.configure, model.Model, feeding.staged,
                runtime.about)
