"""What a person sees while a network trains: a bar on stderr and one line an epoch on stdout."""
from __future__ import annotations

from types import TracebackType
from typing import Optional, Type

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from common.training.run_folder import EpochRecord


class TrainingProgress:
    """A context in which `on_step` and `on_epoch` keep the display up to date."""

    def __init__(self, done: int, total: int) -> None:
        # All of it within 80 columns: what does not fit is cut off, from the right on.
        self._progress = Progress(
            SpinnerColumn(), BarColumn(bar_width=10), TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(), TextColumn("left  {task.description}"), console=Console(stderr=True))
        self._task = self._progress.add_task("before the first step", total=total, completed=done)

    def __enter__(self) -> "TrainingProgress":
        self._progress.start()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self._progress.stop()

    def on_step(self, step: int, loss: float, top1: float, rate: float) -> None:
        self._progress.update(self._task, completed=step, description=f"loss {loss:.3f}  top-1 {top1:.0%}  "
                              f"{rate:.1f} utterances/s")

    def on_epoch(self, record: EpochRecord) -> None:
        dev = "" if record.dev_top1 is None else f"  dev top-1 {100 * record.dev_top1:5.1f} %"
        print(f"epoch {record.epoch:3d}  loss {record.train_loss:.4f}  "
              f"train top-1 {100 * record.train_top1:5.1f} %{dev}  "
              f"{record.utterances_per_second:.1f} utterances/s  {record.seconds:.0f} s", flush=True)
