"""Memory that is freed stays with the process: for work that makes and drops large arrays all the time.

    from common.memory import keep_freed_memory
    keep_freed_memory()      # before such work
"""
from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST = 2**25  # bytes; glibc takes no larger threshold for its maps


def keep_freed_memory() -> None:
    """Have malloc reuse what was freed, up to 64 MiB, in place of asking the system for empty pages each time.

    A spectrogram is 150 pages, and each costs the system a fault and zeros: over a third of the time
    that it takes to make one. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)
