"""The spectrogram against a direct DFT, against SciPy, and at the edges of what may come in."""
from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from common.data.form import SAMPLE_RATE, SEGMENT_SAMPLES
from common.prepare.features import (
    DEVIATION_FLOOR,
    LOG_FLOOR,
    normalise_bins,
    num_frames,
    spectrogram,
)

RECORD_SHAPE = (512, 300)


def noise(samples: int = SEGMENT_SAMPLES, seed: int = 0) -> np.ndarray:
    """Noise that falls by 40 dB from the lowest to the highest bin, as speech does: (n,) float32."""
    white = np.random.default_rng(seed).normal(0, 0.1, samples)
    return signal.lfilter([1.0], [1.0, -0.95], white).astype(np.float32) * np.float32(0.2)


def direct_magnitudes(samples: np.ndarray) -> np.ndarray:
    """The definition, in float64: the sum over 400 windowed samples for every bin and frame."""
    position = np.arange(400)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * position / 399)
    kernel = np.exp(-2j * np.pi * np.outer(np.arange(512), position) / 1024)  # (512, 400)
    starts = range(0, len(samples) - 400 + 1, 160)
    frames = np.stack([samples[start:start + 400].astype(np.float64) * window for start in starts])
    return np.abs(kernel @ frames.T)  # (512, frames)


def test_three_hundred_frames_for_a_segment() -> None:
    assert num_frames(SEGMENT_SAMPLES) == 300
    assert num_frames(SEGMENT_SAMPLES - 1) == 299
    assert num_frames(399) == 0
    assert spectrogram(noise()).shape == RECORD_SHAPE
    assert spectrogram(noise(400)).shape == (512, 1)


@pytest.mark.parametrize("offset, gain", [(0.0, 1.0), (0.2, 1.0), (0.0, 100.0)], ids=["plain", "offset", "clipped"])
def test_magnitudes_against_a_direct_dft(offset: float, gain: float) -> None:
    samples = np.clip(np.float32(gain) * noise() + np.float32(offset), -1, 1)
    expected = direct_magnitudes(samples)
    actual = spectrogram(samples, normalise=False)
    assert actual.dtype == np.float32 and actual.flags.c_contiguous
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6 * expected.max())


def test_magnitudes_against_scipy() -> None:
    samples = noise(seed=1)
    _, _, expected = signal.stft(samples.astype(np.float64), SAMPLE_RATE, signal.windows.hamming(400, sym=True),
                                 nperseg=400, noverlap=240, nfft=1024, boundary=None, padded=False, scaling="spectrum")
    expected = np.abs(expected[:512]) * signal.windows.hamming(400, sym=True).sum()
    np.testing.assert_allclose(spectrogram(samples, normalise=False), expected, rtol=1e-4, atol=1e-6 * expected.max())


@pytest.mark.parametrize("scale", ["magnitude", "log"])
def test_normalisation_of_every_bin_over_time(scale: str) -> None:
    samples = noise()
    bins = direct_magnitudes(samples)
    if scale == "log":
        bins = np.log(bins + LOG_FLOOR)
    expected = (bins - bins.mean(axis=1, keepdims=True)) / (bins.std(axis=1, keepdims=True) + DEVIATION_FLOOR)
    actual = spectrogram(samples, scale=scale)
    np.testing.assert_allclose(actual, expected, atol=1e-3)
    np.testing.assert_allclose(actual.mean(axis=1), 0.0, atol=1e-4)
    np.testing.assert_allclose(actual.std(axis=1), 1.0, atol=1e-2)


def test_a_tone_is_in_its_bin() -> None:
    for frequency in (250.0, 1000.0, 6000.0):
        tone = 0.5 * np.sin(2 * np.pi * frequency * np.arange(SEGMENT_SAMPLES) / SAMPLE_RATE)
        loudest = spectrogram(tone, normalise=False).argmax(axis=0)
        assert set(loudest) == {round(frequency * 1024 / SAMPLE_RATE)}


@pytest.mark.parametrize("scale", ["magnitude", "log"])
@pytest.mark.parametrize("level", [0.0, 0.25, -1.0])
def test_silence_and_a_constant_give_zeros(scale: str, level: float) -> None:
    constant = np.full(SEGMENT_SAMPLES, level, np.float32)
    np.testing.assert_allclose(spectrogram(constant, scale=scale), 0.0, atol=0.02)
    if level == 0.0:
        np.testing.assert_allclose(spectrogram(constant, scale=scale), 0.0, atol=1e-6)


def test_level_does_not_matter_once_normalised() -> None:
    np.testing.assert_allclose(spectrogram(noise() * np.float32(0.1)), spectrogram(noise()), atol=0.01)


def test_normalise_bins_keeps_float32() -> None:
    assert normalise_bins(np.ones(RECORD_SHAPE, np.float32)).dtype == np.float32


@pytest.mark.parametrize("samples", [np.zeros(399), np.zeros((2, 48_240)), np.zeros(0)])
def test_refuses_what_is_no_utterance(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least 400"):
        spectrogram(samples)


def test_refuses_an_unknown_scale() -> None:
    with pytest.raises(ValueError, match="mel"):
        spectrogram(noise(), scale="mel")
