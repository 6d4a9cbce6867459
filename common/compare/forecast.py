"""How long a comparison still takes: from its plan at first, corrected by what its phases then take.

    forecast = Forecast(phases("tdnn", macs, batch_size=16, timing=plan, learned=0, unchecked=0, gflops=150))
    forecast.begin("tdnn", STARTING)
    forecast.left                     # seconds
"""
from __future__ import annotations

import time
from typing import Callable, List, NamedTuple, Optional, Sequence

from common.contenders import CONTENDERS
from common.speed.engine import INFERENCE, LATENCY
from common.speed.bench import PROOF_STEPS
from common.speed.rounds import TimingPlan, lanes
from common.speed.tuning import SECONDS
from common.twin import RESIDENT

PREPARING, STARTING, PROVING, WARMING_UP, TIMING, CHECKING, LEARNING = (
    "preparing", "starting", "proving", "warming up", "timing", "checking", "learning")
# Guesses, until the machine has shown itself.
_START_SECONDS = 3.0  # of a process and its framework
_SHARE_OF_MATMUL = 0.7  # that a step reaches; learning, with its reader and small crops, about as much
_FIRST_STEPS = 2.0  # times as long as others: nets are made, memory is taken
_SELF_CHECK = 180.0  # utterances' forward passes that it is worth: the reference computes in float64
_ROUND_SECONDS = 0.5  # of matrix products between two rounds
_PATIENCE = 3.0  # that a phase may go on beyond its time before nothing is foretold
_BLOCK_SECONDS = 0.1  # that pass beside the steps of a block


class Phase(NamedTuple):
    """A part of the work on one network."""

    network: str
    name: str
    seconds: float  # as guessed
    least: float = 0.0  # that it takes on any machine


def phases(network: str, macs: int, batch_size: int, timing: TimingPlan, learned: int, unchecked: int,
           gflops: float) -> List[Phase]:
    """The phases of one network; `learned`: utterances that the frameworks learn from, or 0; `unchecked`: contenders
    that this machine has not held against the reference before, nor tuned."""
    utterance = 2 * macs / (gflops * 1e9 * _SHARE_OF_MATMUL)  # seconds, forward
    predict, train = batch_size * utterance, 3 * batch_size * utterance
    contenders = [*timing.frameworks, *timing.baselines]
    trained = sum(CONTENDERS[name].trains for name in contenders)

    def block(kind: str) -> float:
        if kind == LATENCY:
            return _BLOCK_SECONDS + 2 * timing.calls * utterance
        steps = max(timing.block_seconds, timing.steps * (2 * predict if kind == INFERENCE else train))
        return _BLOCK_SECONDS + steps + (predict if kind == INFERENCE else 0)

    every_lane = sum(lanes(timing), [])
    preparing = len(timing.frameworks) * (_START_SECONDS + SECONDS) + unchecked * _SELF_CHECK * utterance
    warmed = sum(2 * train if lane.kind != INFERENCE else 4 * predict for lane in every_lane
                 if lane.clock == RESIDENT and lane.kind != LATENCY)
    return [
        Phase(network, PREPARING, preparing if unchecked else 0.0),
        Phase(network, STARTING, _START_SECONDS * len(contenders)),
        Phase(network, PROVING, _FIRST_STEPS * PROOF_STEPS * train * trained),
        Phase(network, WARMING_UP, warmed),
        Phase(network, TIMING, timing.blocks * (2 * _ROUND_SECONDS + sum(block(lane.kind) for lane in every_lane)),
              timing.budget),
        Phase(network, CHECKING, (len(timing.frameworks) * (len(timing.clocks) + 4) + trained) * train),
        Phase(network, LEARNING, len(timing.frameworks) * 3 * learned * utterance),
    ]


class Forecast:
    """Tells the time that is left; `begin` says where the work is."""

    def __init__(self, planned: Sequence[Phase], clock: Callable[[], float] = time.monotonic) -> None:
        self._planned, self._clock = list(planned), clock
        self._start = self._began = clock()
        self._current = 0
        # Of phases that are over and had no fixed time; starting waits for disks, the others compute.
        self._guessed, self._took = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}

    def begin(self, network: str, name: str) -> None:
        """The phase of this name has begun, and the one before it is over."""
        now, before = self._clock(), self._current
        self._current = next(number for number, each in enumerate(self._planned)
                             if (each.network, each.name) == (network, name))
        phase = self._planned[before]
        if self._current > before and not phase.least:
            self._guessed[phase.name == STARTING] += phase.seconds
            self._took[phase.name == STARTING] += now - self._began
        self._began = now

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def left(self) -> Optional[float]:
        """Seconds to the end: what phases took so far tells how much slower than guessed all are.

        None where a phase goes on longer than it was thought to: nobody knows how long it still will.
        """
        slower = {kind: self._took[kind] / guessed if guessed else 1.0
                  for kind, guessed in self._guessed.items()}
        current, *later = [max(slower[phase.name == STARTING] * phase.seconds, phase.least)
                           for phase in self._planned[self._current:]]
        passed = self._clock() - self._began
        return None if passed > current + _PATIENCE else max(0.0, current - passed) + sum(later)
