"""How worker processes start, and how they end with the process that started them.

    begin_imports()
    with ProcessPoolExecutor(2, CONTEXT, start_worker) as pool: ...

They are copies of one process that has imported what they need and done nothing else, in particular
started no thread. So only one process waits for the imports, and it does so beside its parent.
"""
from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver
from multiprocessing.connection import wait

from common.memory import keep_freed_memory

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["common.prepare.parts", "scipy.fft", "soundfile", "soxr"])


def begin_imports() -> None:
    """Begin to import what workers need; returns at once. Optional: else the first worker waits for it."""
    forkserver.ensure_running()


def start_worker() -> None:
    """First thing in a worker: leave Ctrl-C to the parent, and end when the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def available_cores() -> int:
    """Cores this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0))
