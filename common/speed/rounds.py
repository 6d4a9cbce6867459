"""The timed part of a comparison: frameworks and baselines, each in a process of its own, by turns.

    timing = Timing(workers, plan, batch_size, step)
    timing.prove(), timing.warm_up(), timing.rounds()
    timing.measured("keras", opened, start_seconds)

A lane is one figure of one contender. All lanes of training are gone through round by round, in an
order that turns, and then all lanes of inference: a machine that slows down slows every one of them.
"""
from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.contenders import CONTENDERS
from common.machine import MATRIX_SIZE, best_gflops, matmul
from common.speed.engine import BACKWARD, FORWARD, INFERENCE, LATENCY, TRAINING
from common.speed.blocks import Block, Speed, rate_ratio, turns
from common.speed.worker import Worker
from common.twin import RESIDENT

_TRAININGS_SHARE = 0.6  # of the budget; inference has what is left
# Of products that are over before a busy machine takes the core away, as steps of a small network are: 2 ms on two cores.
_SHORT_SIZE = 512
_LONGEST = 20.0  # times as long as wanted a block of the slowest may be; who is quicker than the others by more is broken
PROOF_TOLERANCE = 1e-3  # of the scale of logits and losses: what rounding explains, with room


@dataclass(frozen=True)
class TimingPlan:
    """What to time, and how long."""

    frameworks: List[str]
    baselines: List[str]
    blocks: int  # timed blocks of each lane, at least
    budget: float  # seconds for more of them, until every ratio is known
    steps: int  # timed training steps in a block; predictions are twice as many
    block_seconds: float  # steps are added until a block takes about so long
    calls: int  # of one utterance in a block of latency
    clocks: Sequence[str]
    parts: bool  # forward and backward apart


class Lane(NamedTuple):
    """One figure of one contender."""

    name: str
    kind: str
    clock: str


@dataclass
class Measured:
    """The speed of one network in one contender, and how it came about."""

    facts: Dict[str, str]
    start_seconds: float  # from starting the process to a network that is built
    first_step_seconds: float
    warm_up: Dict[str, int]  # steps of each kind until three took the same time
    unsettled: List[str]  # kinds that went on taking different times, see Bench.warm_up
    speeds: Dict[str, Dict[str, Speed]]  # kind -> clock -> speed
    peak_memory_mib: float


@dataclass(frozen=True)
class Proof:
    """How far a contender is from the first framework, relative to the scale of what it says."""

    logits: float  # of the staged batch, from the initial parameters
    losses: Optional[float]  # of the first steps; None: it does not train

    @classmethod
    def of(cls, own: Mapping[str, Any], first: Mapping[str, Any]) -> Proof:
        """From what both have given as evidence, see `Bench.evidence`."""
        return cls(_distance(own["logits"], first["logits"]),
                   _distance(own["losses"], first["losses"]) if own["losses"] else None)


def lanes(plan: TimingPlan) -> List[List[Lane]]:
    """The lanes of training, and those of inference."""
    both: List[List[Lane]] = [[], []]
    for name in (*plan.frameworks, *plan.baselines):
        own = CONTENDERS[name]
        clocks = plan.clocks if own.framework else (RESIDENT,)
        if own.trains:
            both[0] += [Lane(name, TRAINING, clock) for clock in clocks]
        if own.framework and plan.parts:
            both[0] += [Lane(name, kind, RESIDENT) for kind in (FORWARD, BACKWARD)]
        both[1] += [*(Lane(name, INFERENCE, clock) for clock in clocks), Lane(name, LATENCY, RESIDENT)]
    return both


def pairs(frameworks: Sequence[str], baselines: Sequence[str]) -> List[Tuple[str, str]]:
    """Whose speeds are set in relation: the frameworks as they come, and as they are here; what
    that gains; each with every other baseline; what one's own convolutions are is nothing to another.
    """
    own = [name for name in baselines if CONTENDERS[name].own_of in frameworks]
    others = [name for name in baselines if name not in own]
    gains = [(CONTENDERS[name].own_of, name) for name in own]
    switched = [(name, CONTENDERS[name].switch_of) for name in others if CONTENDERS[name].switch_of in others]
    return [*itertools.combinations(sorted(own, key=lambda name: frameworks.index(CONTENDERS[name].own_of)), 2),
            *itertools.combinations(frameworks, 2), *gains,
            *itertools.product(frameworks, others), *switched]


class Timing:
    """Times the contenders behind `workers`, whose networks are built; `step` tells of progress."""

    def __init__(self, workers: Mapping[str, Worker], plan: TimingPlan, batch_size: int,
                 step: Callable[[str], None]) -> None:
        self._workers, self._plan, self._batch_size, self._step = workers, plan, batch_size, step
        self._evidence: Dict[str, Dict[str, Any]] = {}
        self._warm: Dict[str, Dict[str, List[float]]] = {name: {} for name in workers}
        self._unsettled: Dict[str, List[str]] = {name: [] for name in workers}
        self._blocks: Dict[Lane, List[Block]] = {}
        self.gflops: Dict[str, List[float]] = {}  # library -> matrix product, between the rounds
        self.largest_gflops = 0.0  # of these, and of short ones

    def prove(self) -> None:
        """Have every contender say what its network says; its first step is timed on the way."""
        for name, worker in self._workers.items():
            self._step(f"{name}, first steps")
            self._evidence[name] = worker.ask("evidence")

    def warm_up(self) -> None:
        """Run every kind until it takes the same time again and again, every lane at least once."""
        for lane in sum(lanes(self._plan), []):
            worker = self._workers[lane.name]
            if lane.clock == RESIDENT and lane.kind in (TRAINING, INFERENCE):
                self._step(f"{lane.name}, warming up {lane.kind}")
                warmed = worker.ask("warm_up", kind=lane.kind)
                self._warm[lane.name][lane.kind] = warmed["seconds"]
                if not warmed["settled"]:
                    self._unsettled[lane.name].append(lane.kind)
            else:
                worker.ask("time", kind=lane.kind, clock=lane.clock, steps=1)

    def rounds(self) -> None:
        """Time every lane, block by block in turns, until all ratios are known or time is up."""
        start = time.perf_counter()
        for group, share in zip(lanes(self._plan), (_TRAININGS_SHARE, 1.0)):
            end, number, took = start + share * self._plan.budget, 0, 0.0
            while number < self._plan.blocks or (
                    time.perf_counter() + took < end and not self._known(group[0].kind)):
                began = time.perf_counter()
                self._round(group, number)
                number, took = number + 1, time.perf_counter() - began

    def _round(self, group: List[Lane], number: int) -> None:
        self._measure_machine()
        for lane in turns(group, number):
            self._step(f"{lane.name}, timing {lane.kind}"
                       + ("" if lane.clock == RESIDENT else f" {lane.clock}"))
            block = self._workers[lane.name].ask(
                "time", kind=lane.kind, clock=lane.clock, steps=self._steps(lane.kind))
            self._blocks.setdefault(lane, []).append(Block(**block))

    def _known(self, kind: str) -> bool:
        """Whether every ratio of one kind of step has an interval that is narrow enough."""
        speeds = {lane.name: Speed.of(blocks, self._batch_size) for lane, blocks in self._blocks.items()
                  if (lane.kind, lane.clock) == (kind, RESIDENT)}
        return all(rate_ratio(speeds[a], speeds[b]).known
                   for a, b in pairs(self._plan.frameworks, self._plan.baselines)
                   if a in speeds and b in speeds)

    def measured(self, name: str, opened: Mapping[str, Any], start_seconds: float) -> Measured:
        """Everything about one contender; `opened` is what its worker said when it was built."""
        speeds: Dict[str, Dict[str, Speed]] = {}
        for lane, blocks in self._blocks.items():
            if lane.name == name:
                size = 1 if lane.kind == LATENCY else self._batch_size
                speeds.setdefault(lane.kind, {})[lane.clock] = Speed.of(blocks, size)
        return Measured(opened["facts"], start_seconds, self._evidence[name]["first_step_seconds"],
                        {kind: len(seconds) for kind, seconds in self._warm[name].items()},
                        self._unsettled[name], speeds,
                        self._workers[name].ask("peak_memory")["mib"])

    def proof(self, name: str) -> Proof:
        """How far a contender is from running the network that the first framework runs."""
        return Proof.of(self._evidence[name], self._evidence[self._plan.frameworks[0]])

    def _steps(self, kind: str) -> int:
        """Steps in a block: the same for every contender, enough for the quickest of them, not endless for the slowest."""
        if kind == LATENCY:
            return self._plan.calls
        basis = INFERENCE if kind == INFERENCE else TRAINING
        seconds = [min(warm[basis]) for warm in self._warm.values() if basis in warm]
        enough = min(math.ceil(self._plan.block_seconds / min(seconds)), math.ceil(_LONGEST * self._plan.block_seconds / max(seconds)))
        wanted = self._plan.steps * (2 if kind == INFERENCE else 1)
        steps = max(wanted, enough)
        return steps if kind in (TRAINING, INFERENCE) else math.ceil(steps / 2)

    def _measure_machine(self) -> None:
        """The matrix product of NumPy here, and of each framework where it computes; of ONNX Runtime, too, which no
        variable holds to lesser kernels."""
        products = {"NumPy": best_gflops(matmul(MATRIX_SIZE), MATRIX_SIZE)}
        short = [best_gflops(matmul(_SHORT_SIZE), _SHORT_SIZE)]
        for name in (*self._plan.frameworks, *(name for name in self._plan.baselines if CONTENDERS[name].takes_export)):
            products[name] = self._workers[name].ask("matmul", size=MATRIX_SIZE)["gflops"]
            short.append(self._workers[name].ask("matmul", size=_SHORT_SIZE)["gflops"])
        for name, gflops in products.items():
            self.gflops.setdefault(name, []).append(gflops)
        self.largest_gflops = max(self.largest_gflops, *products.values(), *short)


def _distance(own: Sequence, other: Sequence) -> float:
    """Largest difference, relative to the largest value of `other`."""
    return float(np.abs(np.subtract(own, other)).max() / np.abs(other).max())
