"""A third framework is one folder and one row: the tests' NumPy twin goes wherever the two go."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator

import numpy_twin
import pytest
from commands import succeed

import compare
from common.contenders import CONTENDERS, FRAMEWORKS, Contender
from common.data.dataset import open_dataset
from common.data.splits import save_split, split_dataset
from common.network.params import initialise, zeros
from common.training.checkpoint import Checkpoint, save_checkpoint
from common.training.config import TrainingConfig

ROW = Contender("numpy", "NumPy", "numpy_twin.worker", "numpy", "#188038", "++", ":", "*", framework=True)
ALL = ["tensorflow", "caffe2", "numpy"]
TINY = ["--threads", "1", "--device", "cpu", "--batch-size", "8", "--width", "0.03"]


class Single(numpy_twin.Model):
    """Says of itself what its parameters and answers are, as it computes what the others do."""

    def facts(self) -> Dict[str, str]:
        return {**super().facts(), "precision": "float32"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What passed the self-check here is this row, which nobody else shall find."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def third(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[None]:
    """The row, and what `compare.py` imports."""
    twin = numpy_twin.load(Single)
    monkeypatch.setattr(numpy_twin, "load", lambda: twin)
    monkeypatch.setitem(CONTENDERS, "numpy", ROW)
    monkeypatch.setitem(compare.LOADS, "numpy", numpy_twin.load)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    FRAMEWORKS.append("numpy")
    yield
    FRAMEWORKS.remove("numpy")


def test_through_the_comparison_its_tables_and_plots(tiny_data: Path, tmp_path: Path) -> None:
    told = succeed("compare.py", "--data", tiny_data, "--out", tmp_path / "out", *TINY, "--networks", "tdnn", "--epochs", "1",
                   "--learning-rate", "0.001", "--crop-frames", "60", "--convolutions", "default", "--baselines", "none",
                   "--blocks", "2", "--budget", "0", "--steps", "1", "--block-seconds", "0", "--calls", "2")
    assert "TensorFlow / NumPy" in told and "Caffe2 / NumPy" in told and "FAILED" not in told
    assert {"report.md", "speed.png", "learning-curves.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    result, = json.loads((tmp_path / "out" / "report.json").read_text())["results"]
    assert result["sides"] == list(result["frameworks"]) == ALL and result["differences"] == {}
    assert 0 < result["loss_difference"] < 1e-3 and result["agreement"] == 1.0
    probes = [own["probe"] for own in result["frameworks"].values()]
    assert result["loss_difference"] == pytest.approx(max(
        abs(a - b) / a for one in probes for other in probes for a, b in zip(one, other)), rel=1e-3)
    assert {(each["first"], each["second"]) for each in result["ratios"]} == {
        ("tensorflow", "caffe2"), ("tensorflow", "numpy"), ("caffe2", "numpy")}
    assert {"numpy", "numpy / tensorflow", "tensorflow / caffe2 / numpy"} <= {" / ".join(check["whom"]) for check in result["checks"]}


def test_through_the_ladder(tiny_data: Path, tmp_path: Path) -> None:
    told = succeed("compare.py", "parity", "--data", tiny_data, "--out", tmp_path / "out", *TINY, "--networks", "tdnn",
                   "--crop-frames", "60", "--steps", "2")
    assert "NumPy stays with the reference on every rung" in told
    for pair in ("tensorflow against caffe2", "tensorflow against numpy", "caffe2 against numpy"):
        assert pair in told


def test_through_onnx(tiny_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset([tiny_data])
    run: Any = tmp_path / "run"
    run.mkdir()
    checkpoint = Checkpoint(TrainingConfig(network="tdnn", width=0.03), dataset.speakers, {}, {})
    parameters = {"params": initialise(checkpoint.spec), "momenta": zeros(checkpoint.spec)}
    save_checkpoint(run / "best.npz", Checkpoint(checkpoint.config, dataset.speakers, **parameters))
    save_split(run / "split.json", split_dataset(dataset), dataset)
    told = succeed("compare.py", "onnx", run, "--data", tiny_data, "--out", tmp_path / "out", "--threads", "1", "--device", "cpu",
                   "--utterances", "4")
    assert "tensorflow > ONNX > numpy" in told and "numpy > ONNX > caffe2" in told and "all ways agree" in told
