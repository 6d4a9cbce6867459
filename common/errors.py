"""Errors a person at a command line can cause, and how a command reports them.

    from common.errors import UserError, friendly, unbroken
"""
from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import signal
import sys
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional

# What the machine refuses, and no change of ours would mend.
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE,
            errno.ENFILE)


class UserError(Exception):
    """Bad input. The message says what was wrong, where, and what to do about it."""


def friendly(main: Callable[..., int], *first: object) -> Callable[[Optional[List[str]]], int]:
    """Wrap a command's `main(*first, argv)`: user errors become one line on stderr and exit status 2.

    So does what the machine refuses, wherever it does: a disk or a standard output that is full or
    fails, a folder that may not be written to. Anything else is a defect of ours and keeps its
    traceback. Ctrl-C ends with status 130 (and with what the command says of it), and a reader that closes
    the pipe (`| head`) with 141, as a shell reports those signals.
    """

    @functools.wraps(main)
    def wrapped(argv: Optional[List[str]] = None) -> int:
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal's encoding lacks is escaped: the work that is done must not end in an error.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            try:
                return main(*first, argv)
            finally:
                sys.stdout.flush()  # here, where a failure can still be told
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print("interrupted" + "".join(f": {told}" for told in stop.args), file=sys.stderr)
            return 130
        except BrokenPipeError:
            _drop_output()
            return 141
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            _drop_output()
            where = error.filename or "standard output or a file"
            print(f"error: {where}: {error.strerror}; check the place and the free space", file=sys.stderr)
            return 2

    return wrapped


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the context is left: what they raise within an import is taken for another failure.

    Caffe2 takes it for a missing library, and TensorFlow cannot be imported again. What handles them is asked after it.
    """
    heard: List[int] = []
    before: Dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no other thread hears signals
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    held = {number: handler for number, handler in before.items() if callable(handler)}
    for number in held:
        signal.signal(number, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if heard:
            held[heard[0]](heard[0], None)


def _drop_output() -> None:
    """Let what is still to be written go nowhere, else Python says at its end that it cannot write it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
