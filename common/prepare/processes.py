"""How worker processes start, and how they end with the process that started them.

    begin_imports()
    with starting():
        pool = ProcessPoolExecutor(2, CONTEXT, start_worker)
    with pool: ...

They are copies of one process that has imported what they need and done nothing else, in particular
started no thread. So only one process waits for the imports, and it does so beside its parent.
"""
from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from multiprocessing import forkserver, util
from multiprocessing.connection import wait
from typing import Iterator

from common.errors import UserError
from common.files import temporary_root
from common.memory import keep_freed_memory

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["common.prepare.parts", "scipy.fft", "soundfile", "soxr"])

_LONGEST_TMPDIR = 70  # bytes; multiprocessing adds 32 for its sockets, whose paths may have 107


def begin_imports() -> None:
    """Begin to import what workers need; returns at once. Optional: else the first worker waits for it."""
    with starting():
        forkserver.ensure_running()


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Around what makes a pool of workers or what it shares with them: a UserError where the machine does not let it."""
    try:
        _shorten_socket_paths()
        yield
    except OSError as error:
        raise UserError(f"cannot start worker processes: {error.strerror or error}; they need a /dev/shm that can be "
                        f"written to and has room, and a TMPDIR of at most {_LONGEST_TMPDIR} bytes") from None


def _shorten_socket_paths() -> None:
    """Have multiprocessing take another folder for its sockets than a TMPDIR that is too long for them."""
    chosen, tempfile.tempdir = tempfile.tempdir, temporary_root(_LONGEST_TMPDIR)
    try:
        util.get_temp_dir()  # made at the first call, then kept
    finally:
        tempfile.tempdir = chosen


def start_worker() -> None:
    """First thing in a worker: leave Ctrl-C to the parent, and end when the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
