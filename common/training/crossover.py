"""Training that starts in one framework and goes on in the other: does the loss go on as well?

    crossing = cross(first, second, start, batches, switch=20, path=Path("half.npz"))
    assert crossing.largest_difference < CROSSING_TOLERANCE
"""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

from common.data.batches import Batch
from common.network.optimizer import Schedule
from common.training.checkpoint import Checkpoint, load_checkpoint, model_of, save_checkpoint
from common.training.metrics import loss_differences
from common.twin import Model, Twin, train_on

CROSSING_TOLERANCE = 1e-3  # of the loss, relative, over 20 steps after the switch


@dataclass(frozen=True)
class Crossing:
    """The loss of every step, in one framework throughout and with a switch on the way."""

    first: str
    second: str
    switch: int  # steps before the switch
    uninterrupted: List[float]
    crossed: List[float]

    @property
    def differences(self) -> List[float]:
        """Of each step's loss after the switch, relative to the uninterrupted run's."""
        return loss_differences(self.uninterrupted[self.switch:], self.crossed[self.switch:]).tolist()

    @property
    def largest_difference(self) -> float:
        """Of any step's loss after the switch."""
        return max(self.differences)


@dataclass(frozen=True)
class CrossoverStudy:
    """All that one run of the command found, as crossover.json holds it."""

    measured: Dict[str, str]  # see common.measured.facts
    network: str
    crossings: List[Crossing]


def cross(first: Twin, second: Twin, start: Checkpoint, batches: Sequence[Batch], switch: int,
          path: Path) -> Crossing:
    """Train on `batches` twice: in `first` all along, and in `second` from step `switch` on.

    What crosses is a checkpoint file at `path`: parameters, batch norm's statistics, momentum
    buffers and the position in the schedule.
    """
    schedule = start.config.schedule_over(len(batches))
    model = model_of(first, start)
    before = _train(model, batches[:switch], schedule, start.step)
    save_checkpoint(path, dataclasses.replace(
        start, params=model.params(), momenta=model.momenta(), step=start.step + switch,
        framework=first.framework))
    stayed = _train(model, batches[switch:], schedule, start.step + switch)
    half = load_checkpoint(path)
    moved = _train(model_of(second, half), batches[switch:], schedule, half.step)
    return Crossing(first.framework, second.framework, switch, before + stayed, before + moved)


def _train(model: Model, batches: Sequence[Batch], schedule: Schedule, step: int) -> List[float]:
    return [train_on(model, batch, schedule(step + offset)).loss for offset, batch in enumerate(batches)]
