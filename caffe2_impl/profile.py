"""Caffe2's own timing of every operator of a step.

    operators = profile(model, training=True, steps=3)
"""
from __future__ import annotations

from typing import List

from caffe2.proto import caffe2_pb2
from caffe2.python import workspace

from caffe2_impl.model import Model
from common.speed.engine import BACKWARD, FORWARD
from common.speed.profile import COPIES, LOSS, OTHER, UPDATE, layer_of
from common.twin import OpTime

_COPIES = ("CopyCPUToIDEEP", "CopyIDEEPToCPU", "NHWC2NCHW", "NCHW2NHWC", "Copy", "CopyCPUToGPU",
           "CopyGPUToCPU")
_LOSS = ("SoftmaxWithLoss", "SoftmaxWithLossGradient", "Accuracy")


def profile(model: Model, training: bool, steps: int) -> List[OpTime]:
    """Seconds of each operator in a training step at rate 0, or in a prediction; the mean of `steps`."""
    if training:
        model.train_staged(0.0)  # leaves the rate where the net finds it
    else:
        model.predict_staged()
    net = caffe2_pb2.NetDef()
    net.CopyFrom(model.nets[0 if training else 1].Proto())
    # A net of its own: one operator after the other, which is what can be timed.
    net.name, net.type = f"{net.name}_profile", "simple"
    workspace.CreateNet(net, overwrite=True)
    milliseconds = workspace.BenchmarkNet(net.name, 1, steps, True)[1:]  # the first: of the net
    workspace.C.delete_net(net.name)
    phases = _phases(net)
    return [OpTime(operator.type, _row(operator, model), phase, time / 1000)
            for operator, phase, time in zip(net.op, phases, milliseconds)]


def _phases(net: caffe2_pb2.NetDef) -> List[str]:
    """Forward up to the first gradient operator, backward through the last, then the update."""
    gradients = [i for i, operator in enumerate(net.op) if operator.is_gradient_op]
    if not gradients:
        return [FORWARD] * len(net.op)
    return [FORWARD if i < gradients[0] else BACKWARD if i <= gradients[-1] else UPDATE
            for i in range(len(net.op))]


def _row(operator: caffe2_pb2.OperatorDef, model: Model) -> str:
    """The layer an operator works for, by the names of its blobs, or what it does instead."""
    if operator.type in _COPIES:
        return COPIES
    if operator.type in _LOSS:
        return LOSS
    layers = [layer.name for layer in model.spec.layers]
    scope = model.input_blobs[0].split("/")[0]
    # "_model_0/conv1_grad_autosplit_0" -> "conv1_grad_autosplit_0"; folded/ holds the testing net.
    names = [name.lstrip("_").replace(f"{scope}/", "", 1).replace("folded/", "", 1)
             for name in (*operator.input, *operator.output)]
    inputs, outputs = names[:len(operator.input)], names[len(operator.input):]
    # A parameter tells best; then the gradient that a gradient operator is given, which is that of
    # its layer's output; then the output of a forward operator.
    parameters = [name for name in inputs if "/" in name]
    given = [name for name in inputs if "_grad" in name] if operator.is_gradient_op else []
    for name in (*parameters, *given, *outputs):
        layer = layer_of(name, layers)
        if layer:
            return layer
    return OTHER
