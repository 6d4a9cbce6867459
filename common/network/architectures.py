"""The networks that are compared, each a table to be read beside its paper.

    python -m common.network.architectures            # layer by layer: shapes, parameters, multiply-accumulates
"""
from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Callable, Dict, List, Optional, Tuple

from common.data.form import NUM_FRAMES
from common.errors import UserError, friendly
from common.network.layers import (
    AveragePool,
    BatchNorm,
    BinsAsChannels,
    Convolution,
    Dense,
    Layer,
    MaxPool,
    NetworkSpec,
    Pair,
    Relu,
    StatisticsPool,
)
from common.parser import Parser

# Of one channel the ReLU may be zero throughout, and with it every gradient: there is no scale by which to check them.
_LEAST_CHANNELS = 2


def vgg_m(num_speakers: int, width: float = 1.0) -> NetworkSpec:
    """VGG-M as in VoxCeleb (Nagrani et al. 2017, table 3), with batch normalisation.

    conv3 has 384 filters: the 256 in some copies of the table is a misprint, says the first author.
    fc6 spans the nine frequency rows that are left and slides over time, so any length will do.
    """
    layers: Tuple[Layer, ...] = (
        *_conv("conv1", _scaled(96, width), kernel=(7, 7), stride=(2, 2), padding=(1, 1)),
        MaxPool("mpool1", kernel=(3, 3), stride=(2, 2)),
        *_conv("conv2", _scaled(256, width), kernel=(5, 5), stride=(2, 2), padding=(1, 1)),
        MaxPool("mpool2", kernel=(3, 3), stride=(2, 2)),
        *_conv("conv3", _scaled(384, width), kernel=(3, 3), padding=(1, 1)),
        *_conv("conv4", _scaled(256, width), kernel=(3, 3), padding=(1, 1)),
        *_conv("conv5", _scaled(256, width), kernel=(3, 3), padding=(1, 1)),
        MaxPool("mpool5", kernel=(5, 3), stride=(3, 2)),
        *_conv("fc6", _scaled(4096, width), kernel=(9, 1)),
        AveragePool("apool6"),
        *_dense("fc7", _scaled(1024, width)),
        Dense("fc8", num_speakers),
    )
    return NetworkSpec("vgg_m", layers, num_speakers)


def tdnn(num_speakers: int, width: float = 1.0) -> NetworkSpec:
    """Time-delay network in the style of x-vectors (Snyder et al. 2018, table 1), half its width.

    Frequency bins are channels, so it shares no weights along frequency, which is all that VGG-M's
    first layers do; context over time grows by dilation; mean and standard deviation pool it.
    """
    channels = _scaled(256, width)
    layers: Tuple[Layer, ...] = (
        BinsAsChannels("bins"),
        *_conv("frame1", channels, kernel=(1, 5)),
        *_conv("frame2", channels, kernel=(1, 3), dilation=(1, 2)),
        *_conv("frame3", channels, kernel=(1, 3), dilation=(1, 3)),
        *_conv("frame4", channels, kernel=(1, 1)),
        *_conv("frame5", _scaled(768, width), kernel=(1, 1)),
        StatisticsPool("stats"),
        *_dense("segment6", channels),
        Dense("segment7", num_speakers),
    )
    return NetworkSpec("tdnn", layers, num_speakers)


NETWORKS: Dict[str, Callable[..., NetworkSpec]] = {"vgg_m": vgg_m, "tdnn": tdnn}


def build(name: str, num_speakers: int, width: float = 1.0, label_smoothing: float = 0.0) -> NetworkSpec:
    """The network called `name`; `width` scales every number of channels but the speakers'.

    Raises UserError for what makes no network, such as a width that leaves a single channel.
    """
    if name not in NETWORKS:
        raise UserError(f"there is no network {name!r}; choose from {', '.join(NETWORKS)}")
    if num_speakers < 2:
        raise UserError(f"a network needs at least 2 speakers to tell apart, not {num_speakers}")
    if not 0 < width < math.inf:
        raise UserError(f"the width factor must be above 0 and finite, not {width}")
    if not 0 <= label_smoothing < 1:
        raise UserError(f"label smoothing must be at least 0 and below 1, not {label_smoothing}")
    return replace(NETWORKS[name](num_speakers, width), label_smoothing=label_smoothing)


def _conv(name: str, channels: int, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0),
          dilation: Pair = (1, 1)) -> Tuple[Layer, ...]:
    return (Convolution(name, channels, kernel, stride, padding, dilation),
            BatchNorm(f"{name}_bn"), Relu(f"{name}_relu"))


def _dense(name: str, units: int) -> Tuple[Layer, ...]:
    return Dense(name, units), BatchNorm(f"{name}_bn"), Relu(f"{name}_relu")


def _scaled(channels: int, width: float) -> int:
    scaled = round(channels * width)
    if scaled < _LEAST_CHANNELS:
        raise UserError(f"a width of {width} leaves {scaled} of a layer's {channels} channels, and with fewer than "
                        f"{_LEAST_CHANNELS} a network can be neither trained nor checked; take {_LEAST_CHANNELS / channels:.2g} "
                        "or more")
    return scaled


def table(spec: NetworkSpec, frames: int = NUM_FRAMES) -> List[Dict[str, object]]:
    """A row for each layer; the last column holds millions of multiply-accumulates."""
    columns = "layer", "type", "output", "trained values", "MMAC"
    rows = [(step.layer.name, type(step.layer).__name__, " x ".join(map(str, step.output_shape)),
             sum(p.size for p in step.parameters if p.trainable), step.macs / 1e6) for step in spec.steps(frames)]
    rows.append(("total", "", "", spec.num_parameters, spec.macs(frames) / 1e6))
    return [dict(zip(columns, row)) for row in rows]


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    parser = Parser("python -m common.network.architectures", __doc__)
    parser.add_argument("--speakers", type=int, default=50, help="number of speakers (50)")
    parser.add_argument("--frames", type=int, default=NUM_FRAMES, help=f"frames an utterance has ({NUM_FRAMES})")
    parser.add_argument("--width", type=float, default=1.0, help="factor on every width (1.0)")
    options = parser.parse_args(argv)
    from common.tables import table_of_numbers

    for name in NETWORKS:
        spec = build(name, options.speakers, options.width)
        print(f"\n{name}: {options.speakers} speakers, {options.frames} frames")
        print(table_of_numbers(table(spec, options.frames), ",.1f", "simple"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
