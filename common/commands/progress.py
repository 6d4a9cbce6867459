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
        self._bar = Bar(SpinnerColumn(), BarColumn(bar_width=10), TextColumn("{task.percentage:3.0f} %"),
                        TimeElapsedColumn(), TextColumn("{task.description}"),
                        console=self._console, disable=not self._console.is_terminal,
                        redirect_stdout=False)  # which may go to a file
        self._task = self._bar.add_task("starting")
        self._bar.start()
        return self

    def show(self, what: str, done: int, total: int) -> None:
        self._bar.update(self._task, description=what, completed=done, total=total)
        if not self._console.is_terminal:  # a log file gets lines, not a bar
            print(f"[{done + 1}/{total}] {what}", file=sys.stderr, flush=True)

    def time(self, what: str, spent: float, left: float) -> None:
        """The same where it is known how long it takes: seconds until now, and from now on."""
        about = f"about {_clock(left)} left"
        self._bar.update(self._task, description=f"{about}: {what}", completed=spent, total=spent + left)
        if not self._console.is_terminal:
            print(f"[{_clock(spent)}, {about}] {what}", file=sys.stderr, flush=True)

    def print(self, text: str) -> None:
        """To stdout, the bar out of its way."""
        self._bar.stop()
        print(text, flush=True)
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
