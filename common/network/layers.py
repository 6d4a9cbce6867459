"""Layer types as data: what a network is, before any framework builds it.

A layer is a small frozen dataclass; a network is a tuple of them (see `common.network.architectures`). Shapes,
parameters and multiply-accumulates are computed here, once, for both frameworks:

    python -m common.network.architectures            # prints the tables

A feature map of one utterance has the shape (channels, height, width) = (channels, frequency bins,
frames); after a pooling layer over all positions it is (channels,). The network's input is a
spectrogram, (1, 512, frames).
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Dict, List, Optional, Tuple, Union

from common.data.form import NUM_BINS, NUM_FRAMES
from common.errors import UserError

Shape = Tuple[int, ...]
Pair = Tuple[int, int]  # (along frequency, along time)

# What an ONNX file calls a network's ends: (N, 512, frames) -> (N, num_speakers), and what the last layer sees.
INPUT, OUTPUT, EMBEDDING = "spectrograms", "logits", "embedding"


@dataclass(frozen=True)
class BinsAsChannels:
    """Turn (1, bins, frames) into (bins, 1, frames): convolutions then run over time only."""

    name: str


@dataclass(frozen=True)
class Convolution:
    """Cross-correlation with a bias and explicit zero padding: never a framework's SAME."""

    name: str
    channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    padding_after: Optional[Pair] = None  # below and to the right, if it differs

    @property
    def pads(self) -> Tuple[Pair, Pair]:
        """Zeros (above, below) and (before, after)."""
        after = self.padding if self.padding_after is None else self.padding_after
        return (self.padding[0], after[0]), (self.padding[1], after[1])

    @property
    def padded(self) -> bool:
        return any(map(any, self.pads))


@dataclass(frozen=True)
class BatchNorm:
    """Normalise each channel over batch and positions (Ioffe and Szegedy 2015, algorithm 1).

    Training normalises with the batch's biased variance. The running statistics that testing uses
    follow `running = decay * running + (1 - decay) * batch`, the variance unbiased (n / (n - 1)).
    """

    name: str
    epsilon: float = 1e-5
    decay: float = 0.9


@dataclass(frozen=True)
class Relu:
    name: str


@dataclass(frozen=True)
class MaxPool:
    """Largest value of each window, no padding; windows that do not fit are dropped (floor)."""

    name: str
    kernel: Pair
    stride: Pair


@dataclass(frozen=True)
class AveragePool:
    """Mean over all positions: (channels, height, width) -> (channels,)."""

    name: str


@dataclass(frozen=True)
class StatisticsPool:
    """Mean and standard deviation over all positions: (channels, h, w) -> (2 * channels,).

    The standard deviation is sqrt(biased variance + epsilon): with epsilon the gradient stays
    finite for a channel that is constant (Snyder et al. 2018, section 2.1, pool like this).
    """

    name: str
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Dense:
    """Fully connected layer with a bias: (features,) -> (units,)."""

    name: str
    units: int


Layer = Union[
    BinsAsChannels, Convolution, BatchNorm, Relu, MaxPool, AveragePool, StatisticsPool, Dense
]
LAYER_TYPES = Layer.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Parameter:
    """One tensor of a network in the canonical layout: convolutions OIHW, dense (out, in)."""

    name: str
    shape: Shape
    role: str  # weight | bias | scale | shift | running_mean | running_variance

    @property
    def trainable(self) -> bool:
        return not self.role.startswith("running")

    @property
    def size(self) -> int:
        return _product(self.shape)


@dataclass(frozen=True)
class Step:
    """One layer placed in a network for a given number of frames."""

    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: Tuple[Parameter, ...]
    macs: int  # multiply-accumulates for one utterance, forward


@dataclass(frozen=True)
class NetworkSpec:
    """A network: a name, its layers in order, and how many speakers its logits tell apart.

    label_smoothing: what share of a training target is spread evenly over all speakers, its own included
                     (Szegedy et al. 2016, section 7); 0 is plain cross entropy
    """

    name: str
    layers: Tuple[Layer, ...]
    num_speakers: int
    label_smoothing: float = field(default=0.0, repr=False)

    @property
    def other_target(self) -> float:
        """The probability that training asks for each other speaker. All that is left is asked for the right one.

        A multiple of 2^-24, so that a row of targets adds up to 1 in float32 too: Caffe2 refuses another.
        """
        return math.floor(self.label_smoothing / max(1, self.num_speakers) * 2**24) / 2**24

    @property
    def own_target(self) -> float:
        """The probability that training asks for the right speaker."""
        return 1 - (self.num_speakers - 1) * self.other_target

    @property
    def embedding(self) -> NetworkSpec:
        """The same network without its last layer: what is left knows voices, but no names."""
        return replace(self, layers=self.layers[:-1])

    def steps(self, frames: int = NUM_FRAMES) -> List[Step]:
        """Every layer with its shapes, parameters and multiply-accumulates for `frames` frames.

        Raises UserError when the utterance is too short for a window of the network.
        """
        shape: Shape = (1, NUM_BINS, frames)
        steps = []
        for layer in self.layers:
            out = _output_shape(layer, shape)
            if min(out) < 1:
                raise UserError(
                    f"{self.name} cannot take {frames} frames: {layer.name} would get an output of "
                    f"{out}; use a longer piece of speech (about one second, 100 frames, will do)"
                )
            parameters = _parameters(layer, shape)
            steps.append(Step(layer, shape, out, parameters, _macs(layer, shape, out)))
            shape = out
        return steps

    def parameters(self) -> List[Parameter]:
        """Every tensor in the order of the layers, running statistics included."""
        return [p for step in self.steps() for p in step.parameters]

    @property
    def num_parameters(self) -> int:
        """Number of trained values (running statistics are not trained)."""
        return sum(p.size for p in self.parameters() if p.trainable)

    def macs(self, frames: int = NUM_FRAMES) -> int:
        """Multiply-accumulates of convolutions and dense layers for one utterance, forward."""
        return sum(step.macs for step in self.steps(frames))


def _output_shape(layer: Layer, shape: Shape) -> Shape:
    if isinstance(layer, BinsAsChannels):
        channels, bins, frames = shape
        return (bins, channels, frames)
    if isinstance(layer, Convolution):
        padded = tuple(size + sum(pads) for size, pads in zip(shape[1:], layer.pads))
        return (layer.channels, *_windows(padded, layer.kernel, layer.stride, layer.dilation))
    if isinstance(layer, MaxPool):
        return (shape[0], *_windows(shape[1:], layer.kernel, layer.stride))
    if isinstance(layer, AveragePool):
        return (shape[0],)
    if isinstance(layer, StatisticsPool):
        return (2 * shape[0],)
    if isinstance(layer, Dense):
        return (layer.units,)
    return shape  # batch norm and ReLU work element by element


def _windows(size: Shape, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Shape:
    return tuple((n - d * (k - 1) - 1) // s + 1
                 for n, k, s, d in zip(size, kernel, stride, dilation))


def _parameters(layer: Layer, shape: Shape) -> Tuple[Parameter, ...]:
    roles: Dict[str, Shape] = {}
    if isinstance(layer, Convolution):
        roles = {"weight": (layer.channels, shape[0], *layer.kernel), "bias": (layer.channels,)}
    elif isinstance(layer, Dense):
        roles = {"weight": (layer.units, shape[0]), "bias": (layer.units,)}
    elif isinstance(layer, BatchNorm):
        per_channel = ("scale", "shift", "running_mean", "running_variance")
        roles = {role: (shape[0],) for role in per_channel}
    return tuple(Parameter(f"{layer.name}/{role}", s, role) for role, s in roles.items())


def _macs(layer: Layer, shape: Shape, out: Shape) -> int:
    if isinstance(layer, Convolution):
        return _product(out) * shape[0] * _product(layer.kernel)
    if isinstance(layer, Dense):
        return layer.units * shape[0]
    return 0


def _product(shape: Shape) -> int:
    result = 1
    for n in shape:
        result *= n
    return result
