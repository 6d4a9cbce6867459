"""Builds each layer type of `common.network.layers` out of Caffe2 operators.

Feature maps are NCHW, (N, channels, height = frequency, width = time), which is the canonical layout,
and on IDEEP: oneDNN's kernels, in layouts of their own. Around convolutions that `caffe2_impl.winograd`
does they are NHWC, on Caffe2's CPU operators. A map goes where its next layer computes; layers without
preference stay where they are. From the layer that pools over all positions on all is flat, on the CPU.
"""
from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Set

import numpy as np
from caffe2.proto import caffe2_pb2
from caffe2.python import core, utils

from caffe2_impl import winograd
from caffe2_impl.runtime import CPU, IDEEP
from common.data.records import NUM_BINS
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
from common.network.winograd import axes as winograd_axes

_FUSED_RELU = 1  # Caffe2's FUSION_CONV_RELU


@dataclass
class Network:
    """A Caffe2 net under construction and what later parts need to know about it."""

    net: core.Net
    home: caffe2_pb2.DeviceOption  # where convolutions run as one operator each
    training: bool
    direct: bool  # whether all of them do
    device: caffe2_pb2.DeviceOption = CPU  # where the next layer runs
    layout: str = "NCHW"  # of its input
    channels: int = 1  # of its input
    flat: bool = False  # whether its input is (N, features)
    scope: str = ""  # prefix of every blob
    outputs: Dict[str, str] = field(default_factory=dict)  # layer name -> blob
    channels_last: Set[str] = field(default_factory=set)  # those whose blob is NHWC
    devices: Dict[str, caffe2_pb2.DeviceOption] = field(default_factory=dict)  # parameter ->
    corrections: List["Correction"] = field(default_factory=list)
    # When testing: what depends on parameters alone, to be run once for new ones.
    preparation: List[caffe2_pb2.OperatorDef] = field(default_factory=list)

    def blob(self, name: str) -> str:
        return self.scope + name

    def parameter(self, name: str) -> str:
        self.devices[name] = self.device
        return self.blob(name)

    def add(self, operator: str, inputs: List[str], outputs: List[str], **arguments: object) -> str:
        """Append an operator on the current device; returns its first output.

        Through CreateOperator, because the copies between IDEEP and CPU exist in C++ only and
        `net.Operator()` does not know them.
        """
        self.net.Proto().op.extend([core.CreateOperator(
            operator, inputs, outputs, device_option=self.device, **arguments)])
        return outputs[0]

    @property
    def on_ideep(self) -> bool:
        return self.device.device_type == caffe2_pb2.IDEEP


@dataclass(frozen=True)
class Correction:
    """IDEEP averages the biased variance; `running += share / (n - 1) * batch variance` mends it."""

    layer: BatchNorm
    running: str
    batch: str
    factor: str  # blob that holds share / (n - 1), n = values per channel in a batch


@core.GradientRegistry.RegisterGradient("CopyIDEEPToCPU")
def _copy_gradient(operator: caffe2_pb2.OperatorDef, gradients: List[str]):
    """Caffe2 knows no gradient for this copy; it is the copy the other way."""
    gradient = operator.input[0] + "_grad"
    return [core.CreateOperator("CopyCPUToIDEEP", [gradients[0]], [gradient],
                                device_option=IDEEP)], [gradient]


@core.GradientRegistry.RegisterGradient("CopyCPUToIDEEP")
def _copy_back_gradient(operator: caffe2_pb2.OperatorDef, gradients: List[str]):
    gradient = operator.input[0] + "_grad"
    return [core.CreateOperator("CopyIDEEPToCPU", [gradients[0]], [gradient],
                                device_option=IDEEP)], [gradient]


def forward(network: Network, spec: NetworkSpec, spectrograms: str) -> str:
    """Append every layer of `spec`; `spectrograms` is a blob (N, 1, 512, frames) on the CPU or GPU.

    Returns the blob of the logits, which are on the CPU unless the network runs on CUDA.
    """
    x = spectrograms
    if network.home.device_type == caffe2_pb2.CUDA:
        network.device = network.home
    for step in spec.steps():
        layer, network.channels = step.layer, step.input_shape[0]
        x = BUILDERS[type(layer)](layer, x, network)
        network.outputs[layer.name] = x
        if network.layout == "NHWC" and not network.flat:
            network.channels_last.add(layer.name)
    return x


def finish(net: core.Net) -> None:
    """Make of a net what Caffe2 runs, gradients being there."""
    winograd.expand(net.Proto())
    operators = [caffe2_pb2.OperatorDef.FromString(op.SerializeToString()) for op in net.Proto().op]
    del net.Proto().op[:]
    net.Proto().op.extend(itertools.chain.from_iterable(map(_quick, operators)))
    declare_inputs(net)


def _quick(op: caffe2_pb2.OperatorDef) -> List[caffe2_pb2.OperatorDef]:
    """Operators that take less time than `op`, or `op` itself.

    A ReLU's output is 0 or more: its sign times the gradient is four times as quick on the CPU.
    """
    if op.type != "ReluGradient" or op.device_option.device_type != caffe2_pb2.CPU:
        return [op]
    output, gradient = op.input
    sign = output + "_sign"
    operators = [core.CreateOperator("Sign", [output], [sign], device_option=CPU),
                 core.CreateOperator("Mul", [gradient, sign], list(op.output), device_option=CPU)]
    for operator in operators:
        operator.is_gradient_op = True
    return operators


def declare_inputs(net: core.Net) -> None:
    """List every blob that `net` reads before it writes as an external input, as Caffe2 demands."""
    written = set()
    proto = net.Proto()
    wanted: Dict[str, None] = {}  # a set that keeps its order
    for operator in proto.op:
        wanted.update((blob, None) for blob in operator.input if blob not in written)
        written.update(operator.output)
    proto.external_input[:] = list(wanted)


def to_rows(network: Network, x: str) -> str:
    """Bring a map to the CPU in NHWC, for `caffe2_impl.winograd`, which does not look at its sizes."""
    x = to_cpu(network, x)
    if network.layout == "NCHW":
        network.layout = "NHWC"
        x = network.add("NCHW2NHWC", [x], [x + "_nhwc"])
    return x


def to_planes(network: Network, x: str) -> str:
    """Bring a map to NCHW, where it is."""
    if network.layout == "NHWC":
        network.layout = "NCHW"
        x = network.add("NHWC2NCHW", [x], [x + "_nchw"])
    return x


def to_home(network: Network, x: str) -> str:
    """Bring a map to where convolutions are single operators."""
    x = to_planes(network, x)
    if network.home.device_type == caffe2_pb2.IDEEP and not network.on_ideep:
        network.device = IDEEP
        x = network.add("CopyCPUToIDEEP", [x], [x + "_ideep"])
    return x


def to_cpu(network: Network, x: str) -> str:
    """Leave IDEEP: the layers that follow run on Caffe2's CPU operators."""
    if network.on_ideep:
        x = network.add("CopyIDEEPToCPU", [x], [x + "_cpu"])
        network.device = CPU
        if not network.training:
            # Convolutions that are not training leave NHWC behind, though the blob's sizes say NCHW.
            network.layout = "NHWC"
    return x


def _bins_as_channels(layer: BinsAsChannels, x: str, network: Network) -> str:
    # (N, 1, bins, frames) -> (N, bins, 1, frames): the same numbers in the same order.
    return network.add("Reshape", [x], [network.blob(layer.name), network.blob(f"{layer.name}_old_shape")],
                       shape=[0, NUM_BINS, 1, -1])


def _convolution(layer: Convolution, x: str, network: Network) -> str:
    first = not network.devices  # nobody asks for the spectrogram's gradient
    if not network.direct and winograd_axes(layer, network.channels):
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


def _winograd(layer: Convolution, x: str, network: Network, input_gradient: bool) -> str:
    inputs, y = [x, *_weight_and_bias(layer, network)], network.blob(layer.name)
    operator = winograd.operator(layer, network.channels, inputs, y, network.scope, input_gradient)
    if network.training:
        network.net.Proto().op.extend([operator])  # `winograd.expand` follows the gradients
    else:
        of_weight, product = winograd.parts(operator)
        network.preparation.extend(of_weight)
        network.net.Proto().op.extend(product)
    return y


def _weight_and_bias(layer: Convolution, network: Network) -> List[str]:
    return [network.parameter(f"{layer.name}/{role}") for role in ("weight", "bias")]


def _batch_norm(layer: BatchNorm, x: str, network: Network) -> str:
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


def _relu(layer: Relu, x: str, network: Network) -> str:
    y = network.blob(layer.name)
    before = network.net.Proto().op[-1]
    if network.on_ideep and not network.training and before.type == "Conv":
        # oneDNN applies it while it writes the convolution's output: one pass over memory less.
        before.type, before.output[0] = "ConvFusion", y
        before.arg.extend([utils.MakeArgument("fusion_type", _FUSED_RELU)])
        return y
    return network.add("Relu", [x], [y])


def _max_pool(layer: MaxPool, x: str, network: Network) -> str:
    return network.add("MaxPool", [x], [network.blob(layer.name)], kernels=list(layer.kernel),
                       strides=list(layer.stride), order=network.layout)


def _average_pool(layer: AveragePool, x: str, network: Network) -> str:
    y = network.blob(layer.name)
    return _flatten(network, _mean(network, _last_map(network, x), y + "_4d"), y)


def _last_map(network: Network, x: str) -> str:
    """What is pooled over all positions, in NCHW on the CPU or GPU."""
    x = to_cpu(network, x)
    if network.layout == "NHWC" and not network.training:
        # Its sizes may say otherwise, see `to_cpu`; where its positions lie does not matter here.
        x = network.add("Reshape", [x], [x, x + "_old_shape"], shape=[0, -1, 1, network.channels])
    return to_planes(network, x)


def _mean(network: Network, x: str, y: str) -> str:
    """Over all positions: (N, channels, 1, 1). ReduceMean's gradient takes ten times as long."""
    return network.add("AveragePool", [x], [y], global_pooling=1, order="NCHW")


def _statistics_pool(layer: StatisticsPool, x: str, network: Network) -> str:
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


def _flatten(network: Network, x: str, y: str) -> str:
    network.flat = True
    return network.add("Squeeze", [x], [y], dims=[2, 3])  # (N, channels, 1, 1) -> (N, channels)


def _dense(layer: Dense, x: str, network: Network) -> str:
    inputs = [x, *(network.parameter(f"{layer.name}/{role}") for role in ("weight", "bias"))]
    return network.add("FC", inputs, [network.blob(layer.name)])


BUILDERS: Dict[type, Callable[[Layer, str, Network], str]] = {
    BinsAsChannels: _bins_as_channels,
    Convolution: _convolution,
    BatchNorm: _batch_norm,
    Relu: _relu,
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    StatisticsPool: _statistics_pool,
    Dense: _dense,
}


def constants(spec: NetworkSpec) -> Dict[str, np.ndarray]:
    """Blobs that a network needs besides its parameters."""
    return {f"{layer.name}/epsilon": np.full(1, layer.epsilon, np.float32)
            for layer in spec.layers if isinstance(layer, StatisticsPool)}
