"""Waveform to spectrogram, as the VoxCeleb paper describes it (Nagrani et al. 2017, section 5.1).

    from common.prepare.features import spectrogram
    spectrogram(samples).shape        # (512, 300) for the 48,240 samples of a 3.015 s segment

A Hamming window of 25 ms every 10 ms, a 1024-point FFT, magnitudes of the bins 0 to 511, then mean
and variance normalisation of every frequency bin over time. The authors' released MATLAB does other
things as well (pre-emphasis, dither, a 512-point FFT with its mirror image); this follows the paper.
"""
from __future__ import annotations

from typing import Optional

import numpy as np

from common.data.form import NUM_BINS, SCALES

WINDOW_SAMPLES = 400  # 25 ms
STEP_SAMPLES = 160  # 10 ms
FFT_POINTS = 2 * NUM_BINS  # of whose 513 bins the last, the Nyquist frequency, is left out
FRAMES_AT_ONCE = 60  # so that they stay in a core's cache: twice as fast as all 300 at once

# Samples lie within -1 and 1. The rounding noise of 16-bit audio then has magnitudes of about 1e-4:
# the logarithm is floored there, and the divisor well below it, so that only silence meets them.
LOG_FLOOR = 1e-4
DEVIATION_FLOOR = 1e-6


def num_frames(num_samples: int) -> int:
    """Frames that fit into so many samples without padding: 300 for 48,240."""
    return max(0, 1 + (num_samples - WINDOW_SAMPLES) // STEP_SAMPLES)


def spectrogram(samples: np.ndarray, normalise: bool = True, scale: str = "magnitude",
                out: Optional[np.ndarray] = None) -> np.ndarray:
    """The (512, frames) float32 spectrogram of mono 16 kHz samples, frequency bins x frames.

    samples: (n,) floats within -1 and 1, at least 400 of them.
    scale: "magnitude" as in the paper, or "log", its natural logarithm.
    out: float32 (512, frames), filled and returned when given: new memory costs half as much as the FFT.
    Silence normalises to zeros. Raises ValueError for anything it cannot take.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {SCALES}, not {scale!r}")
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1 or len(samples) < WINDOW_SAMPLES:
        raise ValueError(f"need one channel of at least {WINDOW_SAMPLES} samples, got shape {samples.shape}")
    shape = (NUM_BINS, num_frames(len(samples)))
    bins = np.empty(shape, np.float32) if out is None else out
    if bins.shape != shape or bins.dtype != np.float32:
        raise ValueError(f"out must be float32 {shape}, not {bins.dtype} {bins.shape}")
    _magnitudes(samples, bins)
    if scale == "log":
        bins += np.float32(LOG_FLOOR)
        np.log(bins, out=bins)
    if normalise:
        normalise_bins(bins, out=bins)
    return bins


def normalise_bins(bins: np.ndarray, out: Optional[np.ndarray] = None) -> np.ndarray:
    """Zero mean and unit variance over time, for every frequency bin: (512, frames) to the same, or into `out`."""
    centred = np.subtract(bins, bins.mean(axis=1, keepdims=True), out=out)
    # In float32 the mean of a constant bin is not quite that constant. Without this second step the
    # rest, the same in every frame, would be blown up to unit size: silence would not give zeros.
    centred -= centred.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.einsum("bf,bf->b", centred, centred) / bins.shape[1])
    centred *= (1 / (deviation + DEVIATION_FLOOR)).astype(np.float32)[:, None]
    return centred


def _magnitudes(samples: np.ndarray, out: np.ndarray) -> None:
    """(n,) samples to (512, frames) magnitudes, both float32."""
    from scipy import fft  # slow to import; it transforms float32 without widening it

    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::STEP_SAMPLES].T  # (400, frames)
    window = np.hamming(WINDOW_SAMPLES).astype(np.float32)[:, None]
    padded = np.zeros((FFT_POINTS, FRAMES_AT_ONCE), np.float32)
    for start in range(0, frames.shape[1], FRAMES_AT_ONCE):
        some = frames[:, start:start + FRAMES_AT_ONCE]
        count = some.shape[1]
        np.multiply(some, window, out=padded[:WINDOW_SAMPLES, :count])
        spectrum = fft.rfft(padded[:, :count], axis=0)[:NUM_BINS]  # (512, count) complex64
        np.abs(spectrum, out=out[:, start:start + count])
