"""The networks in TensorFlow: the twin of `caffe2_impl`, file by file."""
from __future__ import annotations

import logging
import os

from common.errors import unbroken
from common.twin import Twin

# Keras, which TensorFlow imports, as it comes, however its owner has set it up: it reads these and keras.json on import.
for _name in [name for name in os.environ if name.startswith("KERAS_")]:
    del os.environ[_name]
os.environ.update(KERAS_BACKEND="tensorflow", KERAS_HOME=os.devnull)  # no folder, so it holds no keras.json


def load() -> Twin:
    """Import TensorFlow and return this implementation; takes seconds."""
    # Before the first import: start-up chatter off the terminal (failures still raise).
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # By itself TensorFlow takes oneDNN only on processors with AVX512_VNNI, BF16 or AMX; where there
    # is AVX2 alone it makes training up to 2.7 times as fast. 0 turns it off.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # TensorFlow takes several models in one process for one that is built again by mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with unbroken():
        from tf_impl import feeding, from_onnx, model, profile, runtime

    return Twin("tf_impl", "TensorFlow", runtime.configure, model.Model, feeding.staged,
                from_onnx.import_onnx, runtime.about, profile.profile, runtime.matmul)
