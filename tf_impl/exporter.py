"""TensorFlow's way to ONNX: tf2onnx on the testing network.

Called through `Model.export_onnx`.
"""
from __future__ import annotations

from pathlib import Path

import tensorflow as tf
import tf2onnx

from common.network import onnx_file
from common.network.layers import NetworkSpec
from common.network.params import Params
from common.network.winograd import DIRECT
from tf_impl import layers
from tf_impl.network import to_framework

OPSET = 9  # what Caffe2's exporter writes, and the newest whose every operator its backend reads


def export_onnx(spec: NetworkSpec, params: Params, path: Path) -> None:
    """Write `spec` with its weights as an ONNX file; see `common.twin.Model.export_onnx`."""

    def network(spectrograms: tf.Tensor) -> tf.Tensor:
        # Constants of the graph: a tensor from outside would become an input of the ONNX file.
        constants = {name: tf.constant(to_framework(name, value))
                     for name, value in params.items()}
        outputs, _ = layers.forward(spec, DIRECT, spectrograms, constants, training=False, tables={})
        return outputs[spec.layers[-1].name]

    signature = (tf.TensorSpec((None, 512, None), tf.float32, name="spectrograms"),)
    model, _ = tf2onnx.convert.from_function(tf.function(network, signature, autograph=False), signature,
                                             opset=OPSET)
    onnx_file.save(model, path)
