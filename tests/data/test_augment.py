"""Masks: within their bounds, the bin's mean, decided by seed, epoch and position, and off unless asked for."""
from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
import pytest

from common.data.augment import Augmentation, augment
from common.data.batches import BatchReader
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RecordSet, RecordWriter
from common.errors import UserError


def batch(utterances: int = 4, frames: int = NUM_FRAMES) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((utterances, NUM_BINS, frames)).astype(np.float32)


def test_masks_are_windows_filled_with_the_mean_of_their_bin() -> None:
    before = batch(utterances=30)
    original = before.copy()
    after = augment(before, Augmentation(time_mask=50, frequency_mask=80), seed=1, epoch=0, position=0)
    np.testing.assert_array_equal(before, original)
    changed = after != before
    means = np.broadcast_to(before.mean(axis=2, keepdims=True), before.shape)
    np.testing.assert_allclose(after[changed], means[changed], rtol=1e-4, atol=1e-5)
    widths = []
    for utterance in changed:
        bins, frames = utterance.all(axis=1), utterance.all(axis=0)  # wholly masked
        for masked in (bins, frames):
            assert np.diff(np.flatnonzero(masked)).max(initial=1) == 1  # one window without gaps
        np.testing.assert_array_equal(utterance, bins[:, None] | frames[None, :])
        widths.append((bins.sum(), frames.sum()))
    assert (60 < np.array(widths)[:, 0].max() <= 80) and (35 < np.array(widths)[:, 1].max() <= 50)
    assert np.array(widths).min() < 10


def test_masks_depend_on_seed_epoch_and_position_but_not_on_the_batch() -> None:
    before, masks = batch(), Augmentation(time_mask=30, frequency_mask=30)
    after = augment(before, masks, seed=3, epoch=2, position=10)
    np.testing.assert_array_equal(after[2:], augment(before[2:], masks, seed=3, epoch=2, position=12))
    for other in ({"seed": 4}, {"epoch": 3}, {"position": 11}):
        place: Dict[str, int] = {"seed": 3, "epoch": 2, "position": 10, **other}
        assert (augment(before, masks, **place) != after).any()


def test_nothing_asked_for_changes_nothing() -> None:
    np.testing.assert_array_equal(augment(batch(), Augmentation(), 0, 0, 0), batch())


@pytest.mark.parametrize("field, value, message", [
    ("time_mask", -1, "must not be negative"),
    ("frequency_mask", -1, "must not be negative"),
    ("time_mask", 300, "can cover all 300 frames"),
    ("frequency_mask", 512, "can cover all 512 bins"),
])
def test_impossible_masks(field: str, value: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Augmentation(**{field: value})


def test_reader_masks_after_the_crop_and_only_when_asked(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "part-1.bin") as writer:
        for label, spectrogram in enumerate(batch(6)):
            writer.append(spectrogram, label)
    records = RecordSet.open([tmp_path / "part-1.bin"])
    masks = Augmentation(time_mask=20, frequency_mask=20)

    def read(batch_size: int, augmentation: object) -> np.ndarray:
        reader = BatchReader(records, np.arange(6), batch_size, 5, True, True, crop_frames=100, augmentation=augmentation)
        return np.concatenate([batch.spectrograms for batch in reader.epoch(1)])

    plain = read(3, None)
    assert plain.shape == (6, NUM_BINS, 100)
    np.testing.assert_array_equal(read(3, masks), augment(plain, masks, seed=5, epoch=1, position=0))
    np.testing.assert_array_equal(read(3, masks), read(2, masks))
    with pytest.raises(UserError, match="can cover all 15 frames"):
        BatchReader(records, np.arange(6), 2, 5, True, True, crop_frames=15, augmentation=masks)
