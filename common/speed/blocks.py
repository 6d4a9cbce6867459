"""The timed loop, one for every framework and baseline, and what may be said of its times.

    block = timed(lambda tick: run("training", 4, tick))     # in the process that computes
    speed = Speed.of(blocks, batch_size=16)
    ratio = rate_ratio(speed, other)                         # blocks of both by turns, see `turns`
"""
from __future__ import annotations

import gc
import resource
import time
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, TypeVar

import numpy as np

from common.speed.energy import EnergyMeter

TARGET = 0.05  # a ratio is known when its interval ends within so much of it
_SAYS_NOTHING = 2.0  # times the ratio: an interval that ends further away is not shown
_RESAMPLES = 4000
T = TypeVar("T")

Tick = Callable[[], None]


@dataclass(frozen=True)
class Block:
    """Steps that were timed one right after the other, and what happened to the process meanwhile."""

    seconds: List[float]  # of each step
    minor_faults: int  # pages handed to the process without reading a disk
    major_faults: int
    involuntary_switches: int  # times another process was given its CPU
    joules: Optional[float]  # of the whole processor or card; None: no counter can be read


def timed(run: Callable[[Tick], None]) -> Block:
    """Time what `run(tick)` does: it calls `tick` before its first step and after each.

    A step is over when its numbers are in Python: no engine can hand back a promise.
    """
    moments: List[float] = []
    meter = EnergyMeter()
    # TensorFlow holds a third of a million objects, and 0.2 s go into looking at them: not again before the next block.
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in a step would be charged to the framework
    try:
        before, energy = resource.getrusage(resource.RUSAGE_SELF), meter.read()
        run(lambda: moments.append(time.perf_counter()))
        joules, after = meter.joules_since(energy), resource.getrusage(resource.RUSAGE_SELF)
    finally:
        gc.enable()
    return Block([float(s) for s in np.diff(moments)], after.ru_minflt - before.ru_minflt,
                 after.ru_majflt - before.ru_majflt, after.ru_nivcsw - before.ru_nivcsw, joules)


def repeat(step: Callable[[], object], steps: int, tick: Tick) -> object:
    """Run `step` so many times, at least once, for `timed`; returns what the last one came to."""
    tick()
    for _ in range(steps):
        last = step()
        tick()
    return last


@dataclass(frozen=True)
class Speed:
    """Throughput of a step that was timed in several blocks, in utterances per second."""

    median: float
    low: float  # slowest step
    high: float  # fastest step
    steps: int
    blocks: int  # of equal length
    seconds: List[float]  # every step, block after block
    minor_faults: float  # a step, as the next two
    major_faults: float
    involuntary_switches: float
    joules: Optional[float]  # an utterance

    @classmethod
    def of(cls, blocks: Sequence[Block], batch_size: int) -> Speed:
        seconds = [s for block in blocks for s in block.seconds]
        rates, steps = batch_size / np.asarray(seconds), len(seconds)
        counts = (sum(getattr(block, name) for block in blocks) / steps
                  for name in ("minor_faults", "major_faults", "involuntary_switches"))
        joules = [block.joules for block in blocks]
        return cls(float(np.median(rates)), float(rates.min()), float(rates.max()), steps,
                   len(blocks), seconds, *counts,
                   None if None in joules else sum(joules) / (steps * batch_size))

    def percentile(self, percent: float) -> float:
        """Seconds that so many per cent of the steps stayed below."""
        return float(np.percentile(self.seconds, percent))

    def by_block(self) -> np.ndarray:
        """(blocks, steps of a block) seconds."""
        return np.reshape(self.seconds, (self.blocks, -1))


@dataclass(frozen=True)
class Ratio:
    """How many times faster one is than the other: ratio of medians, 95 % interval."""

    ratio: float
    low: float
    high: float

    @property
    def detectable(self) -> bool:
        """Whether the interval leaves out 1, so that there is a difference to speak of."""
        return not self.low <= 1 <= self.high

    @property
    def error(self) -> float:
        """How far the interval's upper end is from the ratio, as a share of it."""
        return self.high / self.ratio - 1

    @property
    def known(self) -> bool:
        """Whether the interval is narrow enough to stop measuring."""
        return self.error <= TARGET

    @property
    def told(self) -> bool:
        """Whether the interval says anything at all."""
        return self.error < _SAYS_NOTHING - 1

    def __str__(self) -> str:
        if not self.told:
            return "withheld: too noisy to tell"
        text = f"{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}]"
        return text if self.detectable else f"{text}, no detectable difference"


@dataclass(frozen=True)
class Difference:
    """By how many seconds one kind of step takes longer than another: mean, 95 % interval."""

    seconds: float
    low: float
    high: float


def time_difference(longer: Speed, shorter: Speed) -> Difference:
    """Of two that were timed in the same rounds, from the difference in each round.

    Each round's own difference, because a slow moment of the machine slows both. Student's t.
    """
    from scipy.special import stdtrit

    rounds = np.subtract(*(np.median(each.by_block(), axis=1) for each in (longer, shorter)))
    half = float(stdtrit(len(rounds) - 1, 0.975) * rounds.std(ddof=1) / np.sqrt(len(rounds)))
    return Difference(float(rounds.mean()), float(rounds.mean()) - half, float(rounds.mean()) + half)


def rate_ratio(faster: Speed, slower: Speed) -> Ratio:
    """Ratio of the rates of two that were timed in the same rounds, at equal work a step.

    > 1 if the first is faster. A slow moment of the machine lasts for a whole block or round, so
    steps are not independent: whole rounds are resampled, each with the blocks that both had in it.
    The spread of their logarithms (half of the middle 68 %, which one ruined round does not stretch)
    with Student's t for so few rounds gives the interval; plain percentiles would be too narrow.
    """
    from scipy.special import stdtrit

    times = faster.by_block(), slower.by_block()
    rounds = len(times[0])
    if rounds < 2 or rounds != len(times[1]):
        raise ValueError("a ratio needs at least two rounds that both were timed in")
    chosen = np.random.default_rng(0).integers(rounds, size=(_RESAMPLES, rounds))
    medians = [np.median(each[chosen].reshape(_RESAMPLES, -1), axis=1) for each in times]
    below, above = np.percentile(np.log(medians[1] / medians[0]), [15.87, 84.13])
    error = (above - below) / 2 * np.sqrt(rounds / (rounds - 1))
    ratio = float(np.median(slower.seconds) / np.median(faster.seconds))
    factor = float(np.exp(stdtrit(rounds - 1, 0.975) * error))
    return Ratio(ratio, ratio / factor, ratio * factor)


def turns(names: Sequence[T], number: int) -> List[T]:
    """The order of round `number`: A B, B A, B A, A B for two; for more it also goes round.

    Every name comes before and after every other one equally often.
    """
    first = number // 2 % len(names)
    order = [*names[first:], *names[:first]]
    return order if number % 2 == 0 else order[::-1]
