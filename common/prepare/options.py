"""What a preparation can be asked for. Needs no NumPy, so that a command line is read without waiting for it.

    from common.prepare.options import Options
    Options(crop="random", scale="log")
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import FrozenSet, Tuple

from common.data.form import SEGMENT_SAMPLES

CROPS = ("sliding", "fixed", "random")
SNR = (5.0, 20.0)  # dB


@dataclass(frozen=True)
class Options:
    """How recordings become records."""

    crop: str = "sliding"
    hop: int = SEGMENT_SAMPLES  # windows that do not overlap
    scale: str = "magnitude"
    normalise: bool = True
    seed: int = 0
    samples: int = 0  # utterances of each speaker in the samples folder


@dataclass(frozen=True)
class Copies:
    """What is added for training alone: random crops of training recordings, with noise and channel.

    count:          crops of each recording
    recordings:     names of the recordings they are made of: those on the training side of the split
    noise, channel: (path, bytes) of the recordings one of which is mixed in, and of the impulse
                    responses one of which is applied; neither where empty
    snr:            the least and the most that speech is above the noise, in dB
    """

    count: int
    recordings: FrozenSet[str]
    noise: Tuple[Tuple[str, int], ...] = ()
    channel: Tuple[Tuple[str, int], ...] = ()
    snr: Tuple[float, float] = SNR
