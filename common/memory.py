"""Memory that is freed stays with the process: for work that makes and drops large arrays all the time.

    from common.memory import keep_freed_memory
    keep_freed_memory()      # before such work
"""
from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import Dict, Iterator

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
_LARGEST = 2**25  # bytes; glibc takes no larger threshold for its maps
_MAPS = 2**16  # so many it has at most, unless told otherwise


def keep_freed_memory() -> None:
    """Have malloc reuse what was freed, up to 64 MiB, in place of asking the system for empty pages each time.

    A spectrogram is 150 pages, and each costs the system a fault and zeros: over a third of the time
    that it takes to make one. Does nothing where the C library is not glibc.
    """
    _set({_M_MMAP_THRESHOLD: _LARGEST, _M_TRIM_THRESHOLD: 2 * _LARGEST})


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """The same without any limit for as long as this lasts, then given back: for arrays of more than 32 MiB each."""
    _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1})
    try:
        yield
    finally:
        _set({_M_MMAP_MAX: _MAPS})
        keep_freed_memory()
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)


def _set(values: Dict[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for name, value in values.items():
            mallopt(name, value)
