"""Batches: the same for the same seed and epoch, every utterance once."""
from __future__ import annotations

from typing import Iterator, List

import numpy as np
import pytest

from common.data.batches import Batch, BatchReader, epoch_order
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RecordSet, RecordWriter
from common.errors import UserError

RECORDS = 7


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    """Record i has label i, and value 1000 * i + frame in every bin."""
    path = tmp_path_factory.mktemp("batches") / "part-1.bin"
    with RecordWriter(path) as writer:
        for i in range(RECORDS):
            writer.append(np.tile(np.arange(NUM_FRAMES, dtype=np.float32) + 1000 * i, (NUM_BINS, 1)), i)
    return RecordSet.open([path])


def labels(batches: Iterator[Batch]) -> List[List[int]]:
    return [batch.speakers.tolist() for batch in batches]


def test_epoch_order_is_a_permutation_fixed_by_seed_and_epoch() -> None:
    indices = np.arange(100, 200)
    order = epoch_order(indices, seed=1, epoch=2)
    assert order.dtype == np.int64 and sorted(order) == list(indices)
    np.testing.assert_array_equal(order, epoch_order(indices, 1, 2))
    for other in (epoch_order(indices, 1, 3), epoch_order(indices, 2, 2), epoch_order(indices, 2, 1)):
        assert (order != other).any()
    # Both frameworks, every machine and every later version must see this order.
    assert epoch_order(np.arange(8), 0, 0).tolist() == [2, 4, 3, 6, 5, 0, 1, 7]


def test_in_order_with_a_smaller_last_batch(records: RecordSet) -> None:
    reader = BatchReader(records, np.arange(RECORDS), 3, seed=0, shuffle=False, drop_remainder=False)
    assert reader.steps_per_epoch == 3
    batches = list(reader.epoch(0))
    assert labels(iter(batches)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert batches[0].spectrograms.shape == (3, NUM_BINS, NUM_FRAMES) and batches[0].spectrograms.dtype == np.float32
    assert batches[1].speakers.dtype == np.int32
    assert batches[1].spectrograms[:, 3, 7].tolist() == [3007, 4007, 5007]


def test_shuffled_without_remainder(records: RecordSet) -> None:
    reader = BatchReader(records, np.array([1, 3, 4, 5, 6]), 2, seed=9, shuffle=True, drop_remainder=True)
    assert reader.steps_per_epoch == 2
    expected = epoch_order(reader.indices, 9, 4)[:4].reshape(2, 2).tolist()
    assert labels(reader.epoch(4)) == labels(reader.epoch(4)) == expected
    for batch in reader.epoch(4):
        np.testing.assert_array_equal(batch.spectrograms[:, 0, 0], 1000 * batch.speakers)


def test_batches_do_not_share_memory(records: RecordSet) -> None:
    first, second = list(BatchReader(records, np.arange(4), 2, 0, False, True).epoch(0))
    assert not np.shares_memory(first.spectrograms, second.spectrograms)


def test_crops_are_windows_fixed_by_seed_and_epoch(records: RecordSet) -> None:
    reader = BatchReader(records, np.arange(RECORDS), RECORDS, seed=0, shuffle=True, drop_remainder=True, crop_frames=120)

    def starts(epoch: int) -> List[float]:
        (batch,) = reader.epoch(epoch)
        assert batch.spectrograms.shape == (RECORDS, NUM_BINS, 120) and batch.spectrograms.flags.c_contiguous
        first = batch.spectrograms[:, 0, 0] - 1000 * batch.speakers
        np.testing.assert_array_equal(batch.spectrograms[:, 5] - 1000 * batch.speakers[:, None],
                                      first[:, None] + np.arange(120))
        return first.tolist()

    assert starts(0) == starts(0) != starts(1)
    drawn = [start for epoch in range(60) for start in starts(epoch)]
    assert 0 <= min(drawn) < 10 and 170 < max(drawn) <= 180  # the last possible start is 300 - 120


def test_crop_of_everything_changes_nothing(records: RecordSet) -> None:
    whole, cropped = (next(BatchReader(records, np.arange(3), 3, 0, True, True, frames).epoch(1)) for frames in (None, 300))
    np.testing.assert_array_equal(whole.spectrograms, cropped.spectrograms)


@pytest.mark.parametrize("batch_size, seed, crop", [(0, 0, None), (2, -1, None), (2, 0, 0), (2, 0, 301), (8, 0, None)])
def test_impossible_settings(records: RecordSet, batch_size: int, seed: int, crop: int) -> None:
    with pytest.raises(UserError):
        BatchReader(records, np.arange(RECORDS), batch_size, seed, True, drop_remainder=True, crop_frames=crop)


def test_no_utterances(records: RecordSet) -> None:
    with pytest.raises(UserError, match="0 utterances do not fill one batch"):
        BatchReader(records, np.array([]), 2, 0, False, drop_remainder=False)
