"""The comparison: both frameworks through the same work, in turns, and what came out of it.

    result = Comparison(plan, show).run()

For each network one worker process a framework is started. Their timed blocks take turns
(A B B A), so that a machine that slows down slows both; so do their training epochs. Then both
predict the testing side, and both exports are run by ONNX Runtime on the same utterances.
"""
from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from common.compare import benchmark, crosscheck
from common.compare.benchmark import Block, Speed
from common.compare.crosscheck import CrossCheck
from common.compare.session import Job
from common.compare.worker import Worker
from common.data.dataset import Dataset
from common.data.splits import Split
from common.machine import MATRIX_SIZE, best_gflops, matmul
from common.network.networks import build
from common.training.certificate import Certificate, compare_certificates
from common.training.config import TrainingConfig
from common.training.evaluation import Evaluation

FRAMEWORKS = {"tensorflow": "tf_impl", "caffe2": "caffe2_impl"}
# Steps that both must take alike, at a rate so low that rounding has no time to grow: at the
# learning run's own rate one ReLU that rounding tips over can move the loss by per cents.
PROBE_STEPS = 5
PROBE_RATE = 1e-4


@dataclass(frozen=True)
class Plan:
    """What to compare, and how long."""

    data: List[str]
    configs: List[TrainingConfig]  # of the learning run, one for each network
    frameworks: List[str]
    device: str
    threads: int
    blocks: int = 4  # timed blocks of each framework
    steps: int = 2  # timed steps in a block


@dataclass
class FrameworkResult:
    """One framework on one network."""

    facts: Dict[str, str]
    certificate: Certificate
    start_seconds: float  # importing the framework and building the network
    first_step_seconds: float
    probe: List[float]  # losses of the first steps at PROBE_RATE
    training: Speed  # staged input, uncropped
    inference: Speed
    epochs: List[Dict[str, Any]]  # of the learning run, see Session.train_epoch
    evaluation: Evaluation  # on the testing side
    peak_memory_mib: float
    crosscheck: CrossCheck


@dataclass
class NetworkResult:
    """Both frameworks on one network."""

    network: str
    parameters: int
    macs: int
    matmul_gflops: List[float]  # measured between the blocks
    frameworks: Dict[str, FrameworkResult]
    # The rest needs two frameworks; None if only one was asked for.
    sides: Optional[List[str]] = None  # first and second framework in what follows
    differences: Optional[Dict[str, List[str]]] = None  # of the certificates
    loss_difference: Optional[float] = None  # largest relative, over the steps of the probe
    drift: Optional[float] = None  # the same over as many steps of the learning run
    training_ratio: Optional[benchmark.Ratio] = None  # of the first's speed to the second's
    inference_ratio: Optional[benchmark.Ratio] = None
    agreement: Optional[float] = None  # share of testing utterances both take for the same speaker


# (what is being done, steps done, steps in all) -> None
Show = Callable[[str, int, int], None]


class Comparison:
    """Runs a plan. `folder` gets the ONNX files and logits; they are large and stay out of git."""

    def __init__(self, plan: Plan, dataset: Dataset, split: Split, folder: Path,
                 show: Show) -> None:
        self._plan, self._dataset, self._split = plan, dataset, split
        self._folder, self._show = folder, show
        # Per network: opening, a first step, the blocks, the probe, epochs, predicting, checking.
        each = len(plan.frameworks)
        self._total = sum(each * (3 + 2 * plan.blocks + config.epochs + 2)
                          for config in plan.configs)
        self._done = 0

    def run(self) -> List[NetworkResult]:
        """Compare every network of the plan, one after the other."""
        return [self._compare(config) for config in self._plan.configs]

    def _compare(self, config: TrainingConfig) -> NetworkResult:
        plan, network = self._plan, config.network
        job = dataclasses.asdict(Job(plan.data, dataclasses.asdict(config), plan.device,
                                     plan.threads))
        spec = build(network, len(self._dataset.speakers), config.width)
        with ExitStack() as stack:
            workers = {name: stack.enter_context(Worker(f"{FRAMEWORKS[name]}.worker", plan.threads))
                       for name in plan.frameworks}
            opened = self._each(workers, network, "starting", "open", job=job)
            staged = self._each(workers, network, "first step", "evidence", steps=1,
                                learning_rate=PROBE_RATE)
            gflops, training, inference = self._timed_blocks(workers, network)
            memory = {name: w.ask("peak_memory")["mib"] for name, w in workers.items()}
            probed = self._each(workers, network, "comparing first steps", "probe",
                                steps=PROBE_STEPS, learning_rate=PROBE_RATE)
            learned = self._learning_run(workers, network, config.epochs)
            results = {}
            for name, worker in workers.items():
                evaluation, check = self._check(worker, network, name)
                results[name] = FrameworkResult(
                    opened[name]["facts"], Certificate(**opened[name]["certificate"]),
                    opened[name]["start_seconds"], staged[name]["first_step_seconds"],
                    probed[name]["losses"],
                    Speed.of(training[name], config.batch_size),
                    Speed.of(inference[name], config.batch_size),
                    learned[name], evaluation, memory[name], check)
        result = NetworkResult(network, spec.num_parameters, spec.macs(), gflops, results)
        if len(results) == 2:
            self._side_by_side(result)
        return result

    def _each(self, workers: Dict[str, Worker], network: str, what: str, command: str,
              **arguments: Any) -> Dict[str, Dict[str, Any]]:
        answers = {}
        for name, worker in workers.items():
            self._step(f"{network}: {name}, {what}")
            answers[name] = worker.ask(command, **arguments)
        return answers

    def _timed_blocks(self, workers: Dict[str, Worker], network: str
                      ) -> Tuple[List[float], Dict[str, List[Block]], Dict[str, List[Block]]]:
        """Blocks in the order A B B A ..., the machine's matrix product measured between them."""
        gflops: List[float] = []
        blocks: List[Dict[str, List[Block]]] = [{name: [] for name in workers} for _ in range(2)]
        for kind, timed in zip(("training", "inference"), blocks):
            for block in range(self._plan.blocks):
                gflops.append(best_gflops(matmul(MATRIX_SIZE), MATRIX_SIZE))
                for name in _turn(list(workers), block):
                    self._step(f"{network}: {name}, timing {kind}")
                    timed[name].append(Block(**workers[name].ask("time", kind=kind,
                                                                 steps=self._plan.steps)))
        return gflops, blocks[0], blocks[1]

    def _learning_run(self, workers: Dict[str, Worker], network: str, epochs: int
                      ) -> Dict[str, List[Dict[str, Any]]]:
        """Train from the initial parameters, the frameworks taking turns epoch by epoch."""
        learned: Dict[str, List[Dict[str, Any]]] = {name: [] for name in workers}
        for epoch in range(epochs):
            for name in _turn(list(workers), epoch):
                self._step(f"{network}: {name}, epoch {epoch + 1} of {epochs}")
                learned[name].append(workers[name].ask("train_epoch"))
        return learned

    def _check(self, worker: Worker, network: str, name: str) -> Tuple[Evaluation, CrossCheck]:
        """Accuracy on the testing side, and the same through ONNX."""
        self._step(f"{network}: {name}, predicting the testing side")
        logits, onnx = self._paths(network, name)
        evaluation = Evaluation(**worker.ask("evaluate", logits_path=str(logits)))
        worker.ask("export", path=str(onnx))
        self._step(f"{network}: {name}, through ONNX Runtime")
        return evaluation, crosscheck.crosscheck(onnx, self._dataset.records, self._split.test,
                                                 np.load(logits), self._plan.threads)

    def _side_by_side(self, result: NetworkResult) -> None:
        (a, first), (b, second) = result.frameworks.items()
        result.sides = [a, b]
        result.differences = compare_certificates(first.certificate, second.certificate)
        result.training_ratio = benchmark.rate_ratio(first.training, second.training)
        result.inference_ratio = benchmark.rate_ratio(first.inference, second.inference)
        result.loss_difference = _largest_difference(first.probe, second.probe)
        result.drift = _largest_difference(*(
            [loss for epoch in own.epochs for loss in epoch["losses"]][:PROBE_STEPS]
            for own in (first, second)))
        answers = [np.load(self._paths(result.network, name)[0]).argmax(axis=1)
                   for name in result.frameworks]
        result.agreement = float((answers[0] == answers[1]).mean())

    def _paths(self, network: str, framework: str) -> Tuple[Path, Path]:
        base = self._folder / f"{network}-{framework}"
        return base.with_suffix(".logits.npy"), base.with_suffix(".onnx")

    def _step(self, what: str) -> None:
        self._show(what, self._done, self._total)
        self._done += 1


def _largest_difference(losses: Sequence[float], others: Sequence[float]) -> float:
    """Of any step's loss, relative to the first list's."""
    return float(np.max(np.abs(np.subtract(losses, others)) / np.abs(losses)))


def _turn(names: Sequence[str], number: int) -> List[str]:
    """A B in even rounds, B A in odd ones."""
    return list(names) if number % 2 == 0 else list(names)[::-1]
