"""What is remembered is found again only where all that it depends on is the same."""
from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from commands import PROJECT

from common import remembered
from common.contenders import CONTENDERS, Contender
from common.remembered import settings


def place(code: str = "common/network", device: str = "cpu", threads: int = 2) -> Path:
    return remembered.remembered("kind", "name", [code], device, {"threads": threads})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_same_is_found_again_in_the_users_cache(tmp_path: Path) -> None:
    assert place() == place() and place().parent == tmp_path / "speaker-comparison" / "kind"
    assert place().name.startswith("name-")


def test_anything_else_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [place(), place(threads=1), place(device="gpu"), place("common/proof"), place("common/files.py")]
    read_text = Path.read_text
    for owner, name, changing in (
            (Path, "read_text", lambda path, *given, **named: "model name: another\n" * (str(path) == "/proc/cpuinfo")
             or read_text(path, *given, **named)),
            (metadata, "version", lambda package: "0"), (Path, "read_bytes", lambda path: b"other code")):
        with monkeypatch.context() as changed:
            changed.setattr(owner, name, changing)
            places.append(place())
    with monkeypatch.context() as changed:
        row = Contender("third", "Third", "third_impl.worker", "pytest", "red", framework=True)
        changed.setitem(CONTENDERS, "third", row)
        places.append(place())
    for variable in ("DNNL_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY",
                     "NPY_DISABLE_CPU_FEATURES", "GLIBC_TUNABLES", "LRU_CACHE_CAPACITY", "TF_SET_ONEDNN_FPMATH_MODE",
                     "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_LEVEL", "TF_FP16_CONV_USE_FP32_COMPUTE", "TF_CONV2D_USE_FP16_COMPUTE",
                     "TF_MATMUL_USE_FP16_COMPUTE", "TF_CPU_ALLOCATOR_USE_BFC", "LD_PRELOAD", "LD_LIBRARY_PATH"):
        with monkeypatch.context() as changed:
            changed.setitem(remembered.AT_START, variable, "something else")
            places.append(place())
    assert len(set(places)) == len(places) == 24
    with monkeypatch.context() as changed:
        changed.setitem(remembered.AT_START, "OMP_NUM_THREADS", "7")
        for variable in ("TF_CLI_CONFIG_FILE", "TF_VAR_password", "TF_TOKEN_example_com", "TF_LOG", "TF_DATA_DIR", "TF_IN_AUTOMATION"):
            changed.setitem(remembered.AT_START, variable, "of Terraform")
        changed.setitem(remembered.AT_START, "TF_CPP_MIN_LOG_LEVEL", "3")
        changed.setitem(remembered.AT_START, "SOME_OTHER", "variable")
        assert place() == places[0], "--threads is in what is known, and the rest chooses nothing"


def test_changed_source_is_other_code(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("one = 1\n")
    before = place(str(tmp_path / "code"))
    (tmp_path / "code" / "notes.txt").write_text("not code")
    assert place(str(tmp_path / "code")) == before
    (tmp_path / "code" / "a.py").write_text("one = 2\n")
    assert place(str(tmp_path / "code")) != before


def test_settings_are_those_the_process_began_with() -> None:
    """Twins set variables when they are loaded: it must not matter who asks before and who asks after."""
    code = ("import os; from common.remembered import settings; before = settings(); import tf_impl, caffe2_impl; "
            "caffe2_impl.load(); os.environ['TF_ENABLE_ONEDNN_OPTS'] = '1'; print(before == settings(), before)")
    given = {**os.environ, "DNNL_MAX_CPU_ISA": "AVX2"}
    given.pop("TF_ENABLE_ONEDNN_OPTS", None)
    said = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=given, capture_output=True, text=True).stdout
    assert said.startswith("True ") and "'DNNL_MAX_CPU_ISA': 'AVX2'" in said and "TF_ENABLE" not in said
    assert all(name not in settings() for name in ("PATH", "OMP_NUM_THREADS"))
