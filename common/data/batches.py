"""One order of utterances and one reader of batches, for both frameworks.

    from common.data.batches import BatchReader
    for batch in BatchReader.shuffled(records, split.train, 16, seed=0).epoch(0):
        ...
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional

import numpy as np

from common.data.augment import Augmentation, augment
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.randomness import CROP, ORDER, random_numbers
from common.data.records import RecordSet, aligned_empty
from common.errors import UserError


@dataclass(frozen=True)
class Batch:
    """spectrograms: float32 (B, 512, frames); speakers: int32 (B,)."""

    spectrograms: np.ndarray
    speakers: np.ndarray


def epoch_order(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The records of `indices`, int64, in the shuffled order of that epoch (counting from 0)."""
    return random_numbers(ORDER, seed, epoch).permutation(np.asarray(indices, dtype=np.int64))


class BatchReader:
    """Batches of the records `indices`, the same for the same seed and epoch, whoever asks.

    shuffle:        a new order each epoch; False keeps the order of `indices`
    drop_remainder: leave out a last batch that is smaller than the others
    crop_frames:    a window of that many frames per utterance, at a start drawn anew each epoch
    augmentation:   masks for training, drawn anew each epoch; None for benchmarks and evaluation
    Raises `UserError` when there is not one batch to give.
    """

    def __init__(self, records: RecordSet, indices: np.ndarray, batch_size: int, seed: int, shuffle: bool,
                 drop_remainder: bool, crop_frames: Optional[int] = None,
                 augmentation: Optional[Augmentation] = None) -> None:
        if batch_size < 1 or seed < 0:
            raise UserError(f"the batch size must be at least 1 and the seed at least 0, not {batch_size} and {seed}")
        if crop_frames is not None and not 1 <= crop_frames <= NUM_FRAMES:
            raise UserError(f"a crop must have 1 to {NUM_FRAMES} frames, not {crop_frames}")
        if augmentation is not None:
            augmentation.check_frames(crop_frames or NUM_FRAMES)
        self.records = records
        self.indices = np.asarray(indices, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.drop_remainder = drop_remainder
        self.crop_frames = crop_frames
        self.augmentation = augmentation
        if self.steps_per_epoch == 0:
            raise UserError(f"{len(self.indices)} utterances do not fill one batch of {batch_size}; "
                            "use a smaller batch size or more data")

    @classmethod
    def in_order(cls, records: RecordSet, indices: np.ndarray, batch_size: int = 32) -> BatchReader:
        """Each of these records once and whole, as they stand: what a model is evaluated on."""
        return cls(records, indices, batch_size, 0, shuffle=False, drop_remainder=False)

    @classmethod
    def shuffled(cls, records: RecordSet, indices: np.ndarray, batch_size: int, seed: int, crop_frames: Optional[int] = None,
                 augmentation: Optional[Augmentation] = None) -> BatchReader:
        """Full batches in a new order each epoch: what a model is trained on."""
        return cls(records, indices, batch_size, seed, True, True, crop_frames, augmentation)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        full, rest = divmod(len(self.indices), self.batch_size)
        return full if self.drop_remainder or rest == 0 else full + 1

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, or from number `first` of it on (both count from 0). Raises `RecordError` where
        data are bad."""
        order = epoch_order(self.indices, self.seed, epoch) if self.shuffle else self.indices
        starts = self._crop_starts(epoch)
        for step in range(first, self.steps_per_epoch):
            here = slice(step * self.batch_size, (step + 1) * self.batch_size)
            spectrograms, speakers = self.records.read(order[here])  # (B, 512, 300)
            if starts is not None:
                spectrograms = _crop(spectrograms, starts[here], self.crop_frames)
            if self.augmentation is not None:
                spectrograms = augment(spectrograms, self.augmentation, self.seed, epoch, here.start)
            yield Batch(spectrograms, speakers)

    def _crop_starts(self, epoch: int) -> Optional[np.ndarray]:
        """First frame of the crop for each position in the epoch."""
        if self.crop_frames is None:
            return None
        return random_numbers(CROP, self.seed, epoch).integers(NUM_FRAMES - self.crop_frames + 1, size=len(self.indices))


def _crop(spectrograms: np.ndarray, starts: np.ndarray, frames: int) -> np.ndarray:
    """(B, 512, 300) to (B, 512, frames), each from its own start."""
    cropped = aligned_empty((len(spectrograms), NUM_BINS, frames))
    for target, source, start in zip(cropped, spectrograms, starts):
        target[:] = source[:, start:start + frames]
    return cropped
