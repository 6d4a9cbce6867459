"""The machine under a measurement: what it is, and how fast it multiplies matrices.

    python -c "from common.machine import describe; print(describe())"
"""
from __future__ import annotations

import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Callable, Dict

import numpy as np

MATRIX_SIZE = 1536  # large enough for full speed, 9 MB a matrix, about 50 ms a product on two cores


def describe() -> Dict[str, str]:
    """Processor, cores this process may use, memory, operating system, Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def matmul(size: int) -> Callable[[], object]:
    """A function that multiplies two square float32 matrices in NumPy.

    Uses as many threads as NumPy's BLAS was started with.
    """
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal((size, size), np.float32) for _ in range(2))
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def best_gflops(multiply: Callable[[], object], size: int, repeats: int = 5) -> float:
    """Billions of float32 operations a second of a matrix product, best of `repeats`.

    The practical ceiling for convolutions: they are matrix products too.
    """
    multiply()  # warm-up
    return 2 * size**3 / min(_seconds(multiply) for _ in range(repeats)) / 1e9


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_memory_mib() -> float:
    """Largest resident size this process has had, in MiB."""
    try:
        # Not getrusage: on Linux it starts a new program at the size of the one that started it.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10  # from kB
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                flags = Path("/proc/cpuinfo").read_text()
                vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "SSE"
                return f"{line.split(':', 1)[1].strip()} ({vectors})"
    except OSError:
        pass
    return platform.processor() or platform.machine()
