"""Every form of a report says the same, and what is written is read back."""
from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any, List

import pytest
from reports import baseline, csv_rows, framework, markdown_tables, network, report

from common.compare.report import read_report
from common.errors import UserError
from common.proof.crosscheck import CrossCheck


def test_markdown_csv_and_json_say_the_same(tmp_path: Path) -> None:
    made = report(network(), network(network="tdnn", parameters=5, frameworks={
        "tensorflow": framework("TensorFlow", peak_memory_mib=99), "caffe2": framework("Caffe2", start_seconds=1)}))
    made.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.json", "report.md"]
    tables = markdown_tables((tmp_path / "report.md").read_text())
    stored = json.loads((tmp_path / "report.json").read_text())["results"]
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    accuracies, *tables = tables
    assert list(accuracies) == ["network", "vgg_m", "tdnn"] and len(rows) == 4 and len(tables) == 2 * 6
    for number, row in enumerate(rows):
        place = number % 2
        cells = {name: own[place] for table in tables[6 * (number // 2):][:6] if "" in table for name, own in table.items()}
        own = list(stored[number // 2]["frameworks"].values())[place]
        assert cells[""] == row["framework"] and row["parameters"] == str(stored[number // 2]["parameters"])
        for figure, column, words, value in (
                ("training, utterances/s", "training_utterances_per_s", "{:.2f} [", own["speeds"]["training"]["resident"]["median"]),
                ("inference, share of matmul", "inference_share_of_matmul", "{:.0%}", 0.4),
                ("forward", "forward_s", "0.2", own["speeds"]["forward"]["resident"]["seconds"][1]),
                ("peak memory", "peak_memory_mib", "{:,.0f} MiB", own["peak_memory_mib"]),
                ("test top-1", "test_top1", "{:.1%}", own["evaluation"]["top1"]),
                ("ONNX Runtime, largest difference", "onnx_largest_difference", "{:.1e}", own["crosscheck"]["largest_difference"])):
            assert float(row[column]) == pytest.approx(value)
            assert figure == "forward" or cells[figure].replace(" %", "%").startswith(words.format(value)), figure


def test_the_csv_is_of_numbers_with_their_units() -> None:
    """Words stand only where a word is the figure; what was not measured is empty, and has its column all the same."""
    rows = csv_rows(report(network(baselines={"onnxruntime": baseline("ORT")})))
    words = {"checks", "network", "framework", "engine", "convolutions", "instructions", "unsettled"}
    for row in rows:
        for column in set(row) - words:
            assert row[column] == "" or float(row[column]) >= 0 or column.startswith("update_s"), column
    first, runtime = rows[0], rows[2]
    assert (first["training_utterances_per_s"], first["training_utterances_per_s_low"], first["latency_p50_s"],
            first["inference_joules_per_utterance"], first["warm_up_training_steps"]) == ("10.0", "8.0", "0.03", "0.5", "4")
    assert (runtime["framework"], runtime["inference_utterances_per_s"]) == ("ONNX Runtime", "80.0")
    assert runtime["training_utterances_per_s"] == runtime["test_top1"] == runtime["backward_s"] == ""
    assert first["update_s"] == "" and float(first["update_s_low"]) < 0, "a part that noise could have made up"
    assert list(first) == list(csv_rows(report(network(learning=None)))[0])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Also from the file itself, and with numbers that JSON does not have."""
    alone = network(network="tdnn", frameworks={"caffe2": framework("Caffe2", epochs=[], evaluation=None, crosscheck=None)},
                    baselines={"keras": baseline("Keras")}, sides=None, differences=None, loss_difference=None, drift=None,
                    agreement=None, learning=None)
    made = report(network(), alone)
    made.write(tmp_path)
    assert read_report(tmp_path) == read_report(tmp_path / "report.json") == made
    assert read_report(tmp_path).text() == made.text()
    broken = report(network(frameworks={"caffe2": framework("Caffe2", timed={"resident": CrossCheck(16, float("nan"), 2.5, 1.0)})}))
    broken.write(tmp_path)
    read, = read_report(tmp_path).results
    assert not read.valid and math.isnan(read.frameworks["caffe2"].timed["resident"].largest_difference) and read.ratios == []


@pytest.mark.parametrize("version, words", [(None, "states no version"), (1, "is of version 1"), ("x" * 99, "is of version 'xxx")])
def test_a_report_of_another_version_is_refused(tmp_path: Path, version: Any, words: str) -> None:
    stored = {**report(network()).stored(), "version": version}
    (tmp_path / "report.json").write_text(json.dumps({name: value for name, value in stored.items() if value is not None}))
    with pytest.raises(UserError, match=f"report.json: this report {words}.*: run the comparison again"):
        read_report(tmp_path)


@pytest.mark.parametrize("place, value, words", [
    (["macs"], "many", "macs"), (["frameworks", "caffe2", "facts"], None, "facts"), (["new"], 1, "new"),
    (["frameworks", "caffe2", "speeds", "training", "resident", "seconds"], ["fast"], "seconds"),
    (["frameworks", "caffe2", "certificate", "batch_size"], 1.5, "batch_size"), (["checks", 0, "passed"], "yes", "passed"),
    (["learning", "epochs"], 0, "epochs"), (["frameworks"], [], "frameworks")])
def test_a_field_of_another_type_is_named(tmp_path: Path, place: List[Any], value: Any, words: str) -> None:
    stored = report(network()).stored()
    inner = stored["results"][0]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    (tmp_path / "report.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=f"this is not a report of compare.py.*\\(.*{words}"):
        read_report(tmp_path)
