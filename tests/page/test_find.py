"""Which files the page takes for a model, by what is named."""
from __future__ import annotations

import shutil
from pathlib import Path
from typing import List

import pytest
from commands import PROJECT

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
