"""Noise and channel for copies of training utterances, from recordings the user has.

    from common.prepare.distortion import distort
    noisy = distort(samples, copies, np.random.default_rng(seed))     # which noise, where and how loud: by the seed

On waveforms and before the spectrogram, where a room and a noise act. The level of the speech is kept.
"""
from __future__ import annotations

import functools
from itertools import takewhile
from pathlib import Path

import numpy as np

from common.data.form import SAMPLE_RATE
from common.errors import UserError
from common.prepare.audio import Heard, read_blocks
from common.prepare.decoding import AudioError
from common.prepare.options import Copies

MAX_SECONDS = 60  # of one noise or impulse response; what comes after is not used
_KEPT_FILES = 16  # in memory, up to 4 MB each
_SILENCE = 1e-8


def distort(samples: np.ndarray, copies: Copies, generator: np.random.Generator) -> np.ndarray:
    """(n,) float32 speech through one of the channels and with one of the noises, as loud as before.

    Raises UserError for a file that cannot be read or is silent.
    """
    level = rms(samples)
    if copies.channel:
        response = load(copies.channel[int(generator.integers(len(copies.channel)))][0])
        delay = int(np.abs(response).argmax())  # of the direct sound
        samples = convolved(samples, response)[delay:delay + len(samples)]
    if copies.noise:
        noise = load(copies.noise[int(generator.integers(len(copies.noise)))][0])
        start = int(generator.integers(max(1, len(noise) - len(samples) + 1)))
        part = np.resize(noise[start:], len(samples))  # repeated if it is shorter
        snr = generator.uniform(*copies.snr)
        # By the whole file's level: a pause in the noise is not to be blown up.
        samples = samples + part * np.float32(rms(samples) / rms(noise) * 10 ** (-snr / 20))
    return samples * np.float32(level / max(rms(samples), _SILENCE))


@functools.lru_cache(maxsize=_KEPT_FILES)
def load(path: str) -> np.ndarray:
    """(n,) float32 at 16 kHz: the first minute of a noise or impulse response. Raises UserError."""
    heard = Heard()
    blocks = takewhile(lambda block: heard.samples - len(block) < MAX_SECONDS * SAMPLE_RATE, read_blocks(Path(path), heard))
    try:
        samples = np.concatenate([np.zeros(0, np.float32), *blocks])
    except AudioError as error:
        raise UserError(f"{error}; repair it or take it out of the folder") from error
    if rms(samples) < _SILENCE:
        raise UserError(f"{path}: is silent, so it is neither noise nor an impulse response; take it out of the folder")
    return samples


def convolved(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """(n,) float32 samples through an impulse response (taps,): (n + taps - 1,) or some more."""
    from scipy import fft  # keeps float32, which halves the time

    points = fft.next_fast_len(len(samples) + len(response) - 1, real=True)
    return fft.irfft(fft.rfft(samples, points) * fft.rfft(response, points), points)


def rms(samples: np.ndarray) -> float:
    """Root of the mean square; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
