"""Facts about the machine that a report states, and its measured limit."""
from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import PROJECT

from common import machine
from common.memory import freed_memory_kept


def test_describe_is_text_for_a_table() -> None:
    facts = machine.describe()
    assert list(facts) == ["processor", "cores", "memory", "system", "python", "numpy", "blas of numpy", "caches",
                           "frequency governor", "malloc"]
    assert all(isinstance(value, str) and value.strip() and value.isprintable() for value in facts.values())
    assert int(facts["cores"]) == len(os.sched_getaffinity(0))
    assert facts["numpy"] == np.__version__


def test_matmul_counts_two_operations_a_multiply_accumulate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", map(0.001 .__mul__, itertools.count()).__next__)  # a millisecond passes
    assert machine.best_gflops(lambda: None, 100) == pytest.approx(2.0)  # 2 * 100^3 operations in a millisecond


def test_matmul_speed_is_measured() -> None:
    assert 0.1 < machine.best_gflops(machine.matmul(256), 256) < 1e5


def test_what_decides_by_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    assert machine.describe()["malloc"] == "the C library's own"
    monkeypatch.setenv("LD_PRELOAD", "/a\n" + 999 * "b")
    assert machine.describe()["malloc"].isprintable() and len(machine.describe()["malloc"]) == 200
    monkeypatch.delenv("LD_PRELOAD")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    assert machine.describe()["malloc"] == "GLIBC_TUNABLES=glibc.malloc.hugetlb=1, MALLOC_ARENA_MAX=2"


def test_the_kernels_of_numpys_blas_are_told() -> None:
    """OpenBLAS takes them by the processor, or by a variable that may be set for other reasons."""
    source = "from common.machine import describe; print(describe()['blas of numpy'])"
    told = subprocess.run([sys.executable, "-c", source], cwd=PROJECT, capture_output=True, text=True, check=True,
                          env={**os.environ, "OPENBLAS_CORETYPE": "Sandybridge"}).stdout
    assert told.startswith("openblas 0.3.") and told.endswith("kernels for Sandybridge\n")


PEAKS = """
import numpy as np
from common.machine import peak_memory_mib
before = peak_memory_mib()
np.ones(200 * 2**17)  # 200 MiB, gone at once
print(before, peak_memory_mib())
"""


def test_peak_memory_is_that_of_this_process_alone() -> None:
    """A worker's peak must not begin at the size of the process that started it."""
    held = np.ones(300 * 2**17)
    output = subprocess.run([sys.executable, "-c", PEAKS], cwd=PROJECT, capture_output=True, text=True, check=True)
    before, after = map(float, output.stdout.split())
    assert 10 < before < 100 < held.nbytes / 2**20
    assert after - before == pytest.approx(200, abs=10)


def test_freed_memory_is_kept_and_then_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    with freed_memory_kept():
        np.ones(2**24)  # 128 MiB, twice the most that is kept otherwise, and gone at once
        kept = resident()
    assert kept - resident() > 2**26


def test_peak_memory_where_proc_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "Path", lambda path: Path("/dev/null"))
    assert machine.peak_memory_mib() == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
