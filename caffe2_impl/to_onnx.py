"""Caffe2's way to ONNX: its own exporter on a testing net made for it.

Called through `Model.export_onnx`.
"""
from __future__ import annotations

import onnx
from caffe2.proto import caffe2_pb2
from caffe2.python import core
from caffe2.python.onnx import frontend

from caffe2_impl import layers, runtime
from caffe2_impl.construction import Construction, declare_inputs
from common.data.form import NUM_BINS, NUM_FRAMES
from common.network.layers import INPUT, OUTPUT, NetworkSpec
from common.network.params import Params
from common.network.winograd import DIRECT


def export(spec: NetworkSpec, params: Params) -> onnx.ModelProto:
    """`spec` with its weights as the exporter makes it, for `common.network.onnx_file.save` to mend.

    The exporter knows neither IDEEP nor training arguments, so it gets a plain CPU net.
    """
    network = Construction(core.Net(spec.name), runtime.CPU, training=False, plan=DIRECT)
    # (N, 512, frames) -> (N, 1, 512, frames)
    x = network.add("Reshape", [INPUT], [f"{INPUT}_4d", "shape_before"], shape=[0, 1, NUM_BINS, -1])
    logits = layers.forward(network, spec, x)
    network.add("Copy", [logits], [OUTPUT])
    declare_inputs(network.net)
    predict = network.net.Proto()
    values = {**params, **layers.constants(spec)}
    predict.external_output[:] = [OUTPUT]
    return frontend.caffe2_net_to_onnx_model(
        predict, _initialisers(values), {INPUT: (onnx.TensorProto.FLOAT, (1, NUM_BINS, NUM_FRAMES))})


def _initialisers(values: Params) -> caffe2_pb2.NetDef:
    net = caffe2_pb2.NetDef()
    net.op.extend(core.CreateOperator("GivenTensorFill", [], [name], shape=value.shape,
                                      values=value.ravel()) for name, value in values.items())
    net.external_output.extend(values)
    return net
