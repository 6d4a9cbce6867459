"""Ctrl-C and SIGTERM during a run: finish the step, save, say how to go on.

    with Stopping("python -m tf_impl.train --resume runs/first", lambda: "epoch 3 is saved") as stopping:
        trainer.run(on_step, on_epoch, stopping.asked)
"""
from __future__ import annotations

import signal
import sys
from types import FrameType, TracebackType
from typing import Callable, Dict, Optional, Type

from common.errors import UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """A context that holds back the first signal while somebody asks for it; the second one stops at once.

    It adds to a KeyboardInterrupt how to go on. go_on: a command; kept: what is saved where nobody said so, asked only then.
    Libraries that are stopped at once turn the interruption into errors of their own: whatever comes of it is taken for it.
    """

    def __init__(self, go_on: str, kept: Callable[[], str]) -> None:
        self._go_on, self._kept = go_on, kept
        self._heard = self._listening = self._at_once = False
        self._before: Dict[int, object] = {}

    def asked(self) -> bool:
        """Whether to stop; whoever asks does so again soon."""
        self._listening = True
        return self._heard

    def no_longer_asked(self) -> None:
        """From now on the first signal stops at once."""
        self._listening = False

    def __enter__(self) -> Stopping:
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in self._before.items():
            if handler != signal.SIG_IGN:  # as for what runs in a shell's background
                signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, KeyboardInterrupt) or error and self._at_once and not isinstance(error, (UserError, OSError)):
            kept = isinstance(error, KeyboardInterrupt) and str(error) or self._kept()
            raise KeyboardInterrupt(f"{kept}; go on with: {self._go_on}") from None

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        if self._heard or not self._listening:
            self._at_once = True
            raise KeyboardInterrupt
        self._heard = True
        print("\nstopping after this step; once more to stop at once, which loses what is not saved", file=sys.stderr)
