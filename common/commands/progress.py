"""What a command that takes minutes shows meanwhile, on stderr.

    with Progress() as progress:
        progress.show("tdnn: caffe2, starting", done=0, total=12)
"""
from __future__ import annotations

import sys


class Progress:
    """A bar on stderr that names what is being done."""

    def __enter__(self) -> "Progress":
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._console = Console(stderr=True)
        self._bar = Bar(SpinnerColumn(), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
                        TimeElapsedColumn(), TextColumn("{task.description}"),
                        console=self._console)
        self._task = self._bar.add_task("starting")
        self._bar.start()
        return self

    def show(self, what: str, done: int, total: int) -> None:
        self._bar.update(self._task, description=what, completed=done, total=total)
        if not self._console.is_terminal:  # a log file gets lines, not a bar
            print(f"[{done + 1}/{total}] {what}", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
