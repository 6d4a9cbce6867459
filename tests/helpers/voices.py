"""Voices that a mean spectrum tells apart: each is noise in a band of its own."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

BANDS = {"Ada": (300, 900), "Bea": (1500, 2500), "Cleo": (3500, 5000), "Dora": (5500, 7000)}  # Hz


def write_voice(path: Path, voice: str, seed: int = 0, seconds: float = 3.2) -> Path:
    """A recording at 16 kHz by one of these; another seed is another recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng((seed, *voice.encode()))
    samples = 0.1 * random.standard_normal(round(seconds * 16_000))
    band = signal.butter(4, BANDS[voice], "bandpass", fs=16_000, output="sos")
    soundfile.write(path, signal.sosfilt(band, samples) + 1e-3 * random.standard_normal(len(samples)), 16_000)
    return path
