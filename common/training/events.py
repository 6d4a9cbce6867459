"""A run for TensorBoard: one writer for both frameworks, which needs neither.

    with EventFile(folder, step=0) as events:
        events.epoch(record)
    # then: tensorboard --logdir runs
"""
from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Optional, Type

from common.training.run_folder import EVENTS, EpochRecord


class EventFile:
    """A new event file in a run's folder, from step `step` of the run on; use as a context.

    What earlier files say of later steps, because a run was stopped and went on from before them, is taken back.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        now = time.time()
        self._file = open(folder / f"{EVENTS}{now:.6f}.{step}", "xb")
        self._writer = RecordWriter(self._file)
        self._write(Event(wall_time=now, file_version="brain.Event:2"))
        self._write(Event(wall_time=now, step=step, session_log=SessionLog(status=SessionLog.START)))

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self._file.close()

    def epoch(self, record: EpochRecord) -> None:
        """Losses, accuracies, learning rate and speed of an epoch, at its last step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = {"loss/training": record.train_loss, "loss/development": record.dev_loss,
                  "top-1/training": record.train_top1, "top-1/development": record.dev_top1,
                  "learning rate": record.learning_rate, "utterances a second": record.utterances_per_second}
        self._summary(record.step, Summary(value=[
            Summary.Value(tag=name, simple_value=value) for name, value in values.items() if value is not None]))

    def picture(self, name: str, png: bytes, step: int) -> None:
        """A PNG."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._summary(step, Summary(value=[Summary.Value(tag=name, image=Summary.Image(encoded_image_string=png))]))

    def _summary(self, step: int, summary: object) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: object) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
