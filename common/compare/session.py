"""What a twin's worker does for `compare.py`, command by command: it is timed, and it learns.

    session = Session(load)
    session.open(asdict(Job(...)))
    session.time("training", steps=4)        # and the other commands of a `Bench`
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

from common.data.batches import BatchReader
from common.data.dataset import open_dataset
from common.data.splits import split_dataset
from common.network import params as parameters
from common.files import replacing
from common.speed.bench import Bench, Engine, Work, twin_engine
from common.training.certificate import certify, stated_facts
from common.training.config import from_dict
from common.training.evaluation import Evaluation, predict
from common.training.loop import checked
from common.twin import Model, Twin


@dataclass(frozen=True)
class Job:
    """What a worker is to work on: the same for both frameworks."""

    data: List[str]
    num_speakers: int  # in these data
    config: Dict[str, Any]  # of common.training.config.TrainingConfig
    device: str
    threads: int
    plan: Optional[Dict[str, int]] = None  # see common.speed.bench.Work


class Session(Bench):
    """One network in one framework; `direct`: by the framework's own convolutions alone."""

    def __init__(self, load: Callable[[], Twin], direct: bool = False) -> None:
        super().__init__(self._load_engine)
        self._load_twin, self._direct = load, direct

    def open(self, job: Dict[str, Any]) -> Dict[str, Any]:
        """Load framework, data and network; adds the certificate to what `build` returns."""
        job_ = Job(**job)
        config = self._config = from_dict(job_.config, "job")
        work = Work(config.network, job_.num_speakers, config.width, batch_size=config.batch_size,
                    seed=config.seed, device=job_.device, threads=job_.threads, data=job_.data,
                    plan=job_.plan)
        built = self._build(work, config.optimizer)
        self._dataset = open_dataset([Path(path) for path in job_.data])
        self._split = split_dataset(self._dataset, config.seed)
        self._crops = self._training_reader()
        self._schedule = config.schedule_over(config.epochs * self._crops.steps_per_epoch)
        self._epoch = self._step = 0
        certificate = certify(self._model, config, self._dataset, self._split, self._schedule)
        return {**built, "facts": stated_facts(self._model),
                "certificate": dataclasses.asdict(certificate)}

    def _load_engine(self) -> Engine:
        self._twin = self._load_twin()
        return twin_engine(self._twin, self._direct)

    @property
    def _model(self) -> Model:
        return self._runner.model

    def probe(self, steps: int, learning_rate: float) -> Dict[str, Any]:
        """Losses of the first steps from the initial parameters, and then back to these.

        What was timed before leaves no trace, and neither does the probe.
        """
        self._close_stream()
        self._model.load(self._initial)
        losses = []
        for batch in itertools.islice(self._crops.epoch(0), steps):
            self._model.stage(batch.spectrograms, batch.speakers)
            losses.append(self._model.train_staged(learning_rate).loss)
        self._model.load(self._initial)
        return {"losses": losses}

    def save(self, path: str) -> Dict[str, Any]:
        """Write the parameters as they stand (npz)."""
        parameters.save(Path(path), params=self._model.params())
        return {}

    def answer(self, path: str) -> Dict[str, Any]:
        """Logits of the timed batch with the parameters of a file that `save` wrote."""
        self._close_stream()
        self._model.load(parameters.load(Path(path))["params"])
        return {"logits": self._runner.answer(self._batch.spectrograms).tolist()}

    def train_epoch(self) -> Dict[str, Any]:
        """One pass over the training side from the record files; returns every step's loss."""
        losses: List[float] = []
        correct = seen = 0
        start = time.perf_counter()
        for speakers in self._twin.staged(self._model, self._crops.epoch(self._epoch)):
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

    def _evaluate(self, indices: np.ndarray, logits_path: Optional[Path]) -> Optional[Evaluation]:
        if not len(indices):
            return None
        logits, speakers, rate = predict(self._twin, self._model, BatchReader.in_order(self._dataset.records, indices))
        if logits_path is not None:
            with replacing(logits_path) as temporary, open(temporary, "wb") as file:
                np.save(file, logits)
        return Evaluation.of(logits, speakers, rate)

    def _training_reader(self) -> BatchReader:
        config = self._config
        return BatchReader(self._dataset.records, self._split.train, config.batch_size,
                           config.seed, shuffle=True, drop_remainder=True,
                           crop_frames=config.crop_frames, augmentation=config.augmentation)
