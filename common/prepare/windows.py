"""Which 3.015 s of a recording become records: one fixed, one random, or a sliding window.

    from common.prepare.windows import cut_windows
    for start, samples in cut_windows(read_blocks(path), "sliding", hop=48240, seed=0): ...

Works on a stream of blocks, so a recording of any length costs the memory of one block.
"""
from __future__ import annotations

import itertools
from typing import Iterable, Iterator, Tuple

import numpy as np

from common.data.form import SEGMENT_SAMPLES
from common.prepare.options import CROPS

Window = Tuple[int, np.ndarray]  # first sample, (48240,) float32


def cut_windows(blocks: Iterable[np.ndarray], crop: str, hop: int, seed: int) -> Iterator[Window]:
    """Windows of 48,240 samples: none where the recording is shorter than that.

    crop: "fixed" takes the first, "random" one at a start drawn by `seed`, uniform over all starts,
    "sliding" one every `hop` samples.
    """
    if crop == "sliding":
        return _sliding(blocks, hop)
    if crop == "fixed":
        return itertools.islice(_sliding(blocks, SEGMENT_SAMPLES), 1)
    if crop == "random":
        return _random(blocks, seed)
    raise ValueError(f"crop must be one of {CROPS}, not {crop!r}")


def _sliding(blocks: Iterable[np.ndarray], hop: int) -> Iterator[Window]:
    start = 0
    for offset, held in _overlapping(blocks):
        while start + SEGMENT_SAMPLES <= offset + len(held):
            yield start, held[start - offset:start - offset + SEGMENT_SAMPLES]
            start += hop


def _random(blocks: Iterable[np.ndarray], seed: int) -> Iterator[Window]:
    """One pass without knowing the length: reservoir sampling over the starts each block adds."""
    generator = np.random.default_rng(seed)
    chosen = None
    starts = 0  # how many starts were possible so far
    for offset, held in _overlapping(blocks):
        new_starts = offset + len(held) - SEGMENT_SAMPLES + 1 - starts
        if new_starts <= 0:
            continue
        draw = int(generator.integers(starts + new_starts))
        if draw >= starts:
            chosen = draw, held[draw - offset:draw - offset + SEGMENT_SAMPLES].copy()
        starts += new_starts
    if chosen is not None:
        yield chosen


def _overlapping(blocks: Iterable[np.ndarray]) -> Iterator[Tuple[int, np.ndarray]]:
    """Each block with what came before it, as far as a window that ends in the block may reach back."""
    offset, tail = 0, np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([tail, block])
        yield offset, held
        keep = min(len(held), SEGMENT_SAMPLES - 1)
        offset, tail = offset + len(held) - keep, held[len(held) - keep:]
