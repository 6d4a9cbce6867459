"""What one look at one spectrogram tells: the numbers every finding is made from.

    from common.doctor.look import measure
    row, descriptor = measure(spectrogram)
"""
from __future__ import annotations

from typing import NamedTuple, Tuple

import numpy as np

from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.values import MAX_MAGNITUDE, MIN_MAGNITUDE, bad_values

NORMALISATIONS = ("none", "bins", "frames", "utterance")  # along which axis mean 0 and deviation 1 were made
NONE, BINS, FRAMES, UTTERANCE = range(4)

MEASURES = np.dtype([
    ("not_finite", np.int32),        # values that are NaN or infinite
    ("bad", np.int32),               # values that cannot be used, these included; with any, nothing below is known
    ("first", np.int32),             # position of the first of them, -1 without
    ("vanishing", np.int32),         # values, zeros left out, whose square is 0 in float32, denormals among them
    ("minimum", np.float32),
    ("maximum", np.float32),
    ("skewness", np.float32),        # of all values: magnitudes lean far to the right, logarithms do not
    ("normalised", np.int8),         # index into NORMALISATIONS
    ("mirrored", np.bool_),
    ("signature", np.uint64, 2),     # equal for equal spectrograms
])

_GROUPS, _BLOCKS = 16, 20  # a descriptor is a coarse picture: groups of 32 bins x blocks of 15 frames
DESCRIPTOR_SIZE = _GROUPS * _BLOCKS

_TOLERANCE = 0.05      # of means and deviations; MATLAB's deviation is off by 0.002 from NumPy's
_MIRROR_STEP = 29      # a mirror shows in a few frames as well as in all
_ONES = np.ones(NUM_BINS, dtype=np.float32)


def measure(spectrogram: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Measure a float32 spectrogram (512, 300), in C order.

    Returns (a record of type `MEASURES`, a descriptor float32 (320,) of unit length that hardly changes
    with loudness, small noise and shifts by a frame, or zeros for a constant spectrogram).
    """
    row = np.zeros((), dtype=MEASURES)
    row["first"] = -1
    with np.errstate(all="ignore"):  # sums of cubes may overflow; then nothing is concluded
        row["minimum"], row["maximum"] = spectrogram.min(), spectrogram.max()
        if not MIN_MAGNITUDE <= max(-row["minimum"], row["maximum"]) <= MAX_MAGNITUDE:  # so also where it is NaN
            bad = np.flatnonzero(bad_values(spectrogram))
            if bad.size:
                row["bad"], row["first"], row["not_finite"] = bad.size, bad[0], (~np.isfinite(spectrogram)).sum()
                return row, np.zeros(DESCRIPTOR_SIZE, dtype=np.float32)
        groups = spectrogram.reshape(_GROUPS, -1, NUM_FRAMES).sum(axis=1)  # (16, 300)
        squares = np.square(spectrogram)
        row["vanishing"] = np.count_nonzero(spectrogram) - np.count_nonzero(squares)
        bins = _Moments(spectrogram @ _ONES[:NUM_FRAMES] / NUM_FRAMES, squares @ _ONES[:NUM_FRAMES] / NUM_FRAMES)
        frames = _Moments(groups.sum(axis=0) / NUM_BINS, _ONES @ squares / NUM_BINS)
        cube = float(np.dot(squares.reshape(-1), spectrogram.reshape(-1))) / spectrogram.size
        row["skewness"] = _skewness(float(bins.mean.mean()), float(bins.square.mean()), cube)
        row["normalised"] = _normalised(bins, frames)
        row["mirrored"] = _mirrored(spectrogram, float(row["maximum"] - row["minimum"]))
        row["signature"] = _signature(spectrogram)
        return row, _descriptor(groups)


class _Moments(NamedTuple):
    """Mean and mean square of every bin (512,) or of every frame (300,)."""

    mean: np.ndarray
    square: np.ndarray


def _skewness(mean: float, square: float, cube: float) -> float:
    """Third standardised moment from the first three; 0 without variation."""
    variance = square - mean**2
    if not variance > 1e-6 * square:
        return 0.0
    return (cube - 3 * mean * square + 2 * mean**3) / variance**1.5


def _normalised(bins: _Moments, frames: _Moments) -> int:
    if _is_standard(bins):
        return BINS
    if _is_standard(frames):
        return FRAMES
    return UTTERANCE if _is_standard(_Moments(bins.mean.mean(keepdims=True), bins.square.mean(keepdims=True))) else NONE


def _is_standard(moments: _Moments) -> bool:
    """Whether means are 0 and deviations 1. Bins that are all but silent may fall short of 1, so half must do."""
    centred = np.abs(moments.mean) < _TOLERANCE
    unit = np.abs(np.sqrt(np.maximum(moments.square - moments.mean**2, 0)) - 1) < _TOLERANCE
    return bool(centred.mean() > 0.99 and unit.mean() > 0.5)


def _mirrored(values: np.ndarray, span: float) -> bool:
    """Whether bins 511 to 257 repeat 1 to 255, as all 512 bins of a 512-point FFT of real samples do."""
    lower, upper = values[1:NUM_BINS // 2, ::_MIRROR_STEP], values[:NUM_BINS // 2:-1, ::_MIRROR_STEP]
    return span > 0 and bool(np.abs(lower - upper).max() <= 1e-3 * span)


def _signature(values: np.ndarray) -> Tuple[int, int]:
    """A sum and an exclusive or over the bits: ten times faster than a hash; who needs certainty compares."""
    words = values.reshape(-1).view(np.uint64)
    return int(np.add.reduce(words)), int(np.bitwise_xor.reduce(words))


def _descriptor(groups: np.ndarray) -> np.ndarray:
    blocks = groups.reshape(_GROUPS, _BLOCKS, -1).sum(axis=2)  # (16, 20)
    blocks -= blocks.mean(axis=1, keepdims=True)
    deviation = blocks.std(axis=1, keepdims=True)
    # A group without any movement says nothing; scaling its rounding errors up would be noise.
    descriptor = np.where(deviation > 1e-5 * (np.abs(groups).max() + 1e-30), blocks / deviation, 0).reshape(-1)
    length = float(np.linalg.norm(descriptor))
    return descriptor / length if np.isfinite(length) and length > 0 else np.zeros_like(descriptor)
