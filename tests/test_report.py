"""Tables, notes and plots from results made by hand, and that every form of them says the same."""
from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from common.compare.benchmark import Ratio, Speed
from common.training.certificate import Certificate
from common.compare.comparison import FrameworkResult, NetworkResult
from common.compare.crosscheck import CrossCheck
from common.compare.plots import write_plots
from common.compare.report import Report
from common.training.evaluation import Evaluation

CERTIFICATE = Certificate(*["same"] * len(dataclasses.fields(Certificate)))
EPOCHS = [{"losses": [1.4, 1.2], "train_top1": 0.5, "dev_top1": 0.25, "seconds": 2.0, "utterances_per_second": 8.0},
          {"losses": [0.9, 0.7], "train_top1": 0.75, "dev_top1": 0.5, "seconds": 1.0, "utterances_per_second": 16.0}]


def framework(name: str, **changed: Any) -> FrameworkResult:
    values: Dict[str, Any] = dict(
        facts={"framework": f"{name} 1.0", "engine": f"{name}'s engine"}, certificate=CERTIFICATE,
        start_seconds=3.0, first_step_seconds=1.25, probe=[1.5] * 5, training=Speed(10.0, 8.0, 12.5, 3, [1.0] * 3),
        inference=Speed(40.0, 39.0, 41.0, 3, [0.25] * 3), epochs=EPOCHS,
        evaluation=Evaluation(144, 0.875, 0.81, 0.92, 1.0, 0.4, 30.0), peak_memory_mib=1234.4,
        crosscheck=CrossCheck(144, 3e-6, 12.3, 1.0))
    return FrameworkResult(**{**values, **changed})


def network(**changed: Any) -> NetworkResult:
    values: Dict[str, Any] = dict(
        network="vgg_m", parameters=16_680_242, macs=500_000_000, matmul_gflops=[100.0, 90.0, 110.0],
        frameworks={"tensorflow": framework("TensorFlow"), "caffe2": framework("Caffe2")}, differences={},
        loss_difference=2e-6, drift=3e-3, training_ratio=Ratio(0.8, 0.7, 0.9), inference_ratio=Ratio(1.02, 0.9, 1.1),
        agreement=0.9931)
    return NetworkResult(**{**values, **changed})


def report(*results: NetworkResult, synthetic: bool = True) -> Report:
    data = {"name": "voices", "synthetic": synthetic, "by": "session", "speakers": 12, "train": 288, "dev": 48,
            "test": 144, "fingerprint": "00ff"}
    return Report("2021-12-31", {"processor": "A fast one", "cores": "2"}, {"caffe2": "Caffe2 1.0"}, data,
                  {"batch_size": 16, "width": 0.5, "crop_frames": 150}, list(results))


def test_speed_and_its_share_of_the_machines_limit() -> None:
    """100 GFLOPS over 2 * 0.5 GMAC would be 100 predictions or a third as many training steps a second."""
    row = csv_rows(report(network()))[0]
    assert row["training, utterances/s"] == "10.00 [8.00, 12.50]"
    assert row["inference, utterances/s"] == "40.00 [39.00, 41.00]"
    assert (row["training, share of matmul"], row["inference, share of matmul"]) == ("30 %", "40 %")
    assert (row["parameters"], row["macs"], row["peak memory"]) == ("16680242", "500000000", "1,234 MiB")


def test_accuracy_and_onnx() -> None:
    row = csv_rows(report(network()))[1]
    assert (row["network"], row["framework"]) == ("vgg_m", "Caffe2")
    assert [row[f"learning run, {what}"] for what in ("epochs", "last loss", "utterances/s")] == ["2", "0.800", "12.0"]
    assert (row["test top-1"], row["test top-1, 95 % interval"]) == ("87.5 %", "81.0 to 92.0 %")
    assert [row[f"ONNX Runtime, {what}"] for what in ("largest difference", "same answer", "verdict")] == \
        ["3.0e-06", "100.0 % of 144", "agrees"]


@pytest.mark.parametrize("check", [CrossCheck(144, 2e-3, 12.3, 1.0), CrossCheck(144, 3e-6, 12.3, 0.99)])
def test_an_export_that_disagrees_is_shown(check: CrossCheck) -> None:
    pair = {"tensorflow": framework("TensorFlow", crosscheck=check), "caffe2": framework("Caffe2")}
    assert [row["ONNX Runtime, verdict"] for row in csv_rows(report(network(frameworks=pair)))] == ["DISAGREES", "agrees"]


def test_side_by_side() -> None:
    text = report(network()).text()
    assert "TensorFlow / Caffe2, ratio of speeds [95 % interval]: training 0.80 [0.70, 0.90]; " in text
    assert "inference 1.02 [0.90, 1.10], no detectable difference" in text
    assert "differs by at most 2.0e-06 of itself: the same to rounding" in text
    assert "3.0e-03 of the loss by step 5" in text
    assert "same speaker for 99.3 % of the test utterances" in text
    assert "NOT" not in text


def test_every_fact_of_a_certificate_is_named_where_runs_are_called_comparable() -> None:
    text = report(network()).text()
    words = {"network": "specification", "initial_parameters": "initial parameters", "optimizer": "optimiser",
             "batch_size": "batch size", "device": "device kind", "macs": "multiply-accumulates"}
    for field in dataclasses.fields(Certificate):
        assert words.get(field.name, field.name) in text.split("Comparable: same", 1)[1], field.name


def test_runs_that_differ_are_not_comparable() -> None:
    result = network(differences={"order": ["aa", "bb"], "threads": ["1", "2"]})
    text = report(result).text()
    assert "vgg_m: NOT COMPARABLE, the two runs differ in order: aa against bb; threads: 1 against 2" in text
    assert "ratio of speeds" not in text and "Comparable:" not in text


@pytest.mark.parametrize("difference", [2e-3, float("nan")])
def test_losses_that_part_are_not_the_same(difference: float) -> None:
    assert "NOT THE SAME" in report(network(loss_difference=difference)).text()


def test_one_framework_has_nothing_beside_it() -> None:
    alone = network(frameworks={"caffe2": framework("Caffe2")}, differences=None, loss_difference=None, drift=None,
                    training_ratio=None, inference_ratio=None, agreement=None)
    text = report(alone).text()
    assert "vgg_m: one framework only, nothing to compare" in text
    assert "TensorFlow" not in text


def test_synthetic_voices_are_called_so_everywhere(tmp_path: Path) -> None:
    report(network()).write(tmp_path)
    assert "12 SYNTHETIC voices" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["data"]["synthetic"] is True
    assert "synthetic" not in report(network(), synthetic=False).text().lower()


@pytest.mark.parametrize("by, words", [("session", "held-out sessions:"), ("record", "held-out records:"),
                                       ("official", "held-out part of the official split:")])
def test_what_was_held_out(by: str, words: str) -> None:
    made = report(network())
    made.data["by"] = by
    assert words in made.text()


def test_head_names_machine_versions_and_settings() -> None:
    text = report(network()).text()
    for fact in ("2021-12-31", "processor A fast one", "cores 2", "Caffe2 1.0", "batch_size 16", "width 0.5"):
        assert fact in text


def csv_rows(made: Report) -> List[Dict[str, str]]:
    return list(csv.DictReader(io.StringIO(made._csv())))


def markdown_tables(text: str) -> List[Dict[str, List[str]]]:
    """All tables of a Markdown text: the name in the first column -> the cells beside it."""
    tables: List[Dict[str, List[str]]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and not inside:
            tables.append({})
        inside = bool(cells)
        if cells and not set("".join(cells)) <= set("-:"):
            tables[-1][cells[0]] = cells[1:]
    return tables


def test_markdown_csv_and_json_say_the_same(tmp_path: Path) -> None:
    made = report(network(), network(network="tdnn", parameters=5, frameworks={
        "tensorflow": framework("TensorFlow", peak_memory_mib=99), "caffe2": framework("Caffe2", start_seconds=1)}))
    made.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.json", "report.md"]
    tables = markdown_tables((tmp_path / "report.md").read_text())
    stored = json.loads((tmp_path / "report.json").read_text())["results"]
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and len(tables) == 2
    for number, row in enumerate(rows):
        table, place = tables[number // 2], number % 2
        assert table[""][place] == row["framework"]
        for figure, cells in table.items():
            assert not figure or cells[place] == row[figure]
        own = list(stored[number // 2]["frameworks"].values())[place]
        assert row["training, utterances/s"].startswith(f"{own['training']['median']:.2f} ")
        assert row["test top-1"] == f"{100 * own['evaluation']['top1']:.1f} %"
        assert row["parameters"] == str(stored[number // 2]["parameters"])
        assert row["ONNX Runtime, largest difference"] == f"{own['crosscheck']['largest_difference']:.1e}"


def test_headers_are_distinct_words() -> None:
    headers = list(csv_rows(report(network()))[0])
    assert headers == [header.strip() for header in headers] and len(set(headers)) == len(headers)


def test_the_terminal_shows_the_same_numbers() -> None:
    plain, markdown = report(network()).text(), report(network()).text("github")
    assert "|" not in plain
    cells = [cell for table in markdown_tables(markdown) for row in table.values() for cell in row]
    assert cells and all(cell in plain for cell in cells)


@pytest.mark.parametrize("results", [
    [network()],
    [network(frameworks={"caffe2": framework("Caffe2", epochs=[{**epoch, "dev_top1": None} for epoch in EPOCHS])}),
     network(network="tdnn")],
], ids=["one network", "one framework without a development side"])
def test_plots(tmp_path: Path, results: List[NetworkResult]) -> None:
    write_plots(results, tmp_path, synthetic=True)
    for name in ("learning-curves.png", "speed.png"):
        image = (tmp_path / name).read_bytes()
        assert image.startswith(b"\x89PNG") and len(image) > 5000
