"""The timed loop, one for both frameworks, and what may be said of its times.

    times = time_training(model, learning_rate=1e-3, steps=4)
    ratio = rate_ratio(a_times, b_times)
"""
from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import Callable, List, Sequence

import numpy as np

from common.twin import Model

_RESAMPLES = 4000


@dataclass(frozen=True)
class Speed:
    """Throughput of a step that was timed several times, in utterances per second."""

    median: float
    low: float  # slowest step
    high: float  # fastest step
    steps: int
    seconds: List[float]  # every step, in order

    @classmethod
    def of(cls, seconds: Sequence[float], batch_size: int) -> "Speed":
        rates = batch_size / np.asarray(seconds)
        return cls(float(np.median(rates)), float(rates.min()), float(rates.max()), len(rates),
                   [float(s) for s in seconds])


@dataclass(frozen=True)
class Ratio:
    """How many times faster one is than the other: ratio of medians, 95 % bootstrap interval."""

    ratio: float
    low: float
    high: float

    @property
    def detectable(self) -> bool:
        """Whether the interval leaves out 1, so that there is a difference to speak of."""
        return not self.low <= 1 <= self.high

    def __str__(self) -> str:
        text = f"{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}]"
        return text if self.detectable else f"{text}, no detectable difference"


def time_training(model: Model, learning_rate: float, steps: int) -> List[float]:
    """Seconds of each of `steps` training steps on the staged batch."""
    return _timed(lambda: model.train_staged(learning_rate), steps)


def time_inference(model: Model, steps: int) -> List[float]:
    """Seconds of each of `steps` predictions on the staged batch."""
    return _timed(model.predict_staged, steps)


def _timed(step: Callable[[], object], steps: int) -> List[float]:
    """Time `step`; both frameworks hand back numbers, so a step is over when it returns."""
    gc.collect()
    gc.disable()  # a collection in a step would be charged to the framework
    try:
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        return seconds
    finally:
        gc.enable()


def rate_ratio(faster: Sequence[float], slower: Sequence[float]) -> Ratio:
    """Ratio of the rates of two lists of step times, of equal work: > 1 if the first is faster.

    The steps of both are resampled apart from each other; the interval is the middle 95 %.
    """
    generator = np.random.default_rng(0)
    medians = [np.median(_resampled(np.asarray(times), generator), axis=1)
               for times in (faster, slower)]
    low, high = np.percentile(medians[1] / medians[0], [2.5, 97.5])
    return Ratio(float(np.median(slower) / np.median(faster)), float(low), float(high))


def _resampled(times: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(resamples, len(times)) draws with replacement."""
    return times[generator.integers(len(times), size=(_RESAMPLES, len(times)))]
