"""The machine under a measurement: what it is, and how fast it multiplies matrices.

    python -c "from common.machine import describe; print(describe())"
"""
from __future__ import annotations

import math
import os
import platform
import re
import resource
import time
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple, TypeVar

PROJECT = Path(__file__).resolve().parents[1]  # where this code is
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # read by libraries as they are loaded
_CPU = Path("/sys/devices/system/cpu/cpu0")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_HUGE = re.compile(r"\[(\w+)\]")  # the one of its words that is in force
MATRIX_SIZE = 1536  # large enough for full speed, 9 MB a matrix, about 50 ms a product on two cores

T = TypeVar("T")


def available_cores() -> int:
    """Cores this process may use, which can be fewer than the machine has: by its affinity, and by a container's quota."""
    quota, cores = processor_quota(), len(os.sched_getaffinity(0))
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def processor_quota(root: Path = Path("/")) -> Optional[float]:
    """Cores' worth of time that its control group (version 2 or 1) leaves this process; None: no limit is shown."""
    found = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            place = root / "sys/fs/cgroup" / controllers
            # A container may see its own group as the root, whatever its path is called outside.
            groups = [place / own.lstrip("/"), *(place / own.lstrip("/")).parents]
            found += [_quota(group) for group in groups if place in (group, *group.parents)]
    limits = [quota for quota in found if quota is not None]
    return min(limits, default=None)


def _quota(group: Path) -> Optional[float]:
    """The limit of one control group."""
    told = (_read(group / "cpu.max") or f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}").split()
    if len(told) != 2 or not all(number.isdigit() for number in told) or not int(told[1]):  # "max", -1, or no file
        return None
    return int(told[0]) / int(told[1])


def describe() -> Dict[str, str]:
    """Processor, cores this process may use, memory, operating system, Python, and what libraries go by."""
    import numpy as np  # late: who counts cores should not wait for it

    quota, memory = processor_quota(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": str(available_cores()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas of numpy": _blas(),
        "caches": _caches(),
        "processor quota": "none" if quota is None else f"{quota:g} cores",
        "transparent huge pages": "".join(_HUGE.findall(_read(_HUGE_PAGES))) or "not shown",
        "frequency governor": _read(_CPU / "cpufreq/scaling_governor") or "not shown",
        "malloc": in_force("LD_PRELOAD", "GLIBC_TUNABLES", *sorted(
            name for name in os.environ if name.startswith("MALLOC_"))) or "the C library's own",
    }


def in_force(*variables: str) -> str:
    """Those of the environment variables that are set, with their values, as a fact: printable, not long."""
    told = ", ".join(f"{name}={os.environ[name]}" for name in variables if os.environ.get(name))
    return ascii(told)[1:-1][:200]


def matmul(size: int) -> Callable[[], object]:
    """A function that multiplies two square float32 matrices in NumPy.

    Uses as many threads as NumPy's BLAS was started with.
    """
    import numpy as np

    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal((size, size), np.float32) for _ in range(2))
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def best_gflops(multiply: Callable[[], object], size: int) -> float:
    """Billions of float32 operations a second of a matrix product, the best of three.

    The practical ceiling for convolutions: they are matrix products too.
    """
    multiply()  # warm-up
    return 2 * size**3 / min(clocked(multiply)[1] for _ in range(3)) / 1e9


def clocked(function: Callable[[], T]) -> Tuple[T, float]:
    """What it returns, and the seconds it took."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def installed_version(package: str) -> Optional[str]:
    """Of a Python package, which is not imported; None where there is none."""
    from importlib import metadata  # slow to import for --help

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def peak_memory_mib() -> float:
    """Largest resident size this process has had, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10  # from kB
    # Some containers do not tell it; this starts a new program at the size of the one that started it.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def available_memory_mib() -> float:
    """Memory that can be had without swapping."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) / 2**10  # from kB


def _blas() -> str:
    """NumPy's, and for which processor it chose its kernels."""
    import threadpoolctl

    for library in threadpoolctl.threadpool_info():
        if "numpy" in library["filepath"] and library["user_api"] == "blas":
            return f"{library['internal_api']} {library['version']}, kernels for {library.get('architecture', 'unknown')}"
    return "unknown"


def _caches() -> str:
    """Of the first core, from the nearest on."""
    caches = [f"L{level} {_read(cache / 'size')}" for cache in sorted((_CPU / "cache").glob("index*"))
              for level in [_read(cache / "level")] if _read(cache / "type") in ("Data", "Unified")]
    return ", ".join(caches) or "not shown"


def _read(file: Path) -> str:
    """The text of a small file, empty where there is none."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _processor() -> str:
    told = Path("/proc/cpuinfo").read_text()
    name = next(line.split(":", 1)[1].strip() for line in told.splitlines() if line.startswith("model name"))
    return f"{name} ({'AVX-512' if 'avx512f' in told else 'AVX2' if 'avx2' in told else 'SSE'})"
