"""The training loop: one for both frameworks, from a split data set to checkpoints and a log.

    Trainer(twin, dataset, split, checkpoint, folder).run(on_step, on_epoch)

A run is the same whether it went in one go or was stopped anywhere and resumed: order, crops and masks
depend on seed and epoch only. What it writes is in `common.training.run_folder`.
"""
from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Callable, Iterator, Optional, Tuple

import numpy as np

from common.data.batches import BatchReader
from common.data.dataset import Dataset
from common.data.splits import Split
from common.errors import UserError
from common.network import params as parameters
from common.network.optimizer import Schedule
from common.network.params import Params
from common.training.certificate import Stretch, certify, otherwise, stated_facts
from common.training.checkpoint import Checkpoint, Part, load_checkpoint, model_of, save_checkpoint
from common.training.config import TrainingConfig
from common.training.evaluation import Answers, Evaluation, predict
from common.training.metrics import as_good, fit_temperature
from common.training.run_folder import BEST, EpochRecord, read_log, save_last, write_certificate, write_log
from common.twin import StepResult, Twin

# Called after each step: step of the run, its loss, and of the epoch so far top-1 accuracy and
# utterances per second.
OnStep = Callable[[int, float, float, float], None]
OnEpoch = Callable[[EpochRecord], None]


def fresh(config: TrainingConfig, dataset: Dataset) -> Checkpoint:
    """The start of a run: initial parameters by the configuration's seed, epoch 0."""
    spec = config.spec(len(dataset.speakers))
    return Checkpoint(config, dataset.speakers, parameters.initialise(spec, config.seed),
                      parameters.zeros(spec), scale=dataset.scale, normalised=dataset.normalised,
                      synthetic=dataset.synthetic)


def check_batch(split: Split, config: TrainingConfig) -> None:
    """Raise UserError when there is not one batch to train on."""
    if len(split.train) < config.batch_size:
        raise UserError(f"{len(split.train)} training utterances do not fill one batch of "
                        f"{config.batch_size}; use a smaller --batch-size or more data")


def course(config: TrainingConfig, dataset: Dataset, split: Split) -> Tuple[BatchReader, Schedule]:
    """What a run goes through: the batches of its training side, and the learning rate of every step."""
    reader = BatchReader.shuffled(dataset.records, split.train, config.batch_size, config.seed, config.crop_frames,
                                  config.augmentation)
    return reader, config.schedule_over(config.epochs * reader.steps_per_epoch)


class Trainer:
    """Trains from a checkpoint to the end of its schedule, writing into a run's folder."""

    def __init__(self, twin: Twin, dataset: Dataset, split: Split, checkpoint: Checkpoint,
                 folder: Path, save_seconds: float = math.inf) -> None:
        """save_seconds: within an epoch, the most that a run which is killed has to do again."""
        config = checkpoint.config
        self.twin, self.folder, self._save_seconds = twin, folder, save_seconds
        self._reader, self._schedule = course(config, dataset, split)
        self._records, self._dev = dataset.records, split.dev
        self.total_steps = self._schedule.total_steps
        self.model = model_of(twin, checkpoint)
        self._checkpoint = dataclasses.replace(
            checkpoint, stretches=(*checkpoint.stretches, self._stretch(checkpoint, dataset, split)),
            trained_on=checkpoint.trained_on.union(dataset.records.fingerprints(split.train).tolist()))

    def run(self, on_step: OnStep, on_epoch: OnEpoch, stopping: Callable[[], bool] = lambda: False) -> None:
        """Train every epoch that is left, see `epochs`."""
        for record in self.epochs(on_step, stopping):
            on_epoch(record)

    def epochs(self, on_step: OnStep, stopping: Callable[[], bool] = lambda: False) -> Iterator[EpochRecord]:
        """Train the next epoch that is left each time one is asked for; each ends with a line in the log and a checkpoint.

        stopping: asked after each step; if it says so, the run is saved and KeyboardInterrupt raised.
        """
        for epoch in range(self._checkpoint.epoch, self._checkpoint.config.epochs):
            if self.out_of_patience:
                break
            write_certificate(self.folder, self._checkpoint)
            record, temperature = self._epoch(epoch, on_step, stopping)
            self._save(record, temperature)
            yield record
            if stopping():
                raise KeyboardInterrupt(f"epoch {record.epoch} is saved")

    @property
    def out_of_patience(self) -> bool:
        """Whether epochs are left, but for as many as the configuration waits the development accuracy has not become better."""
        waited, best = 0, -1.0  # epochs that the log knows
        for record in read_log(self.folder):
            if record.epoch > self._checkpoint.epoch:
                break
            better = record.dev_top1 is None or record.dev_top1 > best
            waited, best = (0, record.dev_top1 or 0.0) if better else (waited + 1, best)
        config = self._checkpoint.config
        return 0 < config.patience <= waited and self._checkpoint.epoch < config.epochs

    @property
    def otherwise(self) -> str:
        """What of the run is computed differently from here on, in words; "" where nothing is, or nothing is left."""
        left = self._checkpoint.epoch < self._checkpoint.config.epochs and not self.out_of_patience
        return otherwise(*self._checkpoint.stretches[-2:]) if left and len(self._checkpoint.stretches) > 1 else ""

    def _stretch(self, checkpoint: Checkpoint, dataset: Dataset, split: Split) -> Stretch:
        """The certificate of what this trainer is about to do."""
        certificate = certify(self.model, checkpoint.config, dataset, split, self._schedule)
        if checkpoint.stretches:  # resumed: the run still starts where it started
            start = checkpoint.stretches[0].certificate.initial_parameters
            certificate = dataclasses.replace(certificate, initial_parameters=start)
        return Stretch(checkpoint.epoch, certificate, stated_facts(self.model))

    def _epoch(self, epoch: int, on_step: OnStep, stopping: Callable[[], bool]) -> Tuple[EpochRecord, Optional[float]]:
        """Train for one; what the log says of it, and the temperature on the development side."""
        config, part = self._checkpoint.config, self._checkpoint.part
        first = self._checkpoint.step - part.steps  # of the epoch
        saved = time.perf_counter()
        start = saved - part.seconds
        for _ in self.twin.staged(self.model, self._reader.epoch(epoch, part.steps)):
            step = first + part.steps
            result = self._checked(self.model.train_staged(self._schedule(step)), step)
            part = Part(part.steps + 1, part.loss + result.loss, part.correct + result.correct,
                        time.perf_counter() - start)
            seen = part.steps * config.batch_size
            on_step(step + 1, result.loss, part.correct / seen, seen / part.seconds)
            if part.steps == self._reader.steps_per_epoch:
                continue  # with the epoch all is saved
            stop = stopping()
            if stop or time.perf_counter() - saved > self._save_seconds:
                before = time.perf_counter()
                self._save_part(part, first)
                saved = time.perf_counter()
                start += saved - before
            if stop:
                raise KeyboardInterrupt(f"step {step + 1} of {self.total_steps} is saved")
        answers = self.predict(self._dev)
        dev = Evaluation.of(*answers) if answers else None
        record = EpochRecord(epoch + 1, first + part.steps, self._schedule(first + part.steps - 1),
                             part.loss / part.steps, part.correct / seen, dev.loss if dev else None,
                             dev.top1 if dev else None, seen / part.seconds, part.seconds)
        return record, fit_temperature(*answers[:2]) if answers else None

    def _checked(self, result: StepResult, step: int) -> StepResult:
        """`result` itself. Raises UserError when the loss of the step after so many is no number."""
        if not math.isfinite(result.loss):
            kept = "what was saved before is kept, but would come to this again" if self._checkpoint.step else "nothing was saved"
            raise UserError(f"the loss became {result.loss} at step {step + 1}, where the learning rate is "
                            f"{self._schedule(step):.3g}; {kept}: a new run with a lower --learning-rate and "
                            "--final-learning-rate may help")
        return result

    def predict(self, indices: np.ndarray) -> Optional[Answers]:
        """What the model says now of these records, see `common.training.evaluation`; None if there are none."""
        if not len(indices):
            return None
        return predict(self.twin, self.model, BatchReader.in_order(self._records, indices))

    def load_best(self) -> Checkpoint:
        """The epoch that counts as the run's best, see `_save`; of its parameters the model is from now on."""
        best = load_checkpoint(self.folder / BEST)
        self.model.load(best.params)
        return best

    def _params(self, when: str) -> Params:
        """The model's parameters. Raises UserError for a model that diverged, which must not replace the last."""
        return parameters.check(self.model.params(), self.model.spec.parameters(), when)

    def _save_part(self, part: Part, first: int) -> None:
        """A checkpoint within an epoch, which began at step `first`."""
        step = first + part.steps
        self._checkpoint = dataclasses.replace(
            self._checkpoint, params=self._params(f"after step {step}"), momenta=self.model.momenta(), step=step, part=part,
            dev_top1=None, temperature=None, framework=self.twin.framework)
        save_last(self.folder, self._checkpoint)

    def _save(self, record: EpochRecord, temperature: Optional[float]) -> None:
        best = self._checkpoint.best_dev_top1
        # Without a development side the last epoch is the best one known; with one, the latest of those that its few
        # utterances cannot tell from the best: later rates are lower, and an early epoch that is ahead is so by luck.
        is_best = record.dev_top1 is None or as_good(record.dev_top1, best, len(self._dev))
        self._checkpoint = dataclasses.replace(
            self._checkpoint, params=self._params(f"after epoch {record.epoch}"), momenta=self.model.momenta(),
            epoch=record.epoch, step=record.step, part=Part(), dev_top1=record.dev_top1,
            best_dev_top1=best if record.dev_top1 is None else max(best, record.dev_top1),
            framework=self.twin.framework, temperature=temperature)
        write_log(self.folder, record)
        if is_best:
            save_checkpoint(self.folder / BEST, self._checkpoint)
        save_last(self.folder, self._checkpoint)
