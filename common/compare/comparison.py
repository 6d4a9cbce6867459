"""The comparison: both frameworks through the same work, in turns, and what came out of it.

    for result in Comparison(plan, dataset, split, folder, show).run(): ...

For each network one worker process a framework is started, and one a baseline. Their timed blocks
take turns, see `common.speed.rounds`; so do the frameworks' training epochs. Then both predict the
testing side, and so does a cepstral baseline; both exports are run by ONNX Runtime on the same utterances.
"""
from __future__ import annotations

import dataclasses
import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common.compare import repeated
from common.compare.accuracy import CEPSTRAL, pair
from common.compare.forecast import (
    CHECKING,
    LEARNING,
    PREPARING,
    PROVING,
    STARTING,
    TIMING,
    WARMING_UP,
    Forecast,
    phases,
)
from common.compare.results import ContenderResult, FrameworkResult, NetworkResult, end_to_end, ratios
from common.compare.verdict import LEARNING_STEPS, judge
from common.contenders import CONTENDERS
from common.data.batches import epoch_order
from common.data.dataset import Dataset
from common.data.form import NUM_FRAMES
from common.data.splits import Split
from common.errors import UserError
from common.machine import MATRIX_SIZE, best_gflops, matmul
from common.network.layers import NetworkSpec
from common.network.winograd import multiplications
from common.proof.crosscheck import CrossCheck, run_onnx
from common.proof.stored import write_answers
from common.speed import gate
from common.speed.bench import Work
from common.speed.blocks import turns
from common.speed.convolutions import Choice, as_known, choose
from common.speed.rounds import Timing, TimingPlan
from common.speed.worker import Worker, Workers, at_once
from common.training import cepstral
from common.training.certificate import Certificate, compare_certificates
from common.training.config import TrainingConfig
from common.training.evaluation import Evaluation
from common.training.metrics import loss_differences
from common.training.run_folder import EpochRecord
from common.twin import AUTO

# Steps that both must take alike, at a rate so low that rounding has no time to grow: at the
# learning run's own rate one ReLU that rounding tips over can move the loss by per cents.
PROBE_STEPS = 5
PROBE_RATE = 1e-4


@dataclass(frozen=True)
class ComparisonPlan:
    """What to compare, and how long."""

    data: List[str]
    configs: List[TrainingConfig]  # one for each network
    timing: TimingPlan
    batch_size: int  # of what is timed; a learning run has its configuration's
    device: str
    threads: int
    learning: Sequence[str]  # networks with a learning run; others: speed and first steps only
    convolutions: str = AUTO  # how they are computed, of common.twin.CONVOLUTIONS
    recipe: Optional[str] = None  # that configurations are of, see `NetworkResult`


# (what is being done, seconds spent, seconds left or None where nobody knows) -> None
Show = Callable[[str, float, Optional[float]], None]


class Comparison:
    """Runs a plan. `folder` gets what is large and passes, `kept` everyone's predictions, and a recipe's learning runs."""

    def __init__(self, plan: ComparisonPlan, dataset: Dataset, split: Split, folder: Path, kept: Path, show: Show) -> None:
        self._plan, self._dataset, self._split = plan, dataset, split
        self._folder, self._kept, self._show = folder, kept, show
        self._network = ""
        self._choices: Dict[Tuple[str, str], Choice] = {}  # of plans, by network and framework

    def run(self) -> Iterator[NetworkResult]:
        """Compare every network of the plan, one after the other.

        Raises UserError when a twin computes wrong numbers on this machine.
        """
        gflops = best_gflops(matmul(MATRIX_SIZE), MATRIX_SIZE)
        self._forecast = Forecast(sum((phases(
            config.network, self._spec(config).macs(), self._plan.batch_size, self._plan.timing,
            self._learned(config), self._unchecked(config), gflops) for config in self._plan.configs), []))
        with Workers(self._plan.threads) as preparing:  # kept from network to network: starting takes seconds
            for config in self._plan.configs:
                yield self._compare(config, preparing)

    def _spec(self, config: TrainingConfig) -> NetworkSpec:
        return config.spec(len(self._dataset.speakers))

    def _unchecked(self, config: TrainingConfig) -> int:
        """How many contenders are still to be held against the reference on this machine."""
        return sum(not gate.passed(CONTENDERS[name], self._work(config, name))
                   for name in (*self._plan.timing.frameworks, *self._plan.timing.baselines) if CONTENDERS[name].is_twin)

    def _learned(self, config: TrainingConfig) -> int:
        """Utterances of the learning run, each as long as a crop, counted in whole ones."""
        if config.network not in self._plan.learning:
            return 0
        whole = 1.0 if config.crop_frames is None else config.crop_frames / NUM_FRAMES
        return round(config.epochs * len(self._split.train) * whole)

    def _compare(self, config: TrainingConfig, preparing: Workers) -> NetworkResult:
        plan = self._plan
        self._network = config.network
        self._forecast.begin(config.network, PREPARING)
        self._prepare(config, preparing)
        if config is plan.configs[-1]:
            preparing.close()  # memory is for what is timed
        self._forecast.begin(config.network, STARTING)
        with ExitStack() as stack:
            workers: Dict[str, Worker] = {}
            opened = {name: self._open(name, config, workers, stack)
                      for name in (*plan.timing.frameworks, *plan.timing.baselines)}
            timing = Timing(workers, plan.timing, plan.batch_size, self._step)
            self._forecast.begin(config.network, PROVING)
            timing.prove()
            state = self._save(workers[plan.timing.frameworks[0]], "first")  # in which the timed steps are judged later
            for phase, work in ((WARMING_UP, timing.warm_up), (TIMING, timing.rounds)):
                self._forecast.begin(config.network, phase)
                work()
            self._forecast.begin(config.network, CHECKING)
            measured = {name: timing.measured(name, *opened[name]) for name in workers}
            timed = self._save(workers[plan.timing.frameworks[0]], "timed")
            self._step(f"{', '.join(workers)}, checking a training step")
            stepped = repeated.training_steps(workers, plan.timing, state, self._spec(config))
            held, probed = self._hold(workers, timed, config), self._probe(workers)
            frameworks = {name: FrameworkResult(
                **vars(measured[name]), proof=timing.proof(name), timed=held[name], repeated=stepped[name], certificate=Certificate(**opened[name][0]["certificate"]),
                probe=probed[name]) for name in plan.timing.frameworks}
            self._forecast.begin(config.network, LEARNING)
            if config.network in plan.learning:
                self._learn(workers, frameworks, config.epochs)
        baselines = {name: ContenderResult(**vars(measured[name]), proof=timing.proof(name), timed=held[name],
                                           repeated=stepped.get(name, {})) for name in plan.timing.baselines}
        return self._result(config, timing, frameworks, baselines)

    def _result(self, config: TrainingConfig, timing: Timing, frameworks: Dict[str, FrameworkResult],
                baselines: Dict[str, ContenderResult]) -> NetworkResult:
        """What follows from all that was measured, and whether it may be believed."""
        spec = self._spec(config)
        # The yardstick is of what the variables for kernels hold; nobody passes the largest, whoever made it.
        medians = {name: float(np.median(values)) for name, values in timing.gflops.items() if name not in baselines}
        best = max(medians, key=medians.get)
        needed = {name: multiplications(spec, self._choices[config.network, name].plan) for name in frameworks}
        result = NetworkResult(config.network, spec.num_parameters, spec.macs(), best,
                               timing.gflops[best], medians, timing.largest_gflops, needed, frameworks, baselines,
                               ratios(frameworks, baselines), end_to_end(frameworks),
                               learning=config if config.network in self._plan.learning else None, recipe=self._plan.recipe)
        if len(frameworks) > 1:
            self._side_by_side(result)
        result.checks = judge(result)
        if result.learning is not None:
            self._pair(result)
        return result

    def _prepare(self, config: TrainingConfig, workers: Workers) -> None:
        """Have convolutions chosen and networks held against the reference, where it is not known already."""
        plan = self._plan
        for name in plan.timing.frameworks:
            self._step(f"{name}, choosing convolutions")
            self._choices[config.network, name] = choose(
                CONTENDERS[name], self._work(config, name), plan.convolutions, workers)
        checked: Dict[str, List[str]] = {}  # framework -> its contenders, which one process checks
        for name in (*plan.timing.frameworks, *plan.timing.baselines):
            if CONTENDERS[name].is_twin:
                checked.setdefault(CONTENDERS[name].own_of or name, []).append(name)
        self._step(f"{', '.join(itertools.chain(*checked.values()))}, self-check")
        at_once([partial(self._self_check, names, config, workers) for names in checked.values()])

    def _self_check(self, names: Sequence[str], config: TrainingConfig, workers: Workers) -> None:
        for name in names:
            gate.ensure(CONTENDERS[name], self._work(config, name), workers)

    def _open(self, name: str, config: TrainingConfig, workers: Dict[str, Worker],
              stack: ExitStack) -> Tuple[Dict[str, Any], float]:
        """Start a contender and build its network; returns its facts and the seconds that took."""
        self._step(f"{name}, starting")
        arguments = [str(self._export(workers))] if CONTENDERS[name].takes_export else []
        worker = workers[name] = stack.enter_context(Worker.of(CONTENDERS[name], self._plan.threads, *arguments))
        work = dataclasses.asdict(self._work(config, name))
        if CONTENDERS[name].framework:
            opened = worker.ask("open", work=work, config=dataclasses.asdict(config))
            opened["facts"]["chosen"] = self._choices[config.network, name].origin
        else:
            opened = worker.ask("build", work=work)
        return opened, opened["built_at"] - worker.started_at

    def _work(self, config: TrainingConfig, name: str) -> Work:
        """A contender's, by the plan that was chosen for it, if that is done."""
        choice = self._choices.get((config.network, name))
        work = Work(config.network, len(self._dataset.speakers), config.width,
                    batch_size=self._plan.batch_size, seed=config.seed, device=self._plan.device,
                    threads=self._plan.threads, data=self._plan.data, label_smoothing=config.label_smoothing)
        return dataclasses.replace(work, plan=dict(choice.plan)) if choice else as_known(CONTENDERS[name], work)

    def _export(self, workers: Dict[str, Worker]) -> Path:
        """Write the network with its parameters of now as ONNX."""
        name = max(workers, key=lambda each: CONTENDERS[each].exports)  # the first where none is meant to
        path = self._folder / f"{self._network}.onnx"
        workers[name].ask("export", path=str(path))
        return path

    def _save(self, worker: Worker, name: str) -> Path:
        """A worker's parameters and momenta, in a file of that name."""
        path = self._folder / f"{self._network}-{name}.npz"
        worker.ask("save", path=str(path))
        return path

    def _hold(self, workers: Dict[str, Worker], params: Path, config: TrainingConfig) -> Dict[str, Dict[str, CrossCheck]]:
        """Everyone's predictions of the timed batch, by every clock, against ONNX Runtime's of one export.

        All with the parameters to which the timed steps have brought the first framework: from the
        start, a batch norm whose running statistics are still neutral hides what is wrong with them.
        """
        self._step(f"{', '.join(workers)}, checking predictions")
        said = repeated.answers(workers, self._plan.timing, params, partial(self._export, workers))
        onnx = self._export(workers)
        batch = epoch_order(self._split.train, config.seed, 0)[:self._plan.batch_size]
        right = run_onnx(onnx, self._dataset.records, batch, self._plan.threads)
        for path in (params, onnx):
            path.unlink()
        return {name: {clock: CrossCheck.of(right, own) for clock, own in each.items()} for name, each in said.items()}

    def _probe(self, workers: Dict[str, Worker]) -> Dict[str, List[float]]:
        """Each framework's losses of its first steps at a low rate."""
        names = self._plan.timing.frameworks
        self._step(f"{', '.join(names)}, comparing first steps")
        probed = at_once([partial(workers[name].ask, "probe", steps=PROBE_STEPS, learning_rate=PROBE_RATE)
                          for name in names])
        return {name: own["losses"] for name, own in zip(names, probed)}

    def _learn(self, workers: Dict[str, Worker], frameworks: Dict[str, FrameworkResult],
               epochs: int) -> None:
        """Train from the initial parameters, by turns epoch by epoch; then test both."""
        for name in frameworks:
            runs = self._kept if self._plan.recipe else self._folder
            workers[name].ask("learn", folder=str(runs.resolve() / f"{self._network}-{name}"))
        for epoch in range(epochs):
            for name in turns(list(frameworks), epoch):
                self._step(f"{name}, epoch {epoch + 1} of {epochs}")
                answer = workers[name].ask("train_epoch")
                if answer:
                    frameworks[name].epochs.append(EpochRecord(**answer["record"]))
                    frameworks[name].losses += answer["losses"]
        for name, own in frameworks.items():
            self._check(workers[name], name, own)

    def _check(self, worker: Worker, name: str, own: FrameworkResult) -> None:
        """Accuracy on the testing side, and the same through ONNX."""
        self._step(f"{name}, predicting the testing side")
        logits, onnx = self._paths(name)
        answer = worker.ask("evaluate", logits_path=str(logits))
        own.tested_epoch, own.evaluation = answer["epoch"], Evaluation(**answer["evaluation"])
        worker.ask("export", path=str(onnx))
        self._step(f"{name}, through ONNX Runtime")
        own.crosscheck = CrossCheck.of(run_onnx(onnx, self._dataset.records, self._split.test, self._plan.threads), np.load(logits))

    def _side_by_side(self, result: NetworkResult) -> None:
        """Every framework against every other; a figure is that of the two that are furthest apart."""
        result.sides, frameworks = list(result.frameworks), result.frameworks.values()
        result.differences = {name: told for first, second in itertools.combinations(frameworks, 2) for name, told
                              in compare_certificates(first.certificate, second.certificate).items()}
        result.loss_difference = _largest_difference([own.probe for own in frameworks])
        if result.learning is None:
            return
        losses = [own.losses[:PROBE_STEPS] for own in frameworks]
        result.drift = _largest_difference(losses)
        result.learning_difference = _largest_difference([own[:LEARNING_STEPS] for own in losses])
        answers = np.array([np.load(self._paths(name)[0]).argmax(axis=1) for name in result.frameworks])
        result.agreement = float((answers == answers[0]).all(axis=0).mean())

    def _pair(self, result: NetworkResult) -> None:
        """The cepstral baseline beside the frameworks, and whether who is right where differs by more than chance."""
        self._step(CEPSTRAL)
        speakers = self._dataset.records.labels[self._split.test]
        logits = {name: np.load(self._paths(name)[0]) for name in result.frameworks}
        if self._cepstral is not None:
            logits[CEPSTRAL] = self._cepstral
            result.cepstral = Evaluation.of(self._cepstral, speakers, None)
        result.paired = pair(logits, speakers)
        for name, said in logits.items() if result.valid else ():  # a file of answers carries no mark
            path = self._kept / f"predictions-{'baseline' if name == CEPSTRAL else f'{self._network}-{name}'}.csv"
            write_answers(path, self._split.test, speakers, self._dataset.speakers, said)

    @cached_property
    def _cepstral(self) -> Optional[np.ndarray]:
        """What the cepstral baseline says of the testing side; None where the training side is too small for it."""
        try:
            return cepstral.fit(self._dataset, self._split.train).logits(self._dataset, self._split.test)
        except UserError:
            return None

    def _paths(self, framework: str) -> Tuple[Path, Path]:
        base = self._folder / f"{self._network}-{framework}"
        return base.with_suffix(".logits.npy"), base.with_suffix(".onnx")

    def _step(self, what: str) -> None:
        self._show(f"{self._network}: {what}", self._forecast.spent, self._forecast.left)


def _largest_difference(losses: Sequence[Sequence[float]]) -> float:
    """Of any step's loss between any two frameworks, relative to that of the one before in the list."""
    return float(np.max([loss_differences(*two) for two in itertools.combinations(losses, 2)]))
