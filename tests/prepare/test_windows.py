"""Windows cut from a stream of blocks must be those cut from the whole recording."""
from __future__ import annotations

from typing import List

import numpy as np
import pytest

from common.data.form import SEGMENT_SAMPLES
from common.prepare.windows import cut_windows


def blocks_of(samples: np.ndarray, size: int) -> List[np.ndarray]:
    return [samples[start:start + size] for start in range(0, len(samples), size)]


@pytest.mark.parametrize("block", [1_000, 48_240, 160_000])
@pytest.mark.parametrize("hop", [16_000, 48_240, 60_000])
def test_sliding_windows_on_a_stream(block: int, hop: int) -> None:
    samples = np.arange(200_000, dtype=np.float32)
    windows = list(cut_windows(blocks_of(samples, block), "sliding", hop, seed=0))
    assert [start for start, _ in windows] == list(range(0, 200_000 - SEGMENT_SAMPLES + 1, hop))
    for start, window in windows:
        np.testing.assert_array_equal(window, samples[start:start + SEGMENT_SAMPLES])


def test_the_fixed_window_is_the_first() -> None:
    samples = np.arange(200_000, dtype=np.float32)
    [(start, window)] = cut_windows(blocks_of(samples, 7_000), "fixed", 1, seed=0)
    assert start == 0
    np.testing.assert_array_equal(window, samples[:SEGMENT_SAMPLES])


def test_random_windows_reach_all_starts_alike() -> None:
    samples = np.arange(SEGMENT_SAMPLES + 40_000, dtype=np.float32)
    starts = []
    for seed in range(400):
        [(start, window)] = cut_windows(blocks_of(samples, 30_000), "random", 1, seed)
        assert window[0] == start and len(window) == SEGMENT_SAMPLES
        starts.append(start)
    quarters = np.histogram(starts, bins=4, range=(0, 40_001))[0]
    assert quarters.min() > 70 and quarters.max() < 130  # 100 each, deviation 9
    assert list(cut_windows([samples], "random", 1, 5))[0][0] == list(cut_windows([samples], "random", 1, 5))[0][0]


@pytest.mark.parametrize("crop", ["sliding", "fixed", "random"])
def test_a_recording_one_sample_short_has_no_window(crop: str) -> None:
    short = np.ones(SEGMENT_SAMPLES - 1, np.float32)
    assert list(cut_windows([short], crop, SEGMENT_SAMPLES, seed=0)) == []
