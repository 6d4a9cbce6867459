"""A run for TensorBoard: one writer for both frameworks, which needs neither.

    with EventFile(folder, step=0) as events:
        events.epoch(record)
    # then: tensorboard --logdir runs
"""
from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Callable, Iterator, Optional, Type

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from common.training.run_folder import EVENTS, EpochRecord, say_once


class EventFile:
    """A new event file in a run's folder, from step `step` of the run on; use as a context.

    What earlier files say of this step and later ones, because the run was stopped and went on from there, is taken back.
    Whatever goes wrong here is told, and ends the file and no run: what counts are its checkpoints.
    """

    def __init__(self, folder: Path, step: int) -> None:
        now = time.time()
        self._path, self._step = folder / f"{EVENTS}{now:.6f}.{step}", step
        self._file: Optional[BinaryIO] = None
        with self._telling():
            self._file = open(self._path, "xb")
            self._writer = RecordWriter(self._file)
        self._write(lambda: Event(file_version="brain.Event:2"))
        self._write(lambda: Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if self._file is not None:
            with self._telling():
                self._file.close()

    def epoch(self, record: EpochRecord) -> None:
        """Losses, accuracies, learning rate and speed of an epoch, at its last step."""
        values = {"loss/training": record.train_loss, "loss/development": record.dev_loss,
                  "top-1/training": record.train_top1, "top-1/development": record.dev_top1,
                  "learning rate": record.learning_rate, "utterances a second": record.utterances_per_second}
        self._step = record.step
        self._write(lambda: Event(step=record.step, summary=Summary(value=[
            Summary.Value(tag=name, simple_value=value) for name, value in values.items() if value is not None])))

    def picture(self, name: str, draw: Callable[[], bytes]) -> None:
        """A PNG, where the last epoch stands: a file that begins there takes it back."""
        self._write(lambda: Event(step=self._step, summary=Summary(value=[
            Summary.Value(tag=name, image=Summary.Image(encoded_image_string=draw()))])))

    def _write(self, event: Callable[[], Event]) -> None:
        if self._file is not None:
            with self._telling():
                made = event()
                made.wall_time = time.time()
                self._writer.write(made.SerializeToString())
                self._writer.flush()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._file = None
            say_once(f"{self._path} ends here, not written: {error}")
