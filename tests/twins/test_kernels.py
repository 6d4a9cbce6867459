"""Which libraries and kernels compute is decided here as far as it can be, and stated as they themselves say."""
from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import pytest
from commands import PROJECT
from small_networks import SPECS

import caffe2_impl
import tf_impl
from common.network.optimizer import SGD
from common.network.params import initialise
from common.twin import Model, Twin

# oneDNN tells on standard output which operations it runs; then TensorFlow's facts.
FACTS = """
import importlib
import json
import caffe2_impl
import tf_impl
from common.twin import Twin
tf_impl.load()
import tensorflow as tf
from tf_impl import runtime
runtime.configure("cpu", 1)
tf.nn.conv2d(tf.ones((1, 8, 8, 8)), tf.ones((3, 3, 8, 8)), 1, "VALID")
print(json.dumps(runtime.facts()))
"""


def facts(switch: str) -> Tuple[Dict[str, str], bool]:
    """What is stated, and whether oneDNN convolved."""
    variables = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": switch, "ONEDNN_VERBOSE": "1"}
    done = subprocess.run([sys.executable, "-c", FACTS], cwd=PROJECT, env=variables, capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout.splitlines()[-1]), ",exec,cpu,convolution," in done.stdout


def test_it_is_on_unless_it_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """On some processors TensorFlow would leave it off."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "any")  # so that what is set below ends with the test
    for given, expected in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS") if given is None else monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
        tf_impl.load()
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected


@pytest.mark.parametrize("switch, engine, convolutions, blas", [
    ("0", "Eigen", "Eigen ", "Eigen "), ("1", "Eigen + oneDNN", "oneDNN ", "oneDNN ")])
def test_what_is_stated_is_what_runs(switch: str, engine: str, convolutions: str, blas: str) -> None:
    stated, convolved = facts(switch)
    assert stated["engine"] == engine and convolved == (switch == "1")
    assert stated["convolutions"].startswith(convolutions) and stated["blas"].startswith(blas)


def test_what_bounds_the_instructions_is_stated(monkeypatch: pytest.MonkeyPatch, twin: Twin) -> None:
    runtime = importlib.import_module(f"{twin.package}.runtime")
    for name in ("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    assert runtime.facts()["instructions"].endswith("oneDNN: by the processor")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert runtime.facts()["instructions"].endswith("DNNL_MAX_CPU_ISA=AVX2")


@pytest.mark.parametrize("processor, given, expected", [
    ("vendor_id : AuthenticAMD flags : fma avx2 bmi2", None, "5"), ("vendor_id : AuthenticAMD flags : fma avx2 bmi2", "4", "4"),
    ("vendor_id : AuthenticAMD flags : sse4_1 popcnt", None, None), ("vendor_id : GenuineIntel flags : avx2 bmi2", None, None)])
def test_mkl_is_asked_for_its_quick_kernels_where_it_would_take_slow_ones(
        processor: str, given: Optional[str], expected: Optional[str], monkeypatch: pytest.MonkeyPatch) -> None:
    caffe2_impl.load()  # imported before it reads what is made up
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", given or "any")  # so that what is set below ends with the test
    if given is None:
        monkeypatch.delenv("MKL_DEBUG_CPU_TYPE")
    monkeypatch.setattr(Path, "read_text", lambda path: processor)
    caffe2_impl.load()
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == expected


def test_mkl_says_which_kernels_it_takes() -> None:
    """As asked for: where nobody asks, it takes its slowest on AMD's processors."""
    source = "from caffe2_impl import load; load(); from caffe2_impl import runtime; print(runtime.facts()['instructions'])"
    told = {kind: subprocess.run([sys.executable, "-c", source], cwd=PROJECT, capture_output=True, text=True, check=True,
                                 env={**os.environ, "MKL_DEBUG_CPU_TYPE": kind}).stdout for kind in ("4", "5")}
    assert told["4"].startswith("MKL: type 4; ") and told["5"].startswith("MKL: AVX2; ")


@pytest.mark.parametrize("network", SPECS)
def test_tensorflow_predicts_by_the_operations_it_would_choose_itself(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only sooner: all its passes over the graph find no more than the two that are asked for."""
    from tf_impl import runtime

    twin, spec = tf_impl.load(), SPECS[network]
    params = {name: value + np.float32(0.5) for name, value in initialise(spec).items()}  # what is 0 would be left out
    model = twin.model(spec, params, SGD())
    model.stage(np.random.default_rng(0).standard_normal((3, 512, 117), np.float32))
    quick, operators = model.predict_staged(), kinds(twin, model)
    monkeypatch.setattr(runtime, "on_gpu", lambda: True)  # where TensorFlow chooses
    model.load(params)
    np.testing.assert_array_equal(model.predict_staged(), quick)
    assert kinds(twin, model) == operators and any("Fused" in kind for kind in operators)


def kinds(twin: Twin, model: Model) -> List[str]:
    """The operators of a prediction by TensorFlow's profiler."""
    return sorted(each.operator for each in twin.profile(model, False, 1))
