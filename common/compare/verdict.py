"""Whether a comparison's figures may be believed: every check that was made, judged in one place.

    result.checks = judge(result)
    result.valid                      # False: no ratio is shown, every table is marked
    lines = verdict(results)          # what a report begins with

A speed is worth something only with proof that the numbers it was measured on are right. So each
framework's predictions and losses are held against the other's and against ONNX Runtime in every
run, and so are each baseline's, and so is a training step of each. What is judged elsewhere goes by these.
"""
from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, List, Mapping, Optional, Sequence

from common.contenders import label
from common.proof.crosscheck import LOGIT_TOLERANCE, CrossCheck
from common.speed.engine import INFERENCE, TRAINING
from common.speed.bench import PROOF_STEPS
from common.speed.rounds import PROOF_TOLERANCE, Measured, Proof
from common.twin import RESIDENT

if TYPE_CHECKING:
    from common.compare.results import NetworkResult, RepeatedStep

FAILED = 1  # exit status of a comparison with a check that failed
LEARNING_STEPS = 2  # of the learning run, before rounding has grown: 5e-6 apart, and 9e-2 with labels exchanged
LOSS_TOLERANCE = 1e-3  # of the loss, relative, over a run's first steps: what rounding explains, with room
# Of what the largest matrix product allows. Honest ones were seen at up to 1.02; a training step's three forward passes
# are counted in full, though the first layer's third is not computed, and a product of one size is no machine's best.
SPEED_LIMIT = 1.25
# Of `common.proof.step_difference.StepDifference`: in words, and the limit.
STEP_LIMITS = {
    "difference": ("difference of any tensor", 0.2),
    "along": ("its part along the gradient", 1e-2),
    "decay": ("its part along the weights, of their decay", 0.1),
    "statistics": ("running statistics", 0.02),
    "applied": ("parameters, other than by its momenta", 0.05),
}
_DISTURBED = "too quick to be true, or the machine was disturbed while it was measured: run it again idle"
INVALID = "INVALID"  # the mark on everything that must not be used


@dataclass(frozen=True)
class Check:
    """One thing that had to hold."""

    what: str
    whom: List[str]  # contenders by their keys, several where they are held against each other
    value: Optional[float]  # what was found; None: no finite number
    limit: float  # it must be below, or zero
    passed: bool
    of_speed: bool = False  # a machine that was disturbed fails it, too

    @classmethod
    def of(cls, what: str, whom: Sequence[str], value: float, limit: float, of_speed: bool = False) -> Check:
        finite = math.isfinite(value)
        return cls(what, list(whom), value if finite else None, limit, finite and (value < limit or value == 0), of_speed)

    @property
    def found(self) -> str:
        """The value as people read it."""
        return "no finite number" if self.value is None else f"{self.value:.2g}"

    @property
    def names(self) -> str:
        """Whom it is of, as people write them."""
        return " / ".join(map(label, self.whom))


def heading(result: NetworkResult, name: str) -> str:
    """What a column or row of figures is called: where a check failed nobody shall take it for good."""
    return label(name) if result.valid else f"{INVALID} {label(name)}"


def judge(result: NetworkResult) -> List[Check]:
    """Every check of one network in one run."""
    return list(_checks(result))


def _checks(result: NetworkResult) -> Iterator[Check]:
    first = next(iter(result.frameworks))
    if result.sides is not None:
        yield Check.of("facts of the certificates that differ", result.sides, len(result.differences), 0)
        yield Check.of("losses of the first steps at a low rate", result.sides, result.loss_difference, LOSS_TOLERANCE)
        if result.learning_difference is not None:
            yield Check.of(f"losses of the learning run's first {LEARNING_STEPS} steps", result.sides,
                           result.learning_difference, LOSS_TOLERANCE)
    for name, own in result.contenders.items():
        if name != first:
            yield from _same_network((name, first), own.proof)
        if name in result.baselines:  # of frameworks it is in the certificates
            yield Check.of("precision, other than the first's", (name, first),
                           own.facts["precision"] != result.frameworks[first].facts["precision"], 0)
        for clock in own.speeds.get(INFERENCE, {}):  # of whatever was timed there has to be something to judge
            yield from _through_onnx(f"the timed batch{_by(clock)}", name, own.timed[clock])
        for clock in own.speeds.get(TRAINING, {}):
            yield from _same_step(name, first, _by(clock), own.repeated[clock])
        if own.facts.get("device") == "cpu":  # a card's library may use a way of its own
            yield from _possible(result, name, own)
    for name, own in result.frameworks.items():
        if own.crosscheck is not None:
            yield from _through_onnx("the test utterances", name, own.crosscheck)


def _by(clock: str) -> str:
    return "" if clock == RESIDENT else f", {clock}"


def _possible(result: NetworkResult, name: str, own: Measured) -> Iterator[Check]:
    """Nobody is quicker than the multiplications that have to be done, by any clock, nor is a part of a step."""
    for kind, clocks in own.speeds.items():
        quickest = max(speed.median for speed in clocks.values())
        yield Check.of(f"speed of {kind}, of what its multiplications allow", (name,), quickest / result.possible(name, kind),
                       SPEED_LIMIT, of_speed=True)


def _same_network(whom: Sequence[str], proof: Proof) -> Iterator[Check]:
    yield Check.of("logits before training, of their scale", whom, proof.logits, PROOF_TOLERANCE)
    if proof.losses is not None:
        yield Check.of(f"losses of {PROOF_STEPS} steps, of their scale", whom, proof.losses, PROOF_TOLERANCE)


def _same_step(name: str, first: str, by: str, repeated_step: RepeatedStep) -> Iterator[Check]:
    """A step by the way of those that were timed; the first framework's is held against its own momenta alone."""
    if not by:  # by the other clocks only the step before has gone since
        yield Check.of("a training step, of the way that timed ones went", (name,),
                       1 / repeated_step.way if repeated_step.way else math.inf, 1)
    for part, (words, limit) in STEP_LIMITS.items():
        whom = (name,) if part == "applied" else (name, first)
        if whom != (first, first):
            yield Check.of(f"a training step{by}: {words}", whom, getattr(repeated_step.difference, part), limit)


def _through_onnx(batch: str, name: str, check: CrossCheck) -> Iterator[Check]:
    yield Check.of(f"logits of {batch} against ONNX Runtime", (name,), check.largest_difference, LOGIT_TOLERANCE)
    yield Check.of(f"share of other answers to {batch} than ONNX Runtime's", (name,), 1 - check.same_answer, 0)


def of_proofs(proofs: Mapping[str, Proof]) -> List[str]:
    """What stands above figures of which some proofs fail: a line for each check that failed; `proofs`: what -> of it."""
    checks = [check for what, proof in proofs.items() for check in _same_network((what,), proof) if not check.passed]
    return [f"{INVALID}: no figure below may be used, as wrong numbers were computed",
            *(f"{check.whom[0]}: {check.what}: {check.found}, allowed below {check.limit:g}" for check in checks)] if checks else []


def status_of(proofs: Mapping[str, Proof]) -> int:
    """The exit status of a command with such figures; what failed is told again on standard error: the page has scrolled away."""
    failed = of_proofs(proofs)
    print(*(f"{line}\n" for line in failed), sep="", end="", file=sys.stderr)
    return FAILED if failed else 0


def failures(results: Sequence[NetworkResult]) -> List[str]:
    """A line for every check that failed, in plain words."""
    return [f"{result.network}, {check.names}: {check.what}: {check.found}, allowed "
            f"{'none' if check.limit == 0 else f'below {check.limit:g}'}"
            + (f" ({_DISTURBED})" if check.of_speed else "")
            for result in results for check in result.checks if not check.passed]


def verdict(results: Sequence[NetworkResult]) -> List[str]:
    """What all checks come to, in lines: the first says it, the others name what failed."""
    checks = [check for result in results for check in result.checks]
    failed = [check for check in checks if not check.passed]
    if not failed:
        return [f"Checked in this run: all {len(checks)} checks of predictions, training steps, losses and settings passed."]
    wrong = f"was {_DISTURBED}" if all(check.of_speed for check in failed) else "computes wrong numbers, or not the same work"
    return [f"{INVALID}: {len(failed)} of {len(checks)} checks failed. What was timed {wrong}: "
            "no figure below may be used, and ratios are withheld.", *failures(results)]
