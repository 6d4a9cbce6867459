"""Which libraries and kernels compute is decided here as far as it can be, and stated as they themselves say."""
from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import List, Optional

import numpy as np
import pytest
from small_networks import SPECS

import caffe2_impl
import tf_impl
from common.network.optimizer import SGD
from common.network.params import initialise
from common.twin import Model, Twin


def test_it_is_on_unless_it_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """On some processors TensorFlow would leave it off."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "any")  # so that what is set below ends with the test
    for given, expected in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS") if given is None else monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
        tf_impl.load()
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected


def test_what_bounds_the_instructions_is_stated(monkeypatch: pytest.MonkeyPatch, twin: Twin) -> None:
    runtime = importlib.import_module(f"{twin.package}.runtime")
    for name in ("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    assert runtime.facts()["instructions"].endswith("oneDNN: by the processor")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert runtime.facts()["instructions"].endswith("DNNL_MAX_CPU_ISA=AVX2")


def test_a_variable_without_effect_is_not_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """MKL heeds one of the two, and the project sets it on AMD's processors."""
    from caffe2_impl import runtime

    monkeypatch.setenv("MKL_ENABLE_INSTRUCTIONS", "SSE4_2")
    for kind, told in (("5", "(MKL_DEBUG_CPU_TYPE=5); "), ("", "(MKL_ENABLE_INSTRUCTIONS=SSE4_2); ")):
        monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", kind)
        said = runtime.facts()["instructions"]
        assert told in said and said.count("MKL_") == 1


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
