"""The right answer by every set of instructions that this processor can play, at the networks' real widths.

Which kernels a library runs, and how they lay out memory, it decides by the processor; variables make a
lesser one of it, never a greater. `compare.py selfcheck` holds training and predictions of both
networks, Winograd and direct, at several sizes in a row against the float64 reference.
"""
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from commands import PROJECT

FLAGS = {"SSE41": "sse4_1", "AVX2": "avx2", "AVX512_CORE": "avx512dq"}  # oneDNN's name -> the kernel's


def here() -> List[str]:
    """What oneDNN may be told to use on this processor."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return [name for name, flag in FLAGS.items() if flag in flags]


def ways() -> List[Tuple[str, Dict[str, str]]]:
    """A framework, and what chooses its kernels."""
    widest = here()[-1]
    return [
        *(("caffe2", {"DNNL_MAX_CPU_ISA": name}) for name in here()),
        ("caffe2", {"MKL_DEBUG_CPU_TYPE": "", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}),
        *(("tensorflow", {"ONEDNN_MAX_CPU_ISA": name}) for name in here()),
        ("tensorflow", {"TF_ENABLE_ONEDNN_OPTS": "0", "ONEDNN_MAX_CPU_ISA": widest, "OPENBLAS_CORETYPE": "NEHALEM"}),
    ]


@pytest.mark.parametrize("framework, variables", ways(), ids=lambda each: each if isinstance(each, str) else
                         " ".join(f"{name}={value}" for name, value in each.items()))
def test_both_networks_compute_right(framework: str, variables: Dict[str, str]) -> None:
    unset = {name: value for name, value in os.environ.items()
             if not name.startswith(("DNNL_", "ONEDNN_", "MKL_", "OPENBLAS_", "TF_ENABLE"))}
    done = subprocess.run(
        [sys.executable, "compare.py", "selfcheck", "--speakers", "12", "--frameworks", framework],
        cwd=PROJECT, env={**unset, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" right\n") == 4, done.stdout  # two networks, our convolutions and its own
    assert all(f"{name}={value}" in done.stdout for name, value in variables.items())
