"""How the cost of a step grows: with batch size, threads, frames and speakers, against its arithmetic.

    points = Scaling(base, FRAMEWORKS, show).run({"frames": [100, 300, 1000]})

At each value both frameworks are timed by turns (A B B A), in fresh processes, once their first steps were held against
each other.
"""
from __future__ import annotations

import dataclasses
import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np

from common.contenders import CONTENDERS
from common.machine import available_memory_mib
from common.speed.bench import Work
from common.speed.engine import INFERENCE, TRAINING
from common.speed.blocks import turns
from common.speed.rounds import Proof
from common.speed.convolutions import as_known
from common.speed.worker import Worker

BATCH, THREADS, FRAMES, SPEAKERS = ("batch size", "threads", "frames", "speakers")
_FIELDS = {BATCH: "batch_size", THREADS: "threads", FRAMES: "frames", SPEAKERS: "num_speakers"}
KINDS = (TRAINING, INFERENCE)
_BLOCKS = 4  # of each framework: A B B A A B B A
_BLOCK_SECONDS = 0.3  # at least, so that a block of quick steps is not all noise
_MOST_STEPS = 20  # in a block
_ROOM = 1.2  # memory that is wanted free, of what a point is expected to take


@dataclass(frozen=True)
class Point:
    """One framework at one value of one axis."""

    network: str
    axis: str
    value: int
    kind: str  # of step
    framework: str
    batch_size: int
    macs: int  # multiply-accumulates of an utterance, forward
    seconds: List[float]  # of every timed step
    peak_memory_mib: float
    together: bool  # whether the frameworks took turns; else one came after the other
    proof: Optional[Proof] = None  # that it computes what the first framework does, which has none

    @property
    def per_utterance(self) -> float:
        """Median milliseconds for one utterance."""
        return 1000 * float(np.median(self.seconds)) / self.batch_size


@dataclass(frozen=True)
class ScalingStudy:
    """All that one run of the command measured, as scaling.json holds it."""

    measured: Dict[str, str]  # see common.measured.facts
    points: List[Point]
    left_out: List[str]  # what was not measured, and why

    @property
    def proofs(self) -> Dict[str, Proof]:
        """Point -> that it computes what the first framework does."""
        return {f"{point.network}, {point.axis} {point.value}, {point.framework}": point.proof
                for point in self.points if point.proof is not None}


# (what is being done, values done, values in all) -> None
Show = Callable[[str, int, int], None]


@dataclass
class Scaling:
    """Measures points around one base, which the other axes are held at.

    left_out: what was not measured, and why
    """

    base: Work
    frameworks: Sequence[str]  # keys of `common.contenders.CONTENDERS`
    show: Show
    left_out: List[str] = dataclasses.field(default_factory=list)

    def run(self, values: Mapping[str, Sequence[int]]) -> List[Point]:
        """Measure every value of each axis, from the smallest up."""
        points: List[Point] = []
        total, done = sum(map(len, values.values())), 0
        for axis, each in values.items():
            expected: Dict[str, float] = {}  # framework -> MiB, of the value before, by its growth
            last = None
            for value in sorted(each):
                self.show(f"{self.base.network}: {axis} {value}", done, total)
                growth = value / last if last and axis in (BATCH, FRAMES) else 1.0
                found = self._measure(axis, value, {name: mib * growth for name, mib in expected.items()})
                expected = {point.framework: point.peak_memory_mib for point in found}
                last, done = value if found else last, done + 1
                points += found
        return points

    def _measure(self, axis: str, value: int, expected: Dict[str, float]) -> List[Point]:
        """Both frameworks at one value; one after the other if both at once do not fit in memory."""
        work = dataclasses.replace(self.base, **{_FIELDS[axis]: value})
        free = available_memory_mib() / _ROOM
        if max(expected.values(), default=0) > free:
            self.left_out.append(f"{work.network}, {axis} {value}: would take about "
                                 f"{max(expected.values()):,.0f} MiB, {free * _ROOM:,.0f} MiB are free")
            return []
        together = sum(expected.values()) <= free
        groups = [list(self.frameworks)] if together else [[name] for name in self.frameworks]
        evidence: Dict[str, Dict[str, Any]] = {}
        return [point for group in groups for point in self._turns(axis, value, work, group, together, evidence)]

    def _turns(self, axis: str, value: int, work: Work, names: List[str], together: bool,
               evidence: Dict[str, Dict[str, Any]]) -> List[Point]:
        """`evidence` gets what those of `names` give; that of the first framework is there before the others'."""
        macs, first = work.spec.macs(work.frames), self.frameworks[0]
        seconds: Dict[str, Dict[str, List[float]]] = {kind: {name: [] for name in names} for kind in KINDS}
        with ExitStack() as stack:
            workers = {name: stack.enter_context(Worker.of(CONTENDERS[name], work.threads))
                       for name in names}
            for name, worker in workers.items():
                worker.ask("build", work=dataclasses.asdict(as_known(CONTENDERS[name], work)))
                evidence[name] = worker.ask("evidence")
            for kind, each in seconds.items():
                steps = {name: _steps(worker.ask("warm_up", kind=kind, most=5)["seconds"])
                         for name, worker in workers.items()}
                for block in range(_BLOCKS):
                    for name in turns(names, block):
                        each[name] += workers[name].ask("time", kind=kind, steps=steps[name])["seconds"]
            memory = {name: worker.ask("peak_memory")["mib"] for name, worker in workers.items()}
        return [Point(work.network, axis, value, kind, name, work.batch_size, macs, each[name],
                      memory[name], together, None if name == first else Proof.of(evidence[name], evidence[first]))
                for kind, each in seconds.items() for name in names]


def _steps(warm_up: Sequence[float]) -> int:
    """Steps in a block, so that it is neither a blink nor a minute."""
    return max(1, min(_MOST_STEPS, math.ceil(_BLOCK_SECONDS / warm_up[-1])))
