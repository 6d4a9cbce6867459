"""The parity ladder: does an implementation compute what the float64 reference computes?

    findings = climb(trial, record(twin, trial), Arbiter.of(trial))
    first = first_divergence(findings)                  # None: the twin is the reference

The rungs go from cause to effect, and tensors within a rung in the order of the layers, so the
first finding beyond its limit is where to look. An error is the largest difference relative to the
largest value of the tensor's layer. It is set beside what rounding explains: how far the reference
itself strays when it runs in float32.

Gradients are held against the reference's backward pass through the implementation's own outputs,
and its update against the formula on its own gradients. Otherwise what is allowed for would hide
what is looked for: a single ReLU whose input rounding moves across zero changes whole gradients by
1e-2, and proves nothing. The last step is climbed like the first, from the state the implementation
has reached by then; so is the loss of every step. How far losses drift from the reference's own run
is judged only where the network has no such kinks: across them float32 itself strays by per cents
within a hundred steps, from a start that differs by one tipped value, and from others not at all.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.network import reference
from common.network.layers import MaxPool, NetworkSpec, Relu
from common.proof.recording import Rungs, Trace, Trial, record_reference, state_before, update_rung

EPSILON = 2.0 ** -24  # float32's rounding error of a single value, relative
ROUNDINGS = 20  # how many times the reference's own rounding an implementation may stray


@dataclass(frozen=True)
class Limit:
    """Error that is allowed on a rung: `ROUNDINGS` times rounding, but within these two bounds."""

    least: float  # the reference may round luckily
    most: float


# From cause to effect. Limits that are both zero ask for the same bits.
RUNGS: Dict[str, Limit] = {
    "start": Limit(0, 0),  # parameters and momenta as the framework gives them back
    "outputs": Limit(1e-5, 1e-4),  # of every layer in training mode, and the testing logits
    "loss": Limit(1e-6, 1e-5),
    "gradients": Limit(1e-4, 1e-3),  # given the outputs that were found
    # What the step does, given the gradients that were found. Late steps are 1e-4 of their weight and
    # smaller: what float32 cuts off the weight is 1e-3 of them.
    "update": Limit(1e-5, 2e-3),
    "running statistics": Limit(1e-5, 1e-4),  # after the step
}
LOSSES = "losses"  # of every step, given the parameters that it started from
DRIFT = "drift"  # of every step's loss from the reference's own run from the common start
DRIFT_LIMIT = 1e-3


class Arbiter(NamedTuple):
    """The reference's answer, and the same formulas in float32 to show what rounding explains."""

    exact: Trace
    rounded: Trace

    @classmethod
    def of(cls, trial: Trial) -> Arbiter:
        return cls(record_reference(trial), record_reference(trial, np.float32))


@dataclass(frozen=True)
class Finding:
    """One tensor on one rung; errors are relative to the scale of the tensor's layer."""

    step: int
    rung: str
    tensor: str
    error: float  # infinite where shapes differ, not a number where values are not
    rounding: float  # of the reference in float32
    limit: float

    @property
    def diverges(self) -> bool:
        return not self.error <= self.limit

    def __str__(self) -> str:
        return (f"{self.tensor} on rung {self.rung!r} of step {self.step} is off by "
                f"{self.error:.1e} of its scale, {self.error / self.rounding:,.0f} times what "
                f"rounding explains (limit {self.limit:.1e})")


def climb(trial: Trial, actual: Trace, arbiter: Arbiter) -> List[Finding]:
    """A finding for every tensor: the first step's rungs, the last step's, the losses."""
    findings = _climb_step(trial, 0, actual.rungs[0], arbiter)
    if trial.last > 0:
        last = actual.rungs[trial.last]
        own = trial.at(trial.last, *state_before(last))
        findings += _climb_step(own, trial.last, last, Arbiter.of(own))
    findings += [_judged_loss(trial, actual, step) for step in range(len(trial.batches))]
    limit = np.inf if _has_kinks(trial.spec) else DRIFT_LIMIT
    errors, roundings = (np.abs(recording.losses / arbiter.exact.losses - 1)
                         for recording in (actual, arbiter.rounded))
    return findings + [Finding(step, DRIFT, "loss", error, max(rounding, EPSILON), limit) for
                       step, (error, rounding) in enumerate(zip(errors, np.maximum.accumulate(roundings)))]


def _judged_loss(trial: Trial, actual: Trace, step: int) -> Finding:
    """A step's loss against the reference's from the very parameters that the step started from."""
    own = trial.batches[step]
    exact, rounded = (reference.cross_entropy(reference.logits(trial.spec, reference.forward(
        trial.spec, actual.states[step], own.spectrograms, True, dtype)), own.speakers, trial.spec.other_target)[0]
        for dtype in (np.float64, np.float32))
    return _judged(step, LOSSES, "loss", abs(actual.losses[step] / exact - 1),
                   abs(rounded / exact - 1), RUNGS["loss"])


def _has_kinks(spec: NetworkSpec) -> bool:
    """Whether rounding can change whole gradients: by a value that crosses zero, or overtakes."""
    return any(isinstance(layer, (Relu, MaxPool)) for layer in spec.layers)


def _climb_step(trial: Trial, step: int, actual: Rungs, arbiter: Arbiter) -> List[Finding]:
    exact, rounded = arbiter.exact.rungs[0], arbiter.rounded.rungs[0]
    errors, roundings = (differences(rungs, _expected(trial, rungs, exact))
                         for rungs in (actual, rounded))
    return [_judged(step, rung, tensor, error, roundings[rung][tensor], limit)
            for rung, limit in RUNGS.items() for tensor, error in errors[rung].items()]


def _judged(step: int, rung: str, tensor: str, error: float, rounding: float,
            limit: Limit) -> Finding:
    rounding = max(rounding, EPSILON)
    allowed = min(max(ROUNDINGS * rounding, limit.least), limit.most)
    return Finding(step, rung, tensor, error, rounding, allowed)


def first_divergence(findings: Sequence[Finding]) -> Optional[Finding]:
    """The first finding beyond its limit, None if there is none."""
    return next((finding for finding in findings if finding.diverges), None)


def differences(actual: Rungs, expected: Rungs) -> Dict[str, Dict[str, float]]:
    """rung -> tensor -> largest difference relative to the largest value in its layer's tensors.

    By layer, because some gradients are exactly zero, as that of a bias before a batch norm is:
    relative to itself its rounding would be infinitely large.
    """
    return {rung: dict(_relative(actual[rung], tensors)) for rung, tensors in expected.items()}


def tipped_relus(spec: NetworkSpec, one: Rungs, other: Rungs) -> Tuple[int, int]:
    """Of all values that ReLUs put out, how many are zero in one recording only, and how many all.

    Each passes a gradient in one of the two and none in the other, without either being wrong.
    """
    names = [layer.name for layer in spec.layers if isinstance(layer, Relu)]
    tipped = sum(int(((one["outputs"][name] > 0) != (other["outputs"][name] > 0)).sum())
                 for name in names)
    return tipped, sum(one["outputs"][name].size for name in names)


def _relative(actual: Mapping[str, np.ndarray],
              expected: Mapping[str, np.ndarray]) -> Iterator[Tuple[str, float]]:
    scales: Dict[str, float] = {}
    for name, value in expected.items():
        layer = name.split("/")[0]
        scales[layer] = max(scales.get(layer, 0.0), _largest(value))
    for name, value in expected.items():
        if actual[name].shape != value.shape:
            yield name, np.inf
            continue
        worst = _largest(actual[name] - value)
        yield name, worst / scales[name.split("/")[0]] if worst else 0.0


def _largest(value: np.ndarray) -> float:
    """The largest absolute value, not a number if one is none; without a second array of that size."""
    return float(np.maximum(value.max(), -value.min()))


def _expected(trial: Trial, actual: Rungs, exact: Rungs) -> Rungs:
    """What the reference makes of the implementation's own rungs below, where they can be used."""
    expected, batch = dict(exact), trial.batches[0]
    if same_shapes(actual["outputs"], exact["outputs"]):
        expected["gradients"] = reference.backward(
            trial.spec, trial.params, batch.spectrograms, batch.speakers,
            actual["outputs"]).gradients
    if same_shapes(actual["gradients"], exact["gradients"]):
        after, momenta = reference.update(trial.spec, trial.params, trial.momenta,
                                          actual["gradients"], trial.learning_rates[0],
                                          trial.optimizer)
        expected["update"] = update_rung(trial.params, after, momenta)
    return expected


def same_shapes(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> bool:
    """Whether every expected tensor has come in its shape."""
    return all(actual[name].shape == value.shape for name, value in expected.items())
