"""Which way of computing a network's convolutions is the quickest on the machine at hand.

    found = search(spec, Race(start))        # start(plan) -> what runs a training step, and a prediction

Whether a convolution is quicker directly or by Winograd, and with how many points, depends on the
processor, its caches and the libraries. Whole steps are measured, because the way of one layer decides
in which layout its neighbours find their maps. So the direct way is first tried in all layers at once, against
`default_plan`: one layer that is direct among others pays for copies between layouts that none would, had they
all been direct. From the quicker of the two on, one layer after the other is tried in its other ways, and stays
in one that is clearly quicker.
"""
from __future__ import annotations

import gc
import math
import time
from dataclasses import dataclass
from statistics import median
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from common.network.layers import Convolution, NetworkSpec
from common.network.winograd import DIRECT, Plan, candidates, default_plan

BATCH_SIZE = 4  # of the measured steps
SECONDS = 4.0  # after which no other way is begun, for one who wants to get on
MEASURE_SECONDS = 60.0  # the same for one who asked for it: enough for all ways
_ROUNDS = 5
_FIRST_ROUNDS = 3  # of training, after which a way that is slower is given up
ALL = "all"  # in place of a layer's name: every one at once
_CLEARLY = 1.03  # times as quick, in all rounds but one

Step = Callable[[], object]


class Steps(NamedTuple):
    """A network that is built by a plan."""

    train: Step
    predict: Step


@dataclass(frozen=True)
class Candidate:
    """A layer, or `ALL`, that was computed in another way; 0 points: directly."""

    layer: str
    points: int
    times_as_quick: Optional[float]  # in all rounds but one; None: no time was left
    kept: bool


@dataclass(frozen=True)
class Tuned:
    """The plan that was found, and how."""

    plan: Dict[str, int]
    candidates: List[Candidate]


def other_ways(spec: NetworkSpec, plan: Plan) -> Iterator[Tuple[str, int]]:
    """Layer and points of all ways that are not the plan's; layers with most of the work first."""
    for step in sorted(spec.steps(), key=lambda step: -step.macs):
        if isinstance(step.layer, Convolution):
            ways = (0, *candidates(step.layer, step.input_shape[0]))
            yield from ((step.layer.name, points) for points in ways
                        if points != plan.get(step.layer.name, 0))


def search(spec: NetworkSpec, race: Callable[[Plan, Plan], float], seconds: float = SECONDS,
           clock: Callable[[], float] = time.monotonic, tried_before: Sequence[Candidate] = ()) -> Tuned:
    """`race(a, b)` tells how many times as quick b is, at least; no race begins after `seconds`.

    What an earlier search has measured is taken from `tried_before`, so that this one goes on where time was up.
    """
    gains = {(each.layer, each.points): each.times_as_quick for each in tried_before}
    tried: List[Candidate] = []
    end = clock() + seconds

    def quicker(plan: Plan, other: Plan, layer: str, points: int) -> Plan:
        gain = gains.get((layer, points))
        if gain is None and clock() < end:
            gain = race(plan, other)
        kept = gain is not None and gain > _CLEARLY
        tried.append(Candidate(layer, points, gain, kept))
        return other if kept else plan

    plan = quicker(default_plan(spec), DIRECT, ALL, 0)
    for layer, points in list(other_ways(spec, plan)):
        others = {name: own for name, own in plan.items() if name != layer}
        plan = quicker(plan, {**others, layer: points} if points else others, layer, points)
    return Tuned(dict(plan), tried)


class Race:
    """Measures two plans of a network by turns; the last two that ran stay built."""

    def __init__(self, start: Callable[[Plan], Steps], clock: Callable[[], float] = time.perf_counter) -> None:
        self._start, self._clock = start, clock
        self._built: List[Tuple[Plan, Steps]] = []

    def __call__(self, plan: Plan, other: Plan) -> float:
        """How many times as quick `other` is, training and prediction together, in all rounds but one.

        Of two that differ by nothing but noise, one is hardly ever quicker in all rounds but one. Given
        up, with what training says, as soon as that is slower.
        """
        self._built = [built for built in self._built if built[0] in (plan, other)]
        gc.collect()  # frameworks give back a model's memory when nobody holds it
        one, two = self._steps(plan), self._steps(other)
        one.train(), two.train()  # pays for what is made at first
        training = self._ratios(one.train, two.train, _FIRST_ROUNDS)
        if median(training) < 1:
            return median(training)
        training += self._ratios(one.train, two.train, _ROUNDS - _FIRST_ROUNDS)
        one.predict(), two.predict()  # pays for new weights
        predicting = self._ratios(one.predict, two.predict, _ROUNDS)
        return sorted(map(math.sqrt, (t * p for t, p in zip(training, predicting))))[1]

    def _steps(self, plan: Plan) -> Steps:
        for known, steps in self._built:
            if known == plan:
                return steps
        steps = self._start(plan)
        self._built.append((plan, steps))
        return steps

    def _ratios(self, one: Step, two: Step, rounds: int) -> List[float]:
        """The seconds of one by those of the other, round by round in turning order."""
        ratios = []
        for number in range(rounds):
            seconds = {}
            for step in (one, two)[::-1 if number % 2 else 1]:
                began = self._clock()
                step()
                seconds[step] = self._clock() - began
            ratios.append(seconds[one] / seconds[two])
        return ratios
