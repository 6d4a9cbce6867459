"""The right answer by every set of instructions that this processor can play, at the networks' real widths.

Which kernels a library runs, and how they lay out memory, it decides by the processor; variables make a
lesser one of it, never a greater. The self-check holds training and predictions of both networks, Winograd
and direct, at several sizes in a row against the float64 reference, in one process for each setting.
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from commands import PROJECT, command

# What `compare.py selfcheck` does of a framework, in one process instead of three.
HOLD = """
import os, sys
from importlib import import_module
from common.memory import freed_memory_kept
from common.network.architectures import NETWORKS, build
from common.network.optimizer import SGD
from common.network.params import initialise
from common.network.winograd import DIRECT, default_plan
from common.proof.selfcheck import hold
from common.remembered import settings

twin = import_module(sys.argv[1]).load()
twin.configure("cpu", len(os.sched_getaffinity(0)))
print(*[f"{name}={value}" for name, value in settings().items()], flush=True)
def check(spec, plan):
    model = twin.model(spec, initialise(spec), SGD(), plan=plan)
    print(spec.name, model.facts(), *[str(each) for each in hold(model) if each.wrong] or ["right"], flush=True)
with freed_memory_kept():
    for name in NETWORKS:
        spec = build(name, 12)
        for plan in (default_plan(spec), DIRECT):
            check(spec, plan)
    smoothed = build("tdnn", 12, 0.25, label_smoothing=0.1)  # the default recipe's loss, whose width is the speakers'
    check(smoothed, default_plan(smoothed))
"""
FLAGS = {"SSE41": "sse4_1", "AVX2": "avx2", "AVX512_CORE": "avx512dq"}  # oneDNN's name -> the kernel's
# What MKL is held to beside them: by hand, though by itself it would take another.
MKL = {"SSE41": {"MKL_DEBUG_CPU_TYPE": "4"}, "AVX2": {"MKL_DEBUG_CPU_TYPE": "5"}}
MKL_STATED = {None: "", "": "for any processor (MKL_ENABLE_INSTRUCTIONS=SSE4_2); ", "4": "type 4 (MKL_DEBUG_CPU_TYPE=4); ",
              "5": "AVX2 (MKL_DEBUG_CPU_TYPE=5); "}


def here() -> List[str]:
    """What oneDNN may be told to use on this processor."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return [name for name, flag in FLAGS.items() if flag in flags]


def ways() -> List[Tuple[str, Dict[str, str]]]:
    """A framework, and what chooses its kernels."""
    widest = here()[-1]
    return [
        *(("caffe2_impl", {"DNNL_MAX_CPU_ISA": name, **MKL.get(name, {})}) for name in here()),
        ("caffe2_impl", {"MKL_DEBUG_CPU_TYPE": "", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}),
        *(("tf_impl", {"ONEDNN_MAX_CPU_ISA": name}) for name in here()),
        ("tf_impl", {"TF_ENABLE_ONEDNN_OPTS": "0", "ONEDNN_MAX_CPU_ISA": widest, "OPENBLAS_CORETYPE": "NEHALEM"}),
    ]


def with_only(variables: Dict[str, str]) -> Dict[str, str]:
    """The environment, with these of all variables that choose kernels."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("DNNL_", "ONEDNN_", "MKL_", "OPENBLAS_", "TF_ENABLE"))}
    return {**kept, "OPENBLAS_THREAD_TIMEOUT": "4", **variables}  # as tests/conftest.py has it


def stated(twin: str, variables: Dict[str, str]) -> Dict[str, str]:
    """How a framework's facts have to begin."""
    if twin == "caffe2_impl":
        return {"instructions": f"MKL: {MKL_STATED[variables.get('MKL_DEBUG_CPU_TYPE')]}"}
    onednn = variables.get("TF_ENABLE_ONEDNN_OPTS") != "0"
    library = "oneDNN " if onednn else "Eigen "
    return {"engine": "Eigen + oneDNN'" if onednn else "Eigen'", "convolutions": library, "blas": library}


@pytest.mark.parametrize("twin, variables", ways(), ids=lambda each: each if isinstance(each, str) else
                         " ".join(f"{name}={value}" for name, value in each.items()))
def test_both_networks_compute_right(twin: str, variables: Dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", HOLD, twin], cwd=PROJECT, env={**with_only(variables), "ONEDNN_VERBOSE": "1"},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Two networks, our convolutions and its own; and the smoothed loss.
    assert done.stdout.count(" right\n") == 5, done.stdout
    assert all(f"{name}={value}" in done.stdout for name, value in variables.items())
    # What is stated is what runs: TensorFlow's oneDNN tells which operations it runs, on standard output, too.
    facts = stated(twin, variables)
    assert all(done.stdout.count(f"'{name}': '{value}") == 5 for name, value in facts.items()), (facts, done.stdout[:2000])
    assert (",exec,cpu,convolution," in done.stdout) == (facts.get("convolutions") == "oneDNN ")


def test_the_command_says_what_is_right_and_by_which_variables() -> None:
    variables = {"DNNL_MAX_CPU_ISA": here()[0], "OPENBLAS_CORETYPE": "NEHALEM"}
    words = command("compare.py", "selfcheck", "--width", "0.1", "--threads", "1", "--frameworks", "caffe2")
    done = subprocess.run(words, cwd=PROJECT, env=with_only(variables), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" right\n") == 4, done.stdout
    assert all(f"{name}={value}" in done.stdout for name, value in variables.items()), done.stdout
