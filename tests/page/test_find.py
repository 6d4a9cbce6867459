"""Which files the page takes for a model, by what is named, and what its command says before it serves."""
from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import List

import pytest
from commands import PROJECT, run

from common.errors import UserError
from common.page.models import Files, find, start

MODELS = PROJECT / "results" / "models"


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    """Of a run, and what was exported of it."""
    for name in ("best.npz", "last.npz", "speaker.onnx", "config.json"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("named, removed, checkpoint, onnx", [
    (".", [], "best.npz", "speaker.onnx"),
    ("best.npz", [], "best.npz", "speaker.onnx"),
    ("last.npz", [], "last.npz", "speaker.onnx"),
    ("speaker.onnx", [], "best.npz", "speaker.onnx"),
    (".", ["speaker.onnx"], "best.npz", None),
    (".", ["best.npz"], "last.npz", "speaker.onnx"),
    (".", ["best.npz", "last.npz"], None, "speaker.onnx"),
])
def test_a_runs_folder(folder: Path, named: str, removed: List[str], checkpoint: str, onnx: str) -> None:
    for name in removed:
        (folder / name).unlink()
    assert find(folder / named) == Files(checkpoint and folder / checkpoint, onnx and folder / onnx)


def test_of_several_models_the_file_of_the_same_name() -> None:
    models = MODELS / "real35"
    for named, stem in ((".", "tensorflow"), ("caffe2.npz", "caffe2"), ("caffe2.onnx", "caffe2"), ("tensorflow.npz", "tensorflow")):
        assert find(models / named) == Files(models / f"{stem}.npz", models / f"{stem}.onnx")


def test_where_there_is_none(folder: Path) -> None:
    for name in ("best.npz", "last.npz", "speaker.onnx"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="a folder without a model; name a run's folder"):
        find(folder)
    with pytest.raises(UserError, match="there is no model .*best.npz"):
        find(folder / "best.npz")


def test_two_models_are_not_taken_for_one(tmp_path: Path) -> None:
    shutil.copy(MODELS / "synthetic" / "tensorflow.npz", tmp_path / "best.npz")
    shutil.copy(MODELS / "synthetic" / "caffe2.onnx", tmp_path / "speaker.onnx")
    with pytest.raises(UserError, match="best.npz and .*speaker.onnx are two models"):
        start(find(tmp_path), threads=1)


# The command

def test_it_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = run("common.page", tmp_path)
    assert done.returncode == 2 and "the page needs flask and waitress" in done.stderr
    assert f"uv pip install --python {sys.executable} -r {PROJECT}/.requirements-page.txt" in done.stderr


@pytest.mark.parametrize("arguments, told", [
    (["nowhere"], "there is no model nowhere; name a run's folder"),
    ([PROJECT / "tests"], "a folder without a model"),
    ([PROJECT / "compare.py"], "compare.py"),
    (["--host", "example.org"], "no address such as 127.0.0.1"),
    (["--port", "-1"], "'-1' is no port"), (["--port", "65536"], "'65536' is no port"),
])
def test_mistakes_at_the_command_line(arguments: List[str], told: str) -> None:
    for package in ("flask", "waitress"):
        pytest.importorskip(package, reason="the page is optional, see .requirements-page.txt")
    done = run("common.page", *arguments)
    assert done.returncode == 2 and told in done.stderr
