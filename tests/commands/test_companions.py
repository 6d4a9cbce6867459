"""compare.py's companions as processes, from trained models to their tables: predictions, onnx, crossover."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Dict

import pytest
from commands import SMALL, succeed

TRAINING = [*SMALL, "--epochs", 2, "--crop-frames", "120", "--learning-rate", "0.01"]


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    """The same training in each framework, and another training in Caffe2."""
    place = tmp_path_factory.mktemp("runs")
    folders = {name: place / name for name in ("tf_impl", "caffe2_impl", "other")}
    for name in ("tf_impl", "caffe2_impl"):
        succeed(f"{name}.train", "--data", tiny_data, "--out", folders[name], *TRAINING)
    succeed("caffe2_impl.train", "--data", tiny_data, "--out", folders["other"], *TRAINING, "--momentum", 0.8)
    return folders


def predictions(first: Path, second: Path, *data: object) -> str:
    return succeed("compare.py", "predictions", first, second, *data, "--threads", 1)


def test_predictions_of_the_same_training_are_comparable(runs: Dict[str, Path], tiny_data: Path) -> None:
    text = predictions(runs["tf_impl"] / "last.npz", runs["caffe2_impl"] / "last.npz", "--data", tiny_data)
    assert text.splitlines()[:3] == [f"voices: test side of {runs['tf_impl']}/split.json", "first: TensorFlow tdnn, epoch 2",
                                     "second: Caffe2 tdnn, epoch 2"]
    assert "\n12 utterances: both right " in text
    assert re.search(r"accuracy difference [+-]\d+\.\d points \[.*\], McNemar's p: \d\.\d{3}", text)
    comparable, verdict = text.splitlines()[-2:]
    assert comparable.startswith("Comparable: same specification") and verdict.startswith("verdict: ")
    for library in ("TensorFlow 2.17", "Eigen", "Caffe2 of PyTorch 1.10.2", "MKL 20", "oneDNN 2"):
        assert library in comparable


def test_predictions_of_another_training_are_not(runs: Dict[str, Path]) -> None:
    text = predictions(runs["caffe2_impl"], runs["other"])  # on the data of the first
    line, = (line for line in text.splitlines() if "NOT COMPARABLE" in line)
    assert re.search(r"differ in optimizer: m = .*momentum=0.9, .* against m = .*momentum=0.8, ", line)
    assert "accuracy difference" in text and "verdict: " in text


def test_every_way_through_onnx(runs: Dict[str, Path], tiny_data: Path, tmp_path: Path) -> None:
    text = succeed("compare.py", "onnx", runs["caffe2_impl"] / "best.npz", "--data", tiny_data, "--out", tmp_path,
                   "--utterances", 8, "--threads", 1)
    assert "\ntdnn trained by Caffe2, 8 utterances" in text and text.rstrip().endswith("all ways agree")
    assert text.count("100.0 %") == 15, "every pair of six ways"
    assert (tmp_path / "onnx.md").read_text().strip() in text
    assert len(list(tmp_path.glob("*.onnx"))) == 2


def test_weights_cross_over(tiny_data: Path, tmp_path: Path) -> None:
    text = succeed("compare.py", "crossover", "--data", tiny_data, "--out", tmp_path / "out", "--width", "0.05",
                   "--steps", 3, "--batch-size", 8, "--threads", 1)
    assert "TensorFlow to Caffe2: largest difference" in text and "Caffe2 to TensorFlow: largest difference" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["crossover.json", "crossover.md", "crossover.png"]
    assert (tmp_path / "out" / "crossover.png").read_bytes().startswith(b"\x89PNG")
