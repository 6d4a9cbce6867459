"""Whether a comparison's figures may be believed: every check that was made, judged in one place.

    result.checks = judge(result)
    result.valid                      # False: no ratio is shown, every table is marked
    lines = verdict(results)          # what a report begins with

A speed is worth something only with proof that the numbers it was measured on are right. So each
framework's predictions and losses are held against the other's and against ONNX Runtime in every
run, and each baseline's against the first framework's. What is judged elsewhere goes by these.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence

from common.contenders import label
from common.proof.crosscheck import TOLERANCE, CrossCheck
from common.speed.rounds import PROOF_STEPS, PROOF_TOLERANCE, Proof

if TYPE_CHECKING:
    from common.compare.results import NetworkResult

FAILED = 1  # exit status of a comparison with a check that failed
LOSS_TOLERANCE = 1e-3  # of the loss, relative, over a run's first steps: what rounding explains, with room
INVALID = "INVALID"  # the mark on everything that must not be used


@dataclass(frozen=True)
class Check:
    """One thing that had to hold."""

    what: str
    whom: str  # of contenders by their key, "caffe2 / tensorflow" for one against another
    value: Optional[float]  # what was found; None: no finite number
    limit: float  # it must be below, or zero
    passed: bool

    @classmethod
    def of(cls, what: str, whom: str, value: float, limit: float) -> "Check":
        finite = math.isfinite(value)
        return cls(what, whom, value if finite else None, limit, finite and (value < limit or value == 0))

    @property
    def found(self) -> str:
        """The value as people read it."""
        return "no finite number" if self.value is None else f"{self.value:.2g}"

    @property
    def names(self) -> str:
        """Whom it is of, as people write them."""
        return " / ".join(label(name) for name in self.whom.split(" / "))


def heading(result: "NetworkResult", name: str) -> str:
    """What a column or row of figures is called: where a check failed nobody shall take it for good."""
    return label(name) if result.valid else f"{INVALID} {label(name)}"


def judge(result: "NetworkResult") -> List[Check]:
    """Every check of one network in one run."""
    return list(_checks(result))


def _checks(result: "NetworkResult") -> Iterator[Check]:
    first = next(iter(result.frameworks))
    if result.sides is not None:
        both = " / ".join(result.sides)
        yield Check.of("facts of the certificates that differ", both, len(result.differences), 0)
        yield Check.of("losses of the first steps at a low rate", both, result.loss_difference, LOSS_TOLERANCE)
    for name, own in result.contenders.items():
        if name != first:
            yield from _same_network(f"{name} / {first}", own.proof)
    for name, own in result.frameworks.items():
        yield from _through_onnx("the timed batch", name, own.timed)
        if own.crosscheck is not None:
            yield from _through_onnx("the test utterances", name, own.crosscheck)


def _same_network(pair: str, proof: Proof) -> Iterator[Check]:
    yield Check.of("logits before training, of their scale", pair, proof.logits, PROOF_TOLERANCE)
    if proof.losses is not None:
        yield Check.of(f"losses of {PROOF_STEPS} steps, of their scale", pair, proof.losses, PROOF_TOLERANCE)


def _through_onnx(batch: str, name: str, check: CrossCheck) -> Iterator[Check]:
    yield Check.of(f"logits of {batch} against ONNX Runtime", name, check.largest_difference, TOLERANCE)
    yield Check.of(f"share of other answers to {batch} than ONNX Runtime's", name, 1 - check.same_answer, 0)


def failures(results: Sequence["NetworkResult"]) -> List[str]:
    """A line for every check that failed, in plain words."""
    return [f"{result.network}, {check.names}: {check.what}: {check.found}, allowed "
            f"{'none' if check.limit == 0 else f'below {check.limit:g}'}"
            for result in results for check in result.checks if not check.passed]


def verdict(results: Sequence["NetworkResult"]) -> List[str]:
    """What all checks come to, in lines: the first says it, the others name what failed."""
    failed, total = failures(results), sum(len(result.checks) for result in results)
    if not failed:
        return [f"Checked in this run: all {total} checks of predictions, losses and settings passed."]
    return [f"{INVALID}: {len(failed)} of {total} checks failed. What was timed computes wrong numbers, or not "
            "the same work: no figure below may be used, and ratios are withheld.", *failed]
