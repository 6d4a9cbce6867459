"""What a model says about utterances it is given, and how right it is.

    logits, speakers, rate = predict(twin, model, reader)
    report = Evaluation.of(logits, speakers, rate)
"""
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterable, List, Optional, Tuple

import numpy as np

from common.data.batches import BatchReader
from common.errors import UserError
from common.training import metrics
from common.twin import Model, Twin

Answers = Tuple[np.ndarray, np.ndarray, Optional[float]]  # logits, speakers, utterances a second: see `predict`


@dataclass(frozen=True)
class Evaluation:
    """Accuracy of one model on one set of utterances; shares from 0 to 1."""

    utterances: int
    top1: float
    top1_low: float  # 95 % interval (Wilson)
    top1_high: float
    top5: Optional[float]  # None: there are no more than five speakers, and it says nothing
    loss: float
    utterances_per_second: Optional[float]  # from record file to logits; None: unknown

    @classmethod
    def of(cls, logits: np.ndarray, speakers: np.ndarray, rate: Optional[float]) -> Evaluation:
        """From logits (N, num_speakers) and the right speakers (N,). UserError for NaN or infinity."""
        total = len(speakers)
        finite = np.isfinite(logits).all(axis=1)
        if not finite.all():
            raise UserError(f"the model's answers to {total - finite.sum()} of {total} utterances are no finite "
                            "numbers: either training diverged, and a lower --learning-rate may help, or the "
                            "data hold huge values, which `python -m common.doctor` finds")
        ranks = metrics.ranks(logits, speakers)
        low, high = metrics.wilson_interval(int((ranks < 1).sum()), total)
        top5 = float((ranks < 5).mean()) if logits.shape[1] > 5 else None
        return cls(total, float((ranks < 1).mean()), low, high, top5,
                   metrics.cross_entropy(logits, speakers), rate)

    def __str__(self) -> str:
        rate = "" if self.utterances_per_second is None \
            else f", {self.utterances_per_second:.1f} utterances/s"
        top5 = "" if self.top5 is None else f", top-5 {100 * self.top5:.1f} %"
        return (f"top-1 {100 * self.top1:.1f} % [{100 * self.top1_low:.1f}, "
                f"{100 * self.top1_high:.1f}]{top5}, {self.utterances} utterances{rate}")


def predict(twin: Twin, model: Model, reader: BatchReader) -> Answers:
    """Logits (N, num_speakers), speakers (N,) and utterances per second over the epoch of a reader that does not shuffle.

    Raises UserError where a framework's queue names other speakers than the records: an accuracy would be of other data.
    """
    answers = gathered((model.predict_staged(), speakers) for speakers in twin.staged(model, reader.epoch(0)))
    if not np.array_equal(answers[1], reader.records.labels[reader.indices]):
        raise UserError(f"{twin.framework}'s input queue does not hand on the speakers of the records that it was given")
    return answers


def gathered(batches: Iterable[Tuple[np.ndarray, np.ndarray]]) -> Answers:
    """The same of batches of logits and speakers.

    The first batch is not timed: it pays for building the testing network. The rate is None if
    there is no other.
    """
    logits: List[np.ndarray] = []
    speakers: List[np.ndarray] = []
    start, first = time.perf_counter(), 0
    for batch_logits, batch_speakers in batches:
        logits.append(batch_logits)
        speakers.append(batch_speakers)
        if len(logits) == 1:
            start, first = time.perf_counter(), len(batch_speakers)
    seconds = time.perf_counter() - start
    timed = sum(map(len, speakers)) - first
    return np.concatenate(logits), np.concatenate(speakers), timed / seconds if timed else None
