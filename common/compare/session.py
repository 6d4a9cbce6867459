"""What a worker process does for `compare.py`: one network in one framework, command by command.

    session = Session(load)
    session.open(job)
    session.train_epoch()

Everything a command returns is plain data that can be sent as JSON.
"""
from __future__ import annotations

import dataclasses
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np

from common.compare import benchmark
from common.data.batches import BatchReader
from common.data.dataset import open_dataset
from common.data.splits import split_dataset
from common.machine import peak_memory_mib
from common.network import params as parameters
from common.network.networks import build
from common.training.certificate import certify, stated_facts
from common.training.config import from_dict
from common.training.evaluation import Evaluation, predict
from common.training.loop import EVALUATION_BATCH, checked
from common.twin import Twin


@dataclass(frozen=True)
class Job:
    """What a worker is to work on: the same for both frameworks."""

    data: List[str]
    config: Dict[str, Any]  # of common.training.config.TrainingConfig
    device: str
    threads: int


class Session:
    """One network in one framework."""

    def __init__(self, load: Callable[[], Twin]) -> None:
        self._load = load

    def open(self, job: Dict[str, Any]) -> Dict[str, Any]:
        """Load framework, data and network; returns the certificate and the framework's facts."""
        job_ = Job(**job)
        self._config = from_dict(job_.config, "job")
        self._dataset = open_dataset([Path(path) for path in job_.data])
        self._split = split_dataset(self._dataset, self._config.seed)
        start = time.perf_counter()
        self._twin = self._load()
        self._twin.configure(job_.device, job_.threads)
        spec = build(self._config.network, len(self._dataset.speakers), self._config.width)
        self._initial = parameters.initialise(spec, self._config.seed)
        self._model = self._twin.model(spec, self._initial, self._config.optimizer)
        seconds = time.perf_counter() - start
        self._reader = self._training_reader()
        self._schedule = self._config.schedule_over(
            self._config.epochs * self._reader.steps_per_epoch)
        self._epoch = self._step = 0
        certificate = certify(self._model, self._config, self._dataset, self._split, self._schedule)
        return {"facts": stated_facts(self._model), "start_seconds": seconds,
                "certificate": dataclasses.asdict(certificate)}

    def stage(self) -> Dict[str, Any]:
        """Stage the first training batch and run one step of each kind to build everything."""
        # Uncropped: the tables speak of 3.015 s.
        batch = next(BatchReader(self._dataset.records, self._split.train,
                                 self._config.batch_size, self._config.seed, shuffle=True,
                                 drop_remainder=True).epoch(0))
        self._model.stage(batch.spectrograms, batch.speakers)
        first = benchmark.time_training(self._model, self._schedule(0), 1)[0]
        benchmark.time_inference(self._model, 1)
        return {"first_step_seconds": first}

    def time_training(self, steps: int) -> Dict[str, Any]:
        """Time training steps on the staged batch."""
        return {"seconds": benchmark.time_training(self._model, self._schedule(0), steps)}

    def time_inference(self, steps: int) -> Dict[str, Any]:
        """Time predictions on the staged batch, after one that may pay for new weights."""
        benchmark.time_inference(self._model, 1)
        return {"seconds": benchmark.time_inference(self._model, steps)}

    def probe(self, steps: int, learning_rate: float) -> Dict[str, Any]:
        """Losses of the first steps from the initial parameters, and then back to these.

        What was timed before leaves no trace, and neither does the probe.
        """
        self._model.load(self._initial)
        losses = []
        for batch in itertools.islice(self._reader.epoch(0), steps):
            self._model.stage(batch.spectrograms, batch.speakers)
            losses.append(self._model.train_staged(learning_rate).loss)
        self._model.load(self._initial)
        return {"losses": losses}

    def train_epoch(self) -> Dict[str, Any]:
        """One pass over the training side from the record files; returns every step's loss."""
        losses: List[float] = []
        correct = seen = 0
        start = time.perf_counter()
        for speakers in self._twin.staged(self._model, self._reader.epoch(self._epoch)):
            rate = self._schedule(self._step)
            self._step += 1
            result = checked(self._model.train_staged(rate), self._step, self._config)
            losses.append(result.loss)
            correct += result.correct
            seen += len(speakers)
        self._epoch += 1
        seconds = time.perf_counter() - start
        dev = self._evaluate(self._split.dev, None)
        return {"losses": losses, "train_top1": correct / seen, "seconds": seconds,
                "utterances_per_second": seen / seconds,
                "dev_top1": None if dev is None else dev.top1}

    def evaluate(self, logits_path: str) -> Dict[str, Any]:
        """Predict the testing side; the logits go to `logits_path` (npy), the figures back."""
        return dataclasses.asdict(self._evaluate(self._split.test, Path(logits_path)))

    def export(self, path: str) -> Dict[str, Any]:
        """Export the trained network with the framework's own exporter."""
        self._model.export_onnx(Path(path))
        return {}

    def peak_memory(self) -> Dict[str, Any]:
        return {"mib": peak_memory_mib()}

    def _evaluate(self, indices: np.ndarray, logits_path: Optional[Path]) -> Optional[Evaluation]:
        if not len(indices):
            return None
        reader = BatchReader(self._dataset.records, indices, EVALUATION_BATCH, 0, shuffle=False,
                             drop_remainder=False)
        logits, speakers, rate = predict(self._twin, self._model, reader)
        if logits_path is not None:
            np.save(logits_path, logits)
        return Evaluation.of(logits, speakers, rate)

    def _training_reader(self) -> BatchReader:
        config = self._config
        return BatchReader(self._dataset.records, self._split.train, config.batch_size,
                           config.seed, shuffle=True, drop_remainder=True,
                           crop_frames=config.crop_frames, augmentation=config.augmentation)
