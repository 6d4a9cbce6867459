"""What a twin's worker does for `compare.py`, command by command: it is timed, and it learns.

    session = Session(load)
    session.open(asdict(Work("tdnn", num_speakers=35, data=["DATA"])), asdict(TrainingConfig("tdnn")))
    session.bench.time("training", steps=4)
    session.learn("runs/tdnn-caffe2")
    session.train_epoch()

Everything a command returns is plain data that can be sent as JSON.
"""
from __future__ import annotations

import dataclasses
import itertools
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np

from common.files import replacing
from common.network import params as parameters
from common.speed.bench import Bench, Work
from common.speed.engine import TwinRunner, twin_engine
from common.training.certificate import certify, stated_facts
from common.training.config import SAVE_MINUTES, from_dict
from common.training.evaluation import Evaluation
from common.training.loop import Trainer, course, fresh
from common.training.run_folder import claimed, start_run
from common.twin import Model, Twin, train_on


class Session:
    """One network in one framework, on a bench."""

    def __init__(self, load: Callable[[], Twin]) -> None:
        self.bench = Bench(lambda: twin_engine(load()))

    def open(self, work: Dict[str, Any], config: Dict[str, Any]) -> Dict[str, Any]:
        """Load framework, data and network; adds the certificate to what `build` returns.

        work: what is timed; config: the `TrainingConfig` of the learning run, of the same network.
        """
        self._config = from_dict(config, "the learning run's configuration")
        built = self.bench.begin(Work(**work), self._config.optimizer)
        self._dataset, self._split = self.bench.dataset, self.bench.split
        self._crops, schedule = course(self._config, self._dataset, self._split)
        certificate = certify(self._model, self._config, self._dataset, self._split, schedule)
        return {**built, "facts": stated_facts(self._model),
                "certificate": dataclasses.asdict(certificate)}

    @property
    def _model(self) -> Model:
        return self.bench.runner.model

    def probe(self, steps: int, learning_rate: float) -> Dict[str, Any]:
        """Losses of the first steps from the initial parameters, and then back to these.

        What was timed before leaves no trace, and neither does the probe.
        """
        self.bench.close_stream()
        # Drawn again: kept all the time they would be in the memory that is reported.
        initial = parameters.initialise(self.bench.work.spec, self.bench.work.seed)
        self._model.load(initial)
        losses = [train_on(self._model, batch, learning_rate).loss for batch in itertools.islice(self._crops.epoch(0), steps)]
        self._model.load(initial)
        return {"losses": losses}

    def learn(self, folder: str) -> Dict[str, Any]:
        """Begin the learning run as `train` does it, in a folder with its checkpoints, log and split; what was timed goes.

        The folder is held against other processes until this one ends. What the command that asks was allowed to
        replace in it is gone already, so that a file of somebody else's stays and stops nothing.
        """
        work, twin = self.bench.work, self.bench.runner.twin
        self.bench.give_up()
        twin = dataclasses.replace(twin, model=partial(twin.model, plan=work.plan))
        checkpoint, place = fresh(self._config, self._dataset), Path(folder)
        self._held = ExitStack()
        self._held.enter_context(claimed(place))
        start_run(place, checkpoint, self._dataset, self._split, [Path(path) for path in work.data], force=True)
        self._trainer = Trainer(twin, self._dataset, self._split, checkpoint, place, 60 * SAVE_MINUTES)
        self.bench.runner = TwinRunner(twin, self._trainer.model)
        self._losses: List[float] = []
        self._epochs = self._trainer.epochs(lambda step, loss, *_: self._losses.append(loss))
        return {}

    def train_epoch(self) -> Dict[str, Any]:
        """One pass over the training side from the record files: its line in the log, and every step's loss.

        Nothing once patience has ended.
        """
        self._losses.clear()
        record = next(self._epochs, None)
        return {} if record is None else {"record": dataclasses.asdict(record), "losses": list(self._losses)}

    def evaluate(self, logits_path: str) -> Dict[str, Any]:
        """Predict the testing side by the run's best epoch; the logits go to `logits_path` (npy), the figures back."""
        best = self._trainer.load_best()
        logits, speakers, rate = self._trainer.predict(self._split.test)
        with replacing(Path(logits_path)) as temporary, open(temporary, "wb") as file:
            np.save(file, logits)
        return {"epoch": best.epoch, "evaluation": dataclasses.asdict(Evaluation.of(logits, speakers, rate))}

    def export(self, path: str) -> Dict[str, Any]:
        """Export the trained network with the framework's own exporter."""
        self._model.export_onnx(Path(path))
        return {}
