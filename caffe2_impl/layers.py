"""Builds each layer type of `common.network.layers` out of Caffe2 operators.

Feature maps are NCHW, (N, channels, height = frequency, width = time), which is the canonical
layout: nothing is transposed on the way in or out. With IDEEP the convolutional part of a network
runs on oneDNN; from the layer that pools over all positions on, the tensors are small and the rest
runs on Caffe2's CPU operators.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List

import numpy as np
from caffe2.proto import caffe2_pb2
from caffe2.python import core, utils

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

_FUSED_RELU = 1  # Caffe2's FUSION_CONV_RELU


@dataclass
class Network:
    """A Caffe2 net under construction and what later parts need to know about it."""

    net: core.Net
    device: caffe2_pb2.DeviceOption  # where the next layer runs
    training: bool
    flat: bool = False  # whether the next layer's input is (N, features)
    scope: str = ""  # prefix of every blob
    outputs: Dict[str, str] = field(default_factory=dict)  # layer name -> blob
    devices: Dict[str, caffe2_pb2.DeviceOption] = field(default_factory=dict)  # parameter ->
    corrections: List["Correction"] = field(default_factory=list)

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


def forward(network: Network, spec: NetworkSpec, spectrograms: str) -> str:
    """Append every layer of `spec`; `spectrograms` is a blob (N, 1, 512, frames) on the CPU or GPU.

    Returns the blob of the logits, which are on the CPU unless the network runs on CUDA.
    """
    x = spectrograms
    if network.on_ideep:
        x = network.add("CopyCPUToIDEEP", [x], [network.blob("spectrograms_ideep")])
    for layer in spec.layers:
        x = BUILDERS[type(layer)](layer, x, network)
        network.outputs[layer.name] = x
    return x


def declare_inputs(net: core.Net) -> None:
    """List every blob that `net` reads before it writes as an external input, as Caffe2 demands."""
    written = set()
    proto = net.Proto()
    wanted: Dict[str, None] = {}  # a set that keeps its order
    for operator in proto.op:
        wanted.update((blob, None) for blob in operator.input if blob not in written)
        written.update(operator.output)
    proto.external_input[:] = list(wanted)


def to_cpu(network: Network, x: str) -> str:
    """Leave IDEEP: the layers that follow run on Caffe2's CPU operators."""
    if network.on_ideep:
        if not network.training:
            # Convolutions that are not training leave NHWC behind, which the copy would keep.
            x = network.add("NHWC2NCHW", [x], [x + "_nchw"])
        x = network.add("CopyIDEEPToCPU", [x], [x + "_cpu"])
        network.device = CPU
    return x


def _bins_as_channels(layer: BinsAsChannels, x: str, network: Network) -> str:
    # (N, 1, bins, frames) -> (N, bins, 1, frames): the same numbers in the same order. What was
    # copied to IDEEP may change its shape in place; the staged input has to keep it.
    y = x if network.on_ideep else network.blob(layer.name)
    return network.add("Reshape", [x], [y, network.blob(f"{layer.name}_old_shape")],
                       shape=[0, NUM_BINS, 1, -1])


def _convolution(layer: Convolution, x: str, network: Network) -> str:
    (top, bottom), (left, right) = layer.pads
    if network.on_ideep and layer.padding_after not in (None, layer.padding):
        raise UserError(f"{layer.name}: Caffe2's oneDNN convolutions cannot pad one side more than "
                        "the other")
    first = not network.devices
    arguments: Dict[str, object] = dict(
        kernels=list(layer.kernel), strides=list(layer.stride), dilations=list(layer.dilation),
        pads=[top, left, bottom, right], order="NCHW")
    if network.training and network.on_ideep:
        arguments["training_mode"] = 1
    if network.training and first:
        arguments["no_gradient_to_input"] = 1  # nobody asks for the spectrogram's gradient
    inputs = [x, *(network.parameter(f"{layer.name}/{role}") for role in ("weight", "bias"))]
    return network.add("Conv", inputs, [network.blob(layer.name)], **arguments)


def _batch_norm(layer: BatchNorm, x: str, network: Network) -> str:
    scale, shift, mean, variance = (
        network.parameter(f"{layer.name}/{role}")
        for role in ("scale", "shift", "running_mean", "running_variance"))
    y = network.blob(layer.name)
    inputs, arguments = [x, scale, shift, mean, variance], dict(epsilon=layer.epsilon, order="NCHW")
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
                       strides=list(layer.stride), order="NCHW")


def _average_pool(layer: AveragePool, x: str, network: Network) -> str:
    y = network.blob(layer.name)
    return _flatten(network, _mean(network, to_cpu(network, x), y + "_4d"), y)


def _mean(network: Network, x: str, y: str) -> str:
    """Over all positions: (N, channels, 1, 1). ReduceMean's gradient takes ten times as long."""
    return network.add("AveragePool", [x], [y], global_pooling=1, order="NCHW")


def _statistics_pool(layer: StatisticsPool, x: str, network: Network) -> str:
    y = network.blob(layer.name)
    x = to_cpu(network, x)
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
