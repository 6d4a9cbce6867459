"""How worker processes start, and how they end with the process that started them.

    with ProcessPoolExecutor(2, workers.CONTEXT, workers.start_worker) as pool: ...
"""
from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy whatever threads the caller has


def start_worker() -> None:
    """First thing in a worker: leave Ctrl-C to the parent, and end when the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def available_cores() -> int:
    """Cores this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0))
