"""A training step beside another's: every mistake is seen where it points, rounding nowhere."""
from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, Tuple

import numpy as np
import numpy_twin
import pytest
from small_networks import SPECS, drawn_params

from common.compare.verdict import STEP_LIMITS
from common.network.layers import NetworkSpec
from common.network.optimizer import SGD
from common.network.params import Params
from common.proof.step_difference import StepDifference

RATE = 1e-3
State = Dict[str, Params]


def stepped(spec: NetworkSpec, before: State, rate: float = RATE, **optimizer: Any) -> State:
    model = numpy_twin.load().model(spec, before["params"], SGD(**optimizer), before["momenta"])
    random = np.random.default_rng(5)
    model.stage(random.standard_normal((6, 512, 60), np.float32), np.arange(6, dtype=np.int32) % spec.num_speakers)
    model.train_staged(rate)
    return {"params": model.params(), "momenta": model.momenta()}


@pytest.fixture(scope="module", params=["over_maps", "over_time"])
def taken(request: pytest.FixtureRequest) -> Tuple[NetworkSpec, State, State]:
    """A network, the state before a step, and the one after it: as in a run, some steps after the first."""
    spec = SPECS[request.param]
    state = {"params": drawn_params(spec), "momenta": {p.name: np.zeros(p.shape, np.float32) for p in spec.parameters() if p.trainable}}
    for _ in range(3):
        state = stepped(spec, state)
    return spec, state, stepped(spec, state)


def gradient_off(spec: NetworkSpec, before: State, right: State) -> State:
    name = next(p.name for p in spec.parameters() if p.role == "weight")
    added = right["momenta"][name] - np.float32(SGD().momentum) * before["momenta"][name]
    return {"params": {**right["params"], name: right["params"][name] - np.float32(0.05) * added},
            "momenta": {**right["momenta"], name: right["momenta"][name] + np.float32(0.05) * added}}


def slow_statistics(spec: NetworkSpec, before: State, right: State) -> State:
    slow = {p.name: before["params"][p.name] + np.float32(0.1) * (right["params"][p.name] - before["params"][p.name])
            for p in spec.parameters() if not p.trainable}
    return {**right, "params": {**right["params"], **slow}}


# What is wrong -> (the state that it makes, where it shows)
BROKEN: Dict[str, Tuple[Callable[[NetworkSpec, State, State], State], str]] = {
    "rate 2 % off": (lambda spec, before, right: stepped(spec, before, 1.02 * RATE), "along"),
    "a layer's gradient 5 % off": (gradient_off, "along"),
    "no decay": (lambda spec, before, right: stepped(spec, before, weight_decay=0.0), "decay"),
    "decay twice": (lambda spec, before, right: stepped(spec, before, weight_decay=1e-3), "decay"),
    "decay of scales": (lambda spec, before, right: stepped(spec, before, decaying_roles=("weight", "scale")), "decay"),
    "momentum": (lambda spec, before, right: stepped(spec, before, momentum=0.8), "along"),
    "nesterov": (lambda spec, before, right: stepped(spec, before, nesterov=True), "applied"),
    "nothing done": (lambda spec, before, right: before, "difference"),
    "running statistics of momentum 0.99": (slow_statistics, "statistics"),
    "no number": (lambda spec, before, right: {**right, "momenta": {
        name: np.full_like(value, np.nan) for name, value in right["momenta"].items()}}, "difference"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_every_mistake_is_seen_where_it_points(what: str, taken: Tuple[NetworkSpec, State, State]) -> None:
    spec, before, right = taken
    broken, where = BROKEN[what]
    found = dataclasses.asdict(StepDifference.of(spec, before, right, broken(spec, before, right), RATE))
    assert not found[where] < STEP_LIMITS[where][1], found


def test_rounding_is_seen_nowhere(taken: Tuple[NetworkSpec, State, State]) -> None:
    spec, before, right = taken
    random = np.random.default_rng(0)
    rounded = {group: {name: value * (1 + 1e-7 * random.standard_normal(value.shape)) for name, value in each.items()}
               for group, each in right.items()}
    found = dataclasses.asdict(StepDifference.of(spec, before, right, rounded, RATE))
    assert all(found[where] < limit / 5 for where, (_, limit) in STEP_LIMITS.items()), found


def test_variances_without_bessels_correction_may_be_left_out(taken: Tuple[NetworkSpec, State, State]) -> None:
    spec, before, right = taken
    names = [p.name for p in spec.parameters() if p.role == "running_variance"]
    other = {**right, "params": {**right["params"], **{name: 0.98 * right["params"][name] for name in names}}}
    found = [StepDifference.of(spec, before, right, other, RATE, variances).statistics for variances in (True, False)]
    assert found[0] > STEP_LIMITS["statistics"][1] > found[1] == 0
