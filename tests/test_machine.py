"""Facts about the machine that a report states, and its measured limit."""
from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Optional

import numpy as np
import pytest
from commands import PROJECT

from common import machine
from common.memory import freed_memory_kept


def test_describe_is_text_for_a_table() -> None:
    facts = machine.describe()
    assert list(facts) == ["processor", "cores", "memory", "system", "python", "numpy", "blas of numpy", "caches",
                           "processor quota", "transparent huge pages", "frequency governor", "malloc"]
    assert all(isinstance(value, str) and value.strip() and value.isprintable() for value in facts.values())
    assert int(facts["cores"]) == machine.available_cores() <= len(os.sched_getaffinity(0))
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


@pytest.mark.parametrize("groups, files, quota", [
    ("0::/", {"cpu.max": "150000 100000"}, 1.5), ("0::/", {"cpu.max": "max 100000"}, None), ("0::/", {}, None),
    ("0::/user/run", {"cpu.max": "max 100000", "user/cpu.max": "400000 100000", "user/run/cpu.max": "200000 100000"}, 2.0),
    ("0::/as/it/is/called/outside", {"cpu.max": "300000 100000"}, 3.0),
    ("5:cpu,cpuacct:/docker\n1:memory:/x", {"cpu,cpuacct/cpu.cfs_quota_us": "250000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 2.5),
    ("5:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, None)])
def test_a_containers_quota_is_found(groups: str, files: Dict[str, str], quota: Optional[float], tmp_path: Path) -> None:
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert machine.processor_quota(tmp_path) == quota


@pytest.mark.parametrize("quota, cores", [(None, 4), (2.5, 2), (0.5, 1), (64.0, 4)])
def test_cores_are_no_more_than_the_quota(quota: Optional[float], cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "processor_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    assert machine.available_cores() == cores
