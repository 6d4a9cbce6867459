"""ONNX into TensorFlow: the file's weights into the network of the same specification.

    predict = import_onnx(Path("vgg_m-caffe2.onnx"), spec)
    logits = predict(spectrograms)
"""
from __future__ import annotations

import functools
from pathlib import Path
from typing import Callable

import numpy as np

from common.network.layers import NetworkSpec
from common.network.onnx_file import read_parameters
from common.network.optimizer import SGD
from common.twin import predict_on
from tf_impl.model import Model


def import_onnx(path: Path, spec: NetworkSpec) -> Callable[[np.ndarray], np.ndarray]:
    """A function from spectrograms (N, 512, frames) to logits (N, num_speakers).

    TensorFlow has no ONNX backend that is kept up, so the graph is not run but its weights are;
    the export must hold them by their canonical names, as Caffe2's does.
    """
    model = Model(spec, read_parameters(path, spec), SGD())
    return functools.partial(predict_on, model)
