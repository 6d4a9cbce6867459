"""What a comparison found: an object for each network, and in it one for each contender.

    result.frameworks["caffe2"].speeds["training"]["resident"].median

All of it is written to report.json and read back, see `common.compare.report`.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional

import numpy as np

from common.compare.accuracy import Paired
from common.compare.verdict import Check
from common.proof.crosscheck import CrossCheck
from common.proof.step_difference import StepDifference
from common.speed.engine import BACKWARD, FORWARD, INFERENCE, LATENCY, TRAINING
from common.speed.blocks import Ratio, rate_ratio
from common.speed.rounds import Measured, Proof, pairs
from common.training.certificate import Certificate
from common.training.config import TrainingConfig
from common.training.evaluation import Evaluation
from common.training.run_folder import EpochRecord
from common.twin import END_TO_END, RESIDENT

WORK = {TRAINING: 3, INFERENCE: 1}  # multiply-accumulates of a step, by those of a forward pass


@dataclass(frozen=True)
class RepeatedStep:
    """A training step after those that were timed, by the very same way."""

    way: float  # that timed ones had gone from where it begins, by its length
    difference: StepDifference  # beside the first framework's


@dataclass
class ContenderResult(Measured):
    """One contender on one network."""

    proof: Proof  # against the first framework
    timed: Dict[str, CrossCheck]  # clock -> predictions of the batch that was timed, by the steps that were timed
    repeated: Dict[str, RepeatedStep]  # clock -> a training step after those that were timed; none of who does not train


@dataclass
class FrameworkResult(ContenderResult):
    """One framework on one network; what is of the learning run is empty if nothing was to be learned."""

    certificate: Certificate
    probe: List[float]  # losses of the first steps at a low rate
    epochs: List[EpochRecord] = field(default_factory=list)  # of the learning run, as its log.jsonl has them
    losses: List[float] = field(default_factory=list)  # of every step of the learning run
    evaluation: Optional[Evaluation] = None  # on the testing side
    crosscheck: Optional[CrossCheck] = None
    tested_epoch: Optional[int] = None  # from 1, see Trainer.load_best; None: nothing was tested


@dataclass(frozen=True)
class RatioOf:
    """How many times as fast `first` is as `second`: contenders, or clocks of one contender."""

    kind: str
    first: str
    second: str
    ratio: Ratio


@dataclass
class NetworkResult:
    """Both frameworks, and the baselines, on one network."""

    network: str
    parameters: int
    macs: int
    matmul_library: str  # the quickest at a matrix product: NumPy or a framework
    matmul_gflops: List[float]  # its product, measured between the rounds
    matmuls: Dict[str, float]  # library -> median
    largest_gflops: float  # of all matrix products of all libraries, see common.speed.rounds
    needed: Dict[str, int]  # framework -> least multiply-accumulates by its plan; of the others it is `macs`
    frameworks: Dict[str, FrameworkResult]
    baselines: Dict[str, ContenderResult]
    ratios: List[RatioOf]  # see common.speed.rounds.pairs
    end_to_end: List[RatioOf]  # of end to end to resident, first is the framework
    # The rest needs two frameworks; None if only one was asked for.
    sides: Optional[List[str]] = None  # frameworks in what follows, of the two furthest apart
    differences: Optional[Dict[str, List[str]]] = None  # of the certificates
    loss_difference: Optional[float] = None  # largest relative, over the steps of the probe
    learning_difference: Optional[float] = None  # the same over the first steps of the learning run, see verdict
    drift: Optional[float] = None  # the same over as many steps of the learning run
    agreement: Optional[float] = None  # share of testing utterances both take for the same speaker
    learning: Optional[TrainingConfig] = None  # of the learning run; None: there was none
    recipe: Optional[str] = None  # of `train` that it followed; None: the comparison's own short run
    cepstral: Optional[Evaluation] = None  # the cepstral baseline on the same test utterances
    paired: List[Paired] = field(default_factory=list)  # every framework with every other and the baseline
    checks: List[Check] = field(default_factory=list)  # see common.compare.verdict

    @property
    def contenders(self) -> Dict[str, ContenderResult]:
        """Frameworks and baselines."""
        return {**self.frameworks, **self.baselines}

    def attainable(self, kind: str) -> float:
        """Utterances a second if a step's multiply-accumulates, direct, went as fast as the quickest matrix product."""
        return float(np.median(self.matmul_gflops)) * 1e9 / (2 * self.macs * WORK[kind])

    def possible(self, name: str, kind: str) -> float:
        """Utterances a second that a contender cannot pass: all that it must multiply, by the largest matrix product."""
        macs = self.needed.get(name, self.macs) * {**WORK, FORWARD: 1, BACKWARD: 3, LATENCY: 1}[kind]
        return max(self.largest_gflops, *self.matmul_gflops) * 1e9 / (2 * macs)

    @property
    def valid(self) -> bool:
        """Whether every check passed; if not, no figure here may be used."""
        return all(check.passed for check in self.checks)


def ratios(frameworks: Dict[str, FrameworkResult], baselines: Dict[str, ContenderResult]) -> List[RatioOf]:
    """Of resident speeds, of every pair of `common.speed.rounds.pairs`."""
    everyone = {**frameworks, **baselines}
    return [RatioOf(kind, a, b, rate_ratio(*(everyone[name].speeds[kind][RESIDENT] for name in (a, b))))
            for kind in (TRAINING, INFERENCE, LATENCY) for a, b in pairs(list(frameworks), list(baselines))
            if kind in everyone[a].speeds and kind in everyone[b].speeds]


def end_to_end(frameworks: Dict[str, FrameworkResult]) -> List[RatioOf]:
    """What reading from files costs each framework."""
    return [RatioOf(kind, name, RESIDENT, rate_ratio(own.speeds[kind][END_TO_END], own.speeds[kind][RESIDENT]))
            for kind in (TRAINING, INFERENCE) for name, own in frameworks.items() if END_TO_END in own.speeds[kind]]
