"""TensorFlow's way to ONNX: tf2onnx on the testing network.

Called through `Model.export_onnx`.
"""
from __future__ import annotations

import contextlib
import os
import re
import tempfile
from typing import Iterator

import onnx
import tensorflow as tf
import tf2onnx

from common.data.form import NUM_BINS
from common.network.layers import INPUT, NetworkSpec
from common.network.params import Params
from common.network.winograd import DIRECT
from tf_impl import layers
from tf_impl.construction import to_framework

# What TensorFlow's optimiser of graphs writes past every switch: absl's notice, and its INFO lines.
_CHATTER = re.compile(rb"WARNING: All log messages before absl::InitializeLog|I\d{4} \d\d:\d\d:")
OPSET = 9  # what Caffe2's exporter writes, and the newest whose every operator its backend reads


def export(spec: NetworkSpec, params: Params) -> onnx.ModelProto:
    """`spec` with its weights as the exporter makes it, for `common.network.onnx_file.save` to mend."""

    def network(spectrograms: tf.Tensor) -> tf.Tensor:
        # From the canonical layout, which tf2onnx turns them back to: what is exported is the same in both twins' hands.
        # Constants of the graph: a tensor from outside would become an input of the ONNX file.
        constants = {name: tf.constant(to_framework(value))
                     for name, value in params.items()}
        outputs, _ = layers.forward(spec, DIRECT, spectrograms, constants, training=False, tables={})
        return outputs[spec.layers[-1].name]

    signature = (tf.TensorSpec((None, NUM_BINS, None), tf.float32, name=INPUT),)
    with _without_chatter():
        exported, _ = tf2onnx.convert.from_function(tf.function(network, signature, autograph=False), signature,
                                                    opset=OPSET)
    return exported


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back what the process's standard error gets from compiled code, and let through all but chatter."""
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not _CHATTER.match(line):
                    os.write(2, line)
