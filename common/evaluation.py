"""What a model says about utterances it is given, and how right it is.

    logits, speakers, seconds = predict(twin, model, reader)
    report = Evaluation.of(logits, speakers, seconds)
"""
from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Iterator, List, Tuple

import numpy as np

from common import metrics
from common.batches import Batch, BatchReader
from common.twin import Model, Twin


@dataclass(frozen=True)
class Evaluation:
    """Accuracy of one model on one set of utterances; shares from 0 to 1."""

    utterances: int
    top1: float
    top1_low: float  # 95 % interval (Wilson)
    top1_high: float
    top5: float
    loss: float
    utterances_per_second: float  # from record file to logits, first batch left out

    @classmethod
    def of(cls, logits: np.ndarray, speakers: np.ndarray, rate: float) -> "Evaluation":
        """From logits (N, num_speakers) and the right speakers (N,)."""
        total = len(speakers)
        ranks = metrics.ranks(logits, speakers)
        low, high = metrics.wilson_interval(int((ranks < 1).sum()), total)
        return cls(total, float((ranks < 1).mean()), low, high, float((ranks < 5).mean()),
                   metrics.cross_entropy(logits, speakers), rate)

    def __str__(self) -> str:
        return (f"top-1 {100 * self.top1:.1f} % [{100 * self.top1_low:.1f}, "
                f"{100 * self.top1_high:.1f}], top-5 {100 * self.top5:.1f} %, "
                f"{self.utterances} utterances")


def predict(twin: Twin, model: Model, reader: BatchReader) -> Tuple[np.ndarray, np.ndarray, float]:
    """Logits (N, num_speakers), speakers (N,) and utterances per second over a reader's epoch.

    The first batch is not timed: it pays for building the testing network.
    """
    logits: List[np.ndarray] = []
    speakers: List[np.ndarray] = []
    start, first = time.perf_counter(), 0
    for batch_speakers in twin.staged(model, _read(reader)):
        logits.append(model.predict_staged())
        speakers.append(batch_speakers)
        if len(logits) == 1:
            start, first = time.perf_counter(), len(batch_speakers)
    seconds = time.perf_counter() - start
    timed = sum(map(len, speakers)) - first
    return (np.concatenate(logits), np.concatenate(speakers),
            timed / seconds if timed else math.nan)


def _read(reader: BatchReader) -> Iterator[Batch]:
    return reader.epoch(0)
