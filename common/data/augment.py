"""Augmentation of spectrograms for training: masks over time and frequency, the same in both frameworks.

    from common.data.augment import Augmentation
    BatchReader.shuffled(records, split.train, ..., augmentation=Augmentation(time_mask=30, frequency_mask=40))

Random crops are `BatchReader`'s own `crop_frames`. Masks as in SpecAugment (Park et al., 2019,
https://arxiv.org/abs/1904.08779, section 2), without time warping, one
of each kind.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.randomness import MASKS, random_numbers
from common.data.records import aligned_empty
from common.errors import UserError


@dataclass(frozen=True)
class Augmentation:
    """How much of every training utterance is masked; all zero changes nothing.

    time_mask, frequency_mask: largest width of the mask, in frames and in bins; its width is drawn from 0 to this
    """

    time_mask: int = 0
    frequency_mask: int = 0

    def __post_init__(self) -> None:
        for name in ("time_mask", "frequency_mask"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must not be negative, but is {getattr(self, name)}")
        self.check_frames(NUM_FRAMES)
        if self.frequency_mask >= NUM_BINS:
            raise UserError(f"a mask of up to {self.frequency_mask} bins can cover all {NUM_BINS} bins; use a narrower one")

    def check_frames(self, frames: int) -> None:
        """Raise `UserError` if the time mask could cover an utterance of so many frames."""
        if self.time_mask >= frames:
            raise UserError(f"a mask of up to {self.time_mask} frames can cover all {frames} frames; use a narrower one")


def augment(spectrograms: np.ndarray, augmentation: Augmentation, seed: int, epoch: int, position: int) -> np.ndarray:
    """Mask a batch whose first utterance is at `position` in its epoch.

    spectrograms: float32 (B, 512, frames), left as it is
    Returns the same shape. What is masked becomes its bin's mean over time (zero where normalised).
    An utterance's masks depend on (seed, epoch, its position) alone, not on the size of the batch.
    """
    masked = aligned_empty(spectrograms.shape)
    masked[:] = spectrograms
    bins, frames = spectrograms.shape[1:]
    for offset, utterance in enumerate(masked):  # (512, frames)
        random = random_numbers(MASKS, seed, epoch, position + offset)
        mean = utterance.mean(axis=1, keepdims=True)  # (512, 1)
        here = _window(random, augmentation.frequency_mask, bins)
        utterance[here] = mean[here]
        utterance[:, _window(random, augmentation.time_mask, frames)] = mean
    return masked


def _window(random: np.random.Generator, largest: int, length: int) -> slice:
    """A slice of random width up to `largest`, anywhere within `length`."""
    width = int(random.integers(largest + 1))
    start = int(random.integers(length - width + 1))
    return slice(start, start + width)
