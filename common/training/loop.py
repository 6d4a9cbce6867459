"""The training loop: one for both frameworks, from a split data set to checkpoints and a log.

    history = Trainer(twin, dataset, split, checkpoint, folder).run(on_step)

A run's folder holds config.json, data.json, split.json, certificate.json (what it was trained with),
log.jsonl (one line an epoch), last.npz (to go on from) and best.npz (the best epoch by accuracy on
the development side). It is the same whether it ran in one go or was stopped and resumed: order,
crops and masks depend on seed and epoch only. One process at a time works in it, see `claimed`.
"""
from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, ContextManager, List, Optional, Sequence, Tuple

import numpy as np

from common.data.batches import BatchReader
from common.data.dataset import Dataset
from common.data.splits import Split, save_split
from common.errors import UserError
from common.files import locked, read_json, write_json, write_text
from common.network import params as parameters
from common.network.networks import build
from common.outputs import vacate
from common.training import config as configuration
from common.training.certificate import Stretch, certify, stated_facts
from common.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from common.training.config import TrainingConfig
from common.training.evaluation import Evaluation, predict
from common.training.metrics import fit_temperature
from common.twin import StepResult, Twin

# To go on from, the later one first. Of an epoch that is the best, best.npz is written before last.npz.
_CHECKPOINTS = ("last.npz", "best.npz")
# All that a run writes into its folder.
WRITES = (*_CHECKPOINTS, "config.json", "data.json", "split.json", "certificate.json", "log.jsonl")


@dataclass(frozen=True)
class EpochRecord:
    """One line of log.jsonl; accuracies are shares from 0 to 1, None where there is no dev side."""

    epoch: int  # counted from 1
    step: int
    learning_rate: float
    train_loss: float  # mean over the epoch's steps, each before its update
    train_top1: float
    dev_loss: Optional[float]
    dev_top1: Optional[float]
    utterances_per_second: float  # of training, evaluation and checkpoints left out
    seconds: float  # of training


# Called after each step: step of the run, its loss, and of the epoch so far top-1 accuracy and
# utterances per second.
OnStep = Callable[[int, float, float, float], None]
OnEpoch = Callable[[EpochRecord], None]


def fresh(config: TrainingConfig, dataset: Dataset) -> Checkpoint:
    """The start of a run: initial parameters by the configuration's seed, epoch 0."""
    spec = build(config.network, len(dataset.speakers), config.width)
    return Checkpoint(config, dataset.speakers, parameters.initialise(spec, config.seed),
                      parameters.zeros(spec), scale=dataset.scale, normalised=dataset.normalised,
                      synthetic=dataset.synthetic)


def claimed(folder: Path) -> ContextManager[None]:
    """Hold a run's folder, made if need be, against a second process. Raises UserError where one has it."""
    return locked(folder / ".lock", f"{folder}: another process is training in this folder; wait for it, or name another "
                  "folder with --out")


def saved(folder: Path) -> bool:
    """Whether there is a run in the folder that can be gone on with from where it was."""
    return any((folder / name).exists() for name in _CHECKPOINTS) or len(read_log(folder)) > 1


def start_run(folder: Path, checkpoint: Checkpoint, dataset: Dataset, split: Split,
              data: Sequence[Path], force: bool = False) -> None:
    """Write what a run starts from; refuses a folder that holds a run or anything else, unless `force`.

    With that a run is replaced. One that was stopped before its first epoch was saved is no loss, and is started again.
    """
    if saved(folder) and not force:
        raise UserError(f"{folder} already holds a run; go on with --resume {folder}, name another folder with --out, "
                        "or have the run replaced with --force")
    worthless = all(path.name in WRITES for path in folder.iterdir() if not path.name.startswith("."))
    vacate(folder, WRITES, force or worthless)
    write_json(folder / "data.json", [str(path.resolve()) for path in data])
    save_split(folder / "split.json", split, dataset)
    configuration.save_config(folder / "config.json", checkpoint.config)  # last: with it the start is complete


def check_batch(split: Split, config: TrainingConfig) -> None:
    """Raise UserError when there is not one batch to train on."""
    if len(split.train) < config.batch_size:
        raise UserError(f"{len(split.train)} training utterances do not fill one batch of "
                        f"{config.batch_size}; use a smaller --batch-size or more data")


def run_data(folder: Path) -> List[Path]:
    """The data that a run trains on, as it was given; empty for the embedded corpus."""
    paths = read_json(folder / "data.json", "list of a run's data")
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise UserError(f"{folder / 'data.json'} is no list of paths; name the data with --data")
    return [Path(path) for path in paths]


class Trainer:
    """Trains from a checkpoint to the end of its schedule, writing into a run's folder."""

    def __init__(self, twin: Twin, dataset: Dataset, split: Split, checkpoint: Checkpoint,
                 folder: Path) -> None:
        config = checkpoint.config
        self.twin, self.folder = twin, folder
        self._reader = BatchReader(dataset.records, split.train, config.batch_size, config.seed,
                                   shuffle=True, drop_remainder=True,
                                   crop_frames=config.crop_frames,
                                   augmentation=config.augmentation)
        self._records, self._dev = dataset.records, split.dev
        self.total_steps = config.epochs * self._reader.steps_per_epoch
        self._schedule = config.schedule_over(self.total_steps)
        self.model = twin.model(checkpoint.spec, checkpoint.params, config.optimizer)
        self.model.load(checkpoint.params, checkpoint.momenta)
        self._checkpoint = dataclasses.replace(
            checkpoint, stretches=(*checkpoint.stretches, self._stretch(checkpoint, dataset, split)),
            trained_on=checkpoint.trained_on.union(dataset.records.fingerprints(split.train).tolist()))

    def run(self, on_step: OnStep, on_epoch: OnEpoch) -> None:
        """Train every epoch that is left; each ends with a line in the log and a checkpoint."""
        write_json(self.folder / "certificate.json",
                   [dataclasses.asdict(stretch) for stretch in self._checkpoint.stretches])
        for epoch in range(self._checkpoint.epoch, self._checkpoint.config.epochs):
            record, temperature = self._epoch(epoch, on_step)
            self._save(record, temperature)
            on_epoch(record)

    def _stretch(self, checkpoint: Checkpoint, dataset: Dataset, split: Split) -> Stretch:
        """The certificate of what this trainer is about to do."""
        certificate = certify(self.model, checkpoint.config, dataset, split, self._schedule)
        if checkpoint.stretches:  # resumed: the run still starts where it started
            start = checkpoint.stretches[0].certificate.initial_parameters
            certificate = dataclasses.replace(certificate, initial_parameters=start)
        return Stretch(checkpoint.epoch, certificate, stated_facts(self.model))

    def _epoch(self, epoch: int, on_step: OnStep) -> Tuple[EpochRecord, Optional[float]]:
        """Train for one; what the log says of it, and the temperature on the development side."""
        step, losses, correct, seen = self._checkpoint.step, [], 0, 0
        start = time.perf_counter()
        for speakers in self.twin.staged(self.model, self._reader.epoch(epoch)):
            rate = self._schedule(step)
            result = checked(self.model.train_staged(rate), step + 1, self._checkpoint.config)
            step += 1
            seen += len(speakers)
            correct += result.correct
            losses.append(result.loss)
            on_step(step, result.loss, correct / seen, seen / (time.perf_counter() - start))
        seconds = time.perf_counter() - start
        said = self._predict(self._dev)
        dev = Evaluation.of(*said) if said else None
        record = EpochRecord(epoch + 1, step, rate, sum(losses) / len(losses), correct / seen,
                             dev.loss if dev else None, dev.top1 if dev else None,
                             seen / seconds, seconds)
        return record, fit_temperature(*said[:2]) if said else None

    def evaluate(self, indices: np.ndarray) -> Optional[Evaluation]:
        """How good the model is now on these records; None if there are none."""
        said = self._predict(indices)
        return Evaluation.of(*said) if said else None

    def _predict(self, indices: np.ndarray) -> Optional[Tuple[np.ndarray, np.ndarray, Optional[float]]]:
        """See `predict`; None of no records."""
        if not len(indices):
            return None
        return predict(self.twin, self.model, BatchReader.in_order(self._records, indices))

    def _save(self, record: EpochRecord, temperature: Optional[float]) -> None:
        best = self._checkpoint.best_dev_top1
        # Without a development side the last epoch is the best one known. Of equals the later: few
        # development utterances tie often, and later rates are lower.
        is_best = record.dev_top1 is None or record.dev_top1 >= best
        params = parameters.check(self.model.params(), self.model.spec.parameters(),
                                  f"after epoch {record.epoch}")  # a diverged model must not replace the last
        self._checkpoint = dataclasses.replace(
            self._checkpoint, params=params, momenta=self.model.momenta(),
            epoch=record.epoch, step=record.step, dev_top1=record.dev_top1,
            best_dev_top1=best if record.dev_top1 is None else max(best, record.dev_top1),
            framework=self.twin.framework, temperature=temperature)
        _write_log(self.folder, record)
        if is_best:
            save_checkpoint(self.folder / "best.npz", self._checkpoint)
        save_checkpoint(self.folder / "last.npz", self._checkpoint)


def checked(result: StepResult, step: int, config: TrainingConfig) -> StepResult:
    """`result` itself. Raises UserError when the loss of step number `step` is no number."""
    if not math.isfinite(result.loss):
        raise UserError(f"the loss became {result.loss} at step {step}; a lower --learning-rate than "
                        f"{config.learning_rate} may help")
    return result


def read_log(folder: Path) -> List[EpochRecord]:
    """The epochs of a run; a last line that was cut by a crash is left out."""
    records = []
    path = folder / "log.jsonl"
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            record = EpochRecord(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            break
        if not all(value is None or type(value) in (int, float) for value in dataclasses.astuple(record)):
            break
        records.append(record)
    return records


def resume(folder: Path) -> Optional[Checkpoint]:
    """Where a run stopped, None if that was before its first epoch was saved. Raises UserError if there is no run."""
    for name in _CHECKPOINTS:
        if (folder / name).exists():
            return load_checkpoint(folder / name)
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} has no last.npz to resume from, nor a config.json to start with; start the run with "
                        f"--out {folder}")
    return None


def extend(folder: Path, checkpoint: Checkpoint, epochs: int) -> Checkpoint:
    """A finished run with more epochs to do, in all `epochs`; its folder says so from now on."""
    extended = dataclasses.replace(checkpoint, config=dataclasses.replace(checkpoint.config, epochs=epochs))
    save_checkpoint(folder / "last.npz", extended)
    configuration.save_config(folder / "config.json", extended.config)
    return extended


def _write_log(folder: Path, last: EpochRecord) -> None:
    """Write the log anew up to `last`: a run that died before its checkpoint repeats an epoch."""
    records = [record for record in read_log(folder) if record.epoch < last.epoch] + [last]
    write_text(folder / "log.jsonl",
               "".join(json.dumps(dataclasses.asdict(record)) + "\n" for record in records))
