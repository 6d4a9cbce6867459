"""What a command that takes a while shows meanwhile, on stderr.

    with Progress() as progress:
        progress.show("tdnn: caffe2, starting", done=0, total=12)
"""
from __future__ import annotations

import sys
from typing import Optional

STAGES, THINGS, BYTES = "stages", "things", "bytes"  # what is counted: parts of the work of any length, equal ones, or these


class Progress:
    """A bar that names what is being done; where stderr is no terminal, such as a log file, a line for every stage."""

    def __init__(self, counted: str = STAGES) -> None:
        from rich import progress as rich  # late: --help and a mistyped option should not wait for it
        from rich.console import Console

        left = rich.TimeRemainingColumn(), rich.TextColumn("left")
        columns = {STAGES: (rich.TextColumn("{task.percentage:3.0f} %"), rich.TimeElapsedColumn()),
                   THINGS: (rich.MofNCompleteColumn(), *left),
                   BYTES: (rich.DownloadColumn(), rich.TransferSpeedColumn(), *left)}[counted]
        console = Console(stderr=True)
        self._counted, self._what = counted, ""
        self._lines = counted == STAGES and not console.is_terminal
        # What does not fit into the terminal is cut off, from the right on.
        self._bar = rich.Progress(
            rich.SpinnerColumn(), rich.BarColumn(bar_width=10), *columns, rich.TextColumn("{task.description}"),
            console=console, disable=not console.is_terminal, transient=True, redirect_stdout=False)  # which may go to a file
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, what: str, done: int, total: Optional[int]) -> None:
        """How much is done before this, and of how much, if that is known."""
        if self._counted == BYTES and what != self._what:  # the next file, of a size and a speed of its own
            self._bar.remove_task(self._task)
            self._task, self._what = self._bar.add_task(what, total=total), what
        self._bar.update(self._task, description=what, completed=done, total=total)
        if self._lines:
            print(f"[{done + 1}/{total}] {what}", file=sys.stderr, flush=True)

    def time(self, what: str, spent: float, left: Optional[float]) -> None:
        """The same where it is known how long it takes: seconds until now, and from now on; None: longer than was thought."""
        about = "longer than expected" if left is None else f"about {_clock(left)} left"
        total = None if left is None else spent + left
        self._bar.update(self._task, description=f"{about}: {what}", completed=spent, total=total)
        if self._lines:
            print(f"[{_clock(spent)}, {about}] {what}", file=sys.stderr, flush=True)

    def print(self, text: str) -> None:
        """To stdout, the bar out of its way."""
        self._bar.stop()
        print(text, flush=True)
        self._bar.start()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
