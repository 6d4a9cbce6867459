"""What was timed, done once more and looked at: a training step and a prediction of everyone, by the very same ways.

    stepped = training_steps(workers, plan, state, spec)   # state: a file of `Bench.save`
    said = answers(workers, plan, state, export)

Speeds are of steps whose results nobody kept. So each contender is asked for one more of them, all from the
same state and on the batch that was timed, and tells what it has become.
"""
from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Callable, Dict, Mapping, Sequence

import numpy as np

from common.compare.results import RepeatedStep
from common.contenders import CONTENDERS
from common.network import params as parameters
from common.network.layers import NetworkSpec
from common.proof.step_difference import StepDifference
from common.speed.engine import RATE
from common.speed.rounds import TimingPlan
from common.speed.worker import Worker, at_once
from common.twin import RESIDENT


def training_steps(workers: Mapping[str, Worker], plan: TimingPlan, state: Path, spec: NetworkSpec) -> Dict[str, Dict[str, RepeatedStep]]:
    """Each one's training step, by the clocks that it was timed by, beside the first framework's; deletes `state`.

    It is best one of the first steps, where gradients are large: timed ones learn their batch by heart.
    """
    first, *_ = plan.frameworks
    found: Dict[str, Dict[str, RepeatedStep]] = {name: {} for name in workers if CONTENDERS[name].trains}
    before, right = parameters.load(state), {}
    for clock in plan.clocks:
        names = [name for name in found if clock == RESIDENT or CONTENDERS[name].framework]
        after = {name: state.with_name(f"{state.stem}-{name}.npz") for name in names}
        told = at_once([partial(workers[name].ask, "step", path=str(state), after=str(after[name]), clock=clock)
                        for name in names])
        right = right or parameters.load(after[first])
        for name, each in zip(names, told):
            own = parameters.load(after[name])
            found[name][clock] = RepeatedStep(each["way"], StepDifference.of(spec, before, right, own, RATE, CONTENDERS[name].is_twin))
            after[name].unlink()
    state.unlink()
    return found


def answers(workers: Mapping[str, Worker], plan: TimingPlan, state: Path, export: Callable[[], Path]
            ) -> Dict[str, Dict[str, np.ndarray]]:
    """Each one's logits, by the clocks that it was timed by; `export` writes what the others know to an ONNX file."""
    said: Dict[str, Dict[str, np.ndarray]] = {name: {} for name in workers}

    def ask(names: Sequence[str], clock: str) -> None:
        told = at_once([partial(workers[name].ask, "answer", path=str(state), clock=clock) for name in names])
        for name, own in zip(names, told):
            said[name][clock] = np.array(own["logits"])

    exported = [name for name in workers if CONTENDERS[name].takes_export]
    for clock in plan.clocks:
        ask([name for name in workers if CONTENDERS[name].framework or clock == RESIDENT and name not in exported], clock)
    export()
    ask(exported, RESIDENT)
    return said
