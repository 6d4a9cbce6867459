"""Builds each layer type of `common.network.layers` out of Caffe2 operators.

Where maps are while they are worked on: `caffe2_impl.construction`.
"""
from __future__ import annotations

from typing import Callable, Dict, List

import numpy as np
from caffe2.proto import caffe2_pb2
from caffe2.python import core, utils

from caffe2_impl import winograd
from caffe2_impl.construction import Construction, Correction, to_cpu, to_home, to_planes, to_rows
from common.data.form import NUM_BINS
from common.errors import UserError
from common.network.layers import (
    AveragePool,
    BatchNorm,
    BinsAsChannels,
    Convolution,
    Dense,
    Layer,
    MaxPool,
    NetworkSpec,
    Relu,
    StatisticsPool,
)

_FUSED_RELU = 1  # Caffe2's FUSION_CONV_RELU


def forward(network: Construction, spec: NetworkSpec, spectrograms: str) -> str:
    """Append every layer of `spec`; `spectrograms` is a blob (N, 1, 512, frames) on the CPU or GPU.

    Returns the blob of the logits, which are on the CPU unless the network runs on CUDA.
    """
    x = spectrograms
    if network.home.device_type == caffe2_pb2.CUDA:
        network.device = network.home
    for step in spec.steps():
        layer, network.channels = step.layer, step.input_shape[0]
        x = BUILDERS[type(layer)](layer, x, network)
        network.outputs[layer.name], network.layer = x, layer.name
        network.sizes[x] = step.output_shape
        if network.layout == "NHWC" and not network.flat:
            network.channels_last.add(layer.name)
    return x


def _bins_as_channels(layer: BinsAsChannels, x: str, network: Construction) -> str:
    # (N, 1, bins, frames) -> (N, bins, 1, frames): the same numbers in the same order.
    return network.add("Reshape", [x], [network.blob(layer.name), network.blob(f"{layer.name}_old_shape")],
                       shape=[0, NUM_BINS, 1, -1])


def _convolution(layer: Convolution, x: str, network: Construction) -> str:
    first = not network.devices  # nobody asks for the spectrogram's gradient
    if layer.name in network.plan:
        return _winograd(layer, to_rows(network, x), network, input_gradient=not first)
    x = to_home(network, x)
    (top, bottom), (left, right) = layer.pads
    if network.on_ideep and layer.padding_after not in (None, layer.padding):
        raise UserError(f"{layer.name}: Caffe2's oneDNN convolutions cannot pad one side more than "
                        "the other")
    arguments: Dict[str, object] = dict(
        kernels=list(layer.kernel), strides=list(layer.stride), dilations=list(layer.dilation),
        pads=[top, left, bottom, right], order="NCHW")
    if network.training and network.on_ideep:
        arguments["training_mode"] = 1
    if network.training and first:
        arguments["no_gradient_to_input"] = 1
    inputs = [x, *_weight_and_bias(layer, network)]
    return network.add("Conv", inputs, [network.blob(layer.name)], **arguments)


def _winograd(layer: Convolution, x: str, network: Construction, input_gradient: bool) -> str:
    inputs, y = [x, *_weight_and_bias(layer, network)], network.blob(layer.name)
    place = network.places[layer.name] = winograd.Place(layer, network.plan[layer.name], network.channels, network.scope)
    if network.training:  # `winograd.expand` follows the gradients
        network.net.Proto().op.extend([winograd.operator(place, inputs, y, input_gradient)])
    else:
        of_weight, product = winograd.parts(place, inputs, y, training=False)
        network.preparation.extend(of_weight)
        network.net.Proto().op.extend(product)
    return y


def _weight_and_bias(layer: Convolution, network: Construction) -> List[str]:
    return [network.parameter(f"{layer.name}/{role}") for role in ("weight", "bias")]


def _batch_norm(layer: BatchNorm, x: str, network: Construction) -> str:
    scale, shift, mean, variance = (
        network.parameter(f"{layer.name}/{role}")
        for role in ("scale", "shift", "running_mean", "running_variance"))
    y = network.blob(layer.name)
    inputs = [x, scale, shift, mean, variance]
    arguments = dict(epsilon=layer.epsilon, order="NCHW" if network.flat else network.layout)
    if not network.training:
        return network.add("SpatialBN", inputs, [y], is_test=1, **arguments)
    batch_mean, batch_variance = y + "_batch_mean", y + "_batch_variance"
    outputs = [y, mean, variance, batch_mean, batch_variance]
    if network.flat:  # its gradient wants positions: (N, features) -> (N, features, 1, 1) and back
        inputs[0] = network.add("ExpandDims", [x], [y + "_input_4d"], dims=[2, 3])
        outputs[0] = y + "_4d"
    network.add("SpatialBN", inputs, outputs, is_test=0, momentum=layer.decay, **arguments)
    if network.on_ideep:
        network.corrections.append(Correction(layer, variance, batch_variance, y + "_correction"))
    return network.add("Squeeze", [y + "_4d"], [y], dims=[2, 3]) if network.flat else y


def _relu(layer: Relu, x: str, network: Construction) -> str:
    y = network.blob(layer.name)
    before = network.net.Proto().op[-1]
    if network.on_ideep and not network.training and before.type == "Conv":
        # oneDNN applies it while it writes the convolution's output: one pass over memory less.
        before.type, before.output[0] = "ConvFusion", y
        before.arg.extend([utils.MakeArgument("fusion_type", _FUSED_RELU)])
        return y
    return network.add("Relu", [x], [y])


def _max_pool(layer: MaxPool, x: str, network: Construction) -> str:
    return network.add("MaxPool", [x], [network.blob(layer.name)], kernels=list(layer.kernel),
                       strides=list(layer.stride), order=network.layout)


def _average_pool(layer: AveragePool, x: str, network: Construction) -> str:
    y = network.blob(layer.name)
    return _flatten(network, _mean(network, _last_map(network, x), y + "_4d"), y)


def _last_map(network: Construction, x: str) -> str:
    """What is pooled over all positions, in NCHW on the CPU or GPU."""
    x = to_cpu(network, x)
    if network.layout == "NHWC" and not network.training:
        # Its sizes may say otherwise, see `to_cpu`; where its positions lie does not matter here.
        x = network.add("Reshape", [x], [x, x + "_old_shape"], shape=[0, -1, 1, network.channels])
    return to_planes(network, x)


def _mean(network: Construction, x: str, y: str) -> str:
    """Over all positions: (N, channels, 1, 1). ReduceMean's gradient takes ten times as long."""
    return network.add("AveragePool", [x], [y], global_pooling=1, order="NCHW")


def _statistics_pool(layer: StatisticsPool, x: str, network: Construction) -> str:
    y = network.blob(layer.name)
    x = _last_map(network, x)
    # Two passes: mean first, then the mean of squared differences, as E[x^2] - E[x]^2 cancels.
    mean = _mean(network, x, y + "_mean")
    centred = network.add("Sub", [x, mean], [y + "_centred"])
    squared = network.add("Mul", [centred, centred], [y + "_squared"])
    variance = _mean(network, squared, y + "_variance")
    shifted = network.add("Add", [variance, network.blob(f"{layer.name}/epsilon")], [y + "_shifted"])
    deviation = network.add("Sqrt", [shifted], [y + "_deviation"])
    both = network.add("Concat", [mean, deviation], [y + "_4d", y + "_sizes"], axis=1)
    return _flatten(network, both, y)


def _flatten(network: Construction, x: str, y: str) -> str:
    network.flat = True
    return network.add("Squeeze", [x], [y], dims=[2, 3])  # (N, channels, 1, 1) -> (N, channels)


def _dense(layer: Dense, x: str, network: Construction) -> str:
    inputs = [x, *(network.parameter(f"{layer.name}/{role}") for role in ("weight", "bias"))]
    return network.add("FC", inputs, [network.blob(layer.name)])


BUILDERS: Dict[type, Callable[[Layer, str, Construction], str]] = {
    BinsAsChannels: _bins_as_channels,
    Convolution: _convolution,
    BatchNorm: _batch_norm,
    Relu: _relu,
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    StatisticsPool: _statistics_pool,
    Dense: _dense,
}


def loss(network: Construction, spec: NetworkSpec, speakers: str) -> str:
    """Append the mean cross entropy of what `forward` appended, and the accuracy; returns the loss's blob."""
    logits, probabilities = network.outputs[spec.layers[-1].name], network.blob("probabilities")
    smoothed = spec.label_smoothing > 0
    network.add("SoftmaxWithLoss", [logits, _targets(network, spec, speakers) if smoothed else speakers],
                [probabilities, network.blob("loss")], label_prob=int(smoothed))
    network.add("Accuracy", [probabilities, speakers], [network.blob("accuracy")])
    return network.blob("loss")


def _targets(network: Construction, spec: NetworkSpec, speakers: str) -> str:
    """(N, num_speakers) targets of the speakers.

    Where nothing is smoothed the loss takes the speakers themselves: of targets it takes no logarithm below 1e-20.
    """
    numbers, right, targets = map(network.blob, ("numbers", "right", "targets"))
    network.add("Cast", [speakers], [numbers], to=core.DataType.INT64)
    network.add("OneHot", [numbers, network.blob("num_speakers")], [right])
    network.add("Cast", [right], [targets], to=core.DataType.FLOAT)
    network.add("Scale", [targets], [targets], scale=spec.own_target - spec.other_target)
    return network.add("Add", [targets, network.blob("other_target")], [targets], broadcast=1)


def constants(spec: NetworkSpec) -> Dict[str, np.ndarray]:
    """Blobs that a network needs besides its parameters."""
    return {f"{layer.name}/epsilon": np.full(1, layer.epsilon, np.float32)
            for layer in spec.layers if isinstance(layer, StatisticsPool)}


def loss_constants(spec: NetworkSpec) -> Dict[str, np.ndarray]:
    """Blobs that the targets of a loss are made of."""
    return {"num_speakers": np.array([spec.num_speakers], np.int64),
            "other_target": np.array([spec.other_target], np.float32)}
