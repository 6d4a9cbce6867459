"""Where the time of a step goes, layer by layer, as each framework's own profiler tells it.

    python compare.py profile --networks tdnn --out results/profile

A twin's `profile` names every operator of a step with the layer it works for; what belongs to no
layer gets a row of its own, and the rows' sum is held against the step's time by the clock.
"""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from common.contenders import CONTENDERS, FRAMEWORKS
from common.network.layers import Convolution, Dense, NetworkSpec
from common.speed import gate
from common.speed.bench import Work
from common.speed.engine import BACKWARD, FORWARD, INFERENCE, TRAINING
from common.speed.convolutions import as_known
from common.speed.rounds import Proof
from common.speed.worker import Worker, Workers
from common.twin import OpTime

UPDATE = "update"
PHASES = FORWARD, BACKWARD, UPDATE
LOSS, COPIES, OTHER = OUTSIDE = ("loss", "copies and reorders", "other")


@dataclass(frozen=True)
class Profile:
    """One kind of step of one network in one framework."""

    operators: List[OpTime]
    seconds: float  # of a step by the clock, without a profiler

    @property
    def covered(self) -> float:
        """Share of the step's time that its operators account for."""
        return sum(op.seconds for op in self.operators) / self.seconds

    def total(self, layer: str, phase: Optional[str] = None) -> float:
        """Seconds a step of one row, in one phase or all."""
        return sum(op.seconds for op in self.operators
                   if op.layer == layer and phase in (None, op.phase))


@dataclass(frozen=True)
class ProfileStudy:
    """All that one run of the command measured, as profile.json holds it."""

    measured: Dict[str, str]  # see common.measured.facts
    networks: Dict[str, Dict[str, Dict[str, Profile]]]  # network -> kind of step -> framework
    proofs: Dict[str, Proof] = field(default_factory=dict)  # network -> that the last framework computes what the first does


def profile_network(work: Work, steps: int) -> Tuple[Dict[str, Dict[str, Profile]], Proof]:
    """Kind of step -> framework -> profile of `work`, in a worker process a framework; and that both compute the same."""
    profiles: Dict[str, Dict[str, Profile]] = {TRAINING: {}, INFERENCE: {}}
    evidence: List[Dict[str, Any]] = []
    for framework in FRAMEWORKS:
        own = as_known(CONTENDERS[framework], work)
        with Workers(work.threads) as workers:
            gate.ensure(CONTENDERS[framework], own, workers)
        with Worker.of(CONTENDERS[framework], work.threads) as worker:
            worker.ask("build", work=dataclasses.asdict(own))
            evidence.append(worker.ask("evidence"))
            for kind, each in profiles.items():
                each[framework] = _profile_step(worker.ask, kind, steps)
    return profiles, Proof.of(evidence[-1], evidence[0])


def _profile_step(ask: Callable[..., Dict[str, Any]], kind: str, steps: int) -> Profile:
    """Profile a kind of step ("training" or "inference") of what a worker's `Bench` has built.

    ask: the worker's. The clock runs before and after, without the profiler, as the machine's speed
    wanders and the profiler's own work should not count.
    """
    ask("warm_up", kind=kind)
    before = ask("time", kind=kind, steps=steps)["seconds"]
    operators = [OpTime(*operator) for operator in ask("profile", kind=kind, steps=steps)["operators"]]
    after = ask("time", kind=kind, steps=steps)["seconds"]
    return Profile(operators, float(np.median(before + after)))


def layer_of(name: str, layers: Sequence[str]) -> Optional[str]:
    """The layer that a framework's name such as conv1_bn/scale or conv1_bn_grad speaks of."""
    fitting = [layer for layer in layers if name == layer
               or (name.startswith(layer) and name[len(layer)] in "/_")]
    return max(fitting, key=len, default=None)  # conv1_bn_grad is of conv1_bn, not of conv1


def weighted_layer(layer: str, spec: NetworkSpec) -> str:
    """The convolution or dense layer that `layer` is or follows: who a fused operator works for."""
    weighted = ""
    for each in spec.layers:
        if isinstance(each, (Convolution, Dense)):
            weighted = each.name
        if each.name == layer:
            break
    return weighted


def operations(spec: NetworkSpec, frames: int, batch_size: int) -> Dict[str, Dict[str, float]]:
    """Floating-point operations of each layer: layer -> phase -> multiplications and additions.

    Backward is twice forward (gradients to weights and to inputs); the first layer with weights
    needs no gradient to its input.
    """
    found: Dict[str, Dict[str, float]] = {}
    first = True
    for step in spec.steps(frames):
        forward = 2.0 * step.macs * batch_size
        found[step.layer.name] = {FORWARD: forward, BACKWARD: forward if first else 2 * forward}
        first = first and not step.macs
    return found
