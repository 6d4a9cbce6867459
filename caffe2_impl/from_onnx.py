"""ONNX into Caffe2: its own ONNX backend runs the file.

    predict = import_onnx(Path("vgg_m-tensorflow.onnx"), spec)
    logits = predict(spectrograms)
"""
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Callable

import numpy as np
import onnx
from caffe2.python.onnx import backend

from common.network.layers import INPUT, NetworkSpec


def import_onnx(path: Path, spec: NetworkSpec) -> Callable[[np.ndarray], np.ndarray]:
    """A function from spectrograms (N, 512, frames) to logits (N, num_speakers)."""
    model = onnx.load(str(path))
    # Caffe2's backend is of the time when every weight was an input with a default value.
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in model.graph.initializer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ONNX modules that were split off since
        prepared = backend.prepare(model)

    def predict(spectrograms: np.ndarray) -> np.ndarray:
        return np.asarray(prepared.run({INPUT: np.ascontiguousarray(spectrograms)})[0])

    return predict
