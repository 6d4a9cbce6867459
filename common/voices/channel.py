"""Random recording channels: a room, a microphone, noise. One for each session of a speaker.

    from common.voices.channel import random_channel
    recorded = random_channel(np.random.default_rng(0)).record(samples, np.random.default_rng(1))

Without them synthetic voices are trivially told apart, and a network that learns the channel in
place of the voice fails on a held-out session, as it would on real speech.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.data.form import SAMPLE_RATE
from common.prepare.distortion import convolved

EQUALISER_POINTS = 10
EQUALISER_TAPS = 256


@dataclass(frozen=True)
class Channel:
    """What lies between a mouth and a file: all that a session's utterances have in common."""

    response: np.ndarray  # (taps,) float32: room and equaliser in one impulse response
    noise_response: np.ndarray  # (taps,) float32: the colour of the noise
    noise_db: float  # level of the noise, relative to the speech
    peak: float  # largest sample of a recording

    def record(self, samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(n,) clean speech to (n,) float32 as this channel records it, with new noise each time."""
        speech = convolved(samples, self.response)[:len(samples)]
        noise = convolved(generator.standard_normal(len(samples), dtype=np.float32), self.noise_response)[:len(samples)]
        level = _rms(speech) / max(_rms(noise), 1e-12) * 10 ** (self.noise_db / 20)
        recorded = speech + level * noise
        return (recorded * (self.peak / max(np.abs(recorded).max(), 1e-12))).astype(np.float32)


def random_channel(generator: np.random.Generator) -> Channel:
    """A room, a microphone and a background noise, drawn independently of who speaks."""
    room = _room(generator)
    equaliser = _equaliser(generator, deviation_db=5.0)
    return Channel(
        response=np.convolve(room, equaliser).astype(np.float32),
        noise_response=_equaliser(generator, deviation_db=8.0),
        noise_db=float(generator.uniform(-18, -3)),
        peak=float(generator.uniform(0.1, 0.9)),
    )


def _room(generator: np.random.Generator) -> np.ndarray:
    """An impulse response: the direct sound, then noise that decays by 60 dB in 0.2 to 0.8 s."""
    reverberation = generator.uniform(0.2, 0.8)
    time = np.arange(round(reverberation * SAMPLE_RATE)) / SAMPLE_RATE
    tail = generator.normal(size=len(time)) * 10 ** (-3 * time / reverberation)
    tail *= generator.uniform(0.3, 1.2) / np.sqrt(np.square(tail).sum())  # energy relative to the direct sound
    tail[0] = 1.0
    return tail


def _equaliser(generator: np.random.Generator, deviation_db: float) -> np.ndarray:
    """An impulse response with a smooth random spectrum: (taps,) float32."""
    bins = np.linspace(0, 1, EQUALISER_TAPS // 2 + 1)
    points = np.linspace(0, 1, EQUALISER_POINTS)
    decibels = np.interp(bins, points, generator.normal(0, deviation_db, EQUALISER_POINTS))
    symmetric = np.roll(np.fft.irfft(10 ** (decibels / 20)), EQUALISER_TAPS // 2)
    return (symmetric * np.hanning(EQUALISER_TAPS)).astype(np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
