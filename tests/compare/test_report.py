"""Tables, notes and plots from results made by hand."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import List

import pytest
from reports import EPOCHS, SPEEDS, baseline, csv_rows, framework, markdown_tables, network, report, rows_of, speed

from common.compare.results import NetworkResult, RatioOf
from common.data.splits import MIXED
from common.show.learning_curves import draw_learning
from common.show.speed_bars import draw_speed
from common.speed.blocks import Ratio
from common.training.certificate import Certificate


def test_speed_and_its_share_of_the_machines_limit() -> None:
    """100 GFLOPS over 2 * 0.5 GMAC would be 100 predictions or a third as many training steps a second."""
    rows = {name: cells[0] for name, cells in rows_of(report(network())).items()}
    assert rows["training, utterances/s"] == "10.00 [8.00, 12.50]"
    assert rows["inference, utterances/s"] == "40.00 [32.00, 42.11]"
    assert (rows["training, share of matmul"], rows["inference, share of matmul"]) == ("30 %", "40 %")
    assert rows["peak memory"] == "1,234 MiB"


def test_how_convolutions_are_computed_stands_below_the_engine() -> None:
    """Keras does not tell, so its cell is empty; where nobody does there is no row."""
    facts = {name: {**framework(name).facts, "algorithm": way}
             for name, way in (("TensorFlow", "Winograd: conv2; direct: conv1"), ("Caffe2", "direct"))}
    facts["Caffe2"]["chosen"] = "as asked for"
    pair = {name.lower(): framework(name, facts=own) for name, own in facts.items()}
    made = report(network(frameworks=pair, baselines={"keras": baseline("Keras")}))
    rows = rows_of(made)
    assert rows["convolutions"] == ["Winograd: conv2; direct: conv1", "direct (as asked for)", ""]
    assert list(rows)[list(rows).index("engine") + 1] == "convolutions"
    assert [row["convolutions"] for row in csv_rows(made)] == rows["convolutions"]
    assert "convolutions" not in rows_of(report(network()))
    assert "so it can exceed 100 %" in made.text()


def test_accuracy_and_onnx() -> None:
    rows = {name: cells[1] for name, cells in rows_of(report(network())).items() if len(cells) > 1}
    assert [rows[f"learning run, {what}"] for what in ("epochs", "last loss", "utterances/s")] == ["2", "0.800", "12.0"]
    assert (rows["test top-1"], rows["test top-1, 95 % interval"]) == ("87.5 %", "81.0 to 92.0 %")
    assert [rows[f"ONNX Runtime, {what}"] for what in ("largest difference", "same answer")] == ["3.0e-06", "100.0 % of 144"]


def test_side_by_side() -> None:
    text = report(network()).text()
    assert rows_of(report(network()))["TensorFlow / Caffe2"] == [
        "0.80 [0.70, 0.90]", "1.02 [0.90, 1.10], no detectable difference", ""]
    assert "differs by at most 2.0e-06 of itself." in text
    assert "3.0e-03 of the loss by step 5" in text
    assert "same speaker for 99.3 % of the test utterances" in text
    assert "NOT" not in text


def test_where_the_time_of_a_step_goes() -> None:
    """Rounds of 0.64, 0.8 and 1 s. An update that is not above the noise between rounds is no figure, below 0 least of all."""
    rows = rows_of(report(network()))
    assert rows["forward"][0] == "200 ms (25 %)"
    assert rows["backward"][0] == "577 ms [91, 1,062] (72 %)"
    assert rows["update"][0] == "withheld: not to be told from noise, at most 99 ms"
    sure = {**SPEEDS, "backward": {"resident": speed(0.60, 0.76, 0.96)}}
    assert rows_of(report(network(frameworks={"caffe2": framework("Caffe2", speeds=sure)})))["update"][0] == "40 ms (5 %)"
    absurd = {**SPEEDS, "backward": {"resident": speed(0.70, 0.87, 1.06)}}
    assert rows_of(report(network(frameworks={"caffe2": framework("Caffe2", speeds=absurd)})))["update"][0] == \
        "withheld: not to be told from noise"


def test_a_noisy_run_is_called_noisy() -> None:
    text = report(network()).text()
    assert "Rounds: training 3, inference 3; then time was up. NOISY: 2 ratios of both are not known to 5 %, least training of " \
        "TensorFlow / Caffe2 (12 %)." in text
    wild = [RatioOf("training", "tensorflow", "caffe2", Ratio(1.1, 0.0001, 49386.0))]
    assert rows_of(report(network(ratios=wild)))["TensorFlow / Caffe2"] == ["withheld: too noisy to tell", "", ""]
    calm = [RatioOf("training", "tensorflow", "caffe2", Ratio(1.1, 1.07, 1.13)),
            RatioOf("latency", "tensorflow", "caffe2", Ratio(1.1, 0.7, 1.6))]
    text = report(network(ratios=calm)).text()
    assert "every ratio of both is known to 5 %." in text and "NOISY" not in text and "not settled" not in text.split("Rounds:")[1]


def test_a_warm_up_that_did_not_settle_is_told() -> None:
    pair = {"tensorflow": framework("TensorFlow"), "caffe2": framework("Caffe2", unsettled=["training"])}
    made = report(network(frameworks=pair))
    assert rows_of(made)["warm-up, steps"] == ["training 4, inference 3", "training 4, not settled, inference 3"]
    assert "Warm-up had not settled when they began: Caffe2 (training)." in made.text()


def test_own_convolutions_stand_beside_ours() -> None:
    own = {name: baseline(name) for name in ("tensorflow-direct", "caffe2-direct")}
    ratios = [RatioOf("inference", a, b, Ratio(2.0, 1.9, 2.1)) for a, b in (
        ("tensorflow-direct", "caffe2-direct"), ("tensorflow", "caffe2"), ("caffe2", "caffe2-direct"))]
    made = report(network(baselines=own, ratios=ratios))
    assert [row for row in rows_of(made) if " / " in row] == [
        "own convolutions: TensorFlow / Caffe2", "TensorFlow / Caffe2", "Caffe2 / its own convolutions"]
    text = made.text()
    assert text.index("times as fast") < text.index("training, utterances/s"), "who is faster comes first"


def test_the_learning_run_is_stated_or_its_absence() -> None:
    text = report(network()).text()
    assert "Learning run: 8 epochs of crops of 100 frames in batches of 32, learning rate 0.02 to 0.0002 (cosine)" in text
    assert "vgg_m: no learning run" in report(network(learning=None)).text()


def test_latency_energy_and_what_disturbed_the_process() -> None:
    rows = {name: cells[0] for name, cells in rows_of(report(network())).items()}
    assert rows["latency of one utterance, p50"] == rows["latency of one utterance, p90"] == "30.0 ms"
    assert rows["latency of one utterance, p99"] == "40.0 ms" and rows["latency, calls"] == "51"
    assert (rows["energy an utterance, training"], rows["energy an utterance, inference"]) == ("not available", "0.50 J")
    assert rows["page faults a step, minor + major"] == "1,000 + 0"
    assert rows["involuntary context switches a step"] == "2"
    assert rows["warm-up, steps"] == "training 4, inference 3" and rows["threads"] == "2"


def test_a_share_that_noise_made_up_is_withheld() -> None:
    made = report(network(end_to_end=[RatioOf("training", "caffe2", "resident", Ratio(0.7, 0.016, 34.0))]))
    assert "Caffe2, training end to end: withheld: too noisy to tell." in made.text()


@pytest.mark.parametrize("ratio, words", [(Ratio(0.94, 0.9, 0.96), "94.0 % of resident [90.0, 96.0]; within 2 %: MISSED"),
                                          (Ratio(0.97, 0.9, 1.1), "within 2 %: not told from noise"),
                                          (Ratio(1.0, 0.985, 1.01), "within 2 %: reached")])
def test_end_to_end_against_resident(ratio: Ratio, words: str) -> None:
    made = report(network(end_to_end=[RatioOf("training", "caffe2", "resident", ratio)]))
    assert "Caffe2, training end to end: " in made.text() and words in made.text()
    assert rows_of(made)["training, end to end, utterances/s"][0] == "9.41 [8.00, 10.00]"


def test_the_quickest_matrix_product_sets_the_limit() -> None:
    assert "Matrix product, GFLOP/s: NumPy 80, Caffe2 100" in report(network()).text()


def test_baselines_have_columns_and_prove_what_they_are() -> None:
    pair = {"keras": baseline("Keras"), "onnxruntime": baseline("ORT")}
    ratios = [RatioOf("inference", "caffe2", "keras", Ratio(0.5, 0.4, 0.6))]
    made = report(network(baselines=pair, ratios=ratios))
    rows = rows_of(made)
    assert rows["inference, utterances/s"] == ["40.00 [32.00, 42.11]"] * 2 + ["80.00 [80.00, 80.00]"] * 2
    assert rows["training, utterances/s"][2:] == ["", ""]
    assert rows["Caffe2 / Keras"] == ["", "0.50 [0.40, 0.60]", ""]
    assert rows["logits before training, of their scale"] == ["ONNX Runtime / TensorFlow", "2e-06", "0.001", "passed"]
    assert [row["framework"] for row in csv_rows(made)] == ["TensorFlow", "Caffe2", "Keras", "ONNX Runtime"]
    assert "test top-1" in rows and len(rows["test top-1"]) == 2


def test_without_a_learning_run_there_is_no_accuracy(tmp_path: Path) -> None:
    bare = {name: framework(name, epochs=[], evaluation=None, crosscheck=None) for name in ("tensorflow", "caffe2")}
    result = network(frameworks=bare, drift=None, agreement=None, learning=None)
    text = report(result).text()
    assert "test top-1" not in text and "ccuracy" not in text and "In the learning run" not in text and "of itself." in text
    assert text.startswith(f"Checked in this run: all {len(result.checks)} checks ")
    assert draw_learning(report(result), tmp_path) is None
    report(result).write(tmp_path)


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
    assert "Comparable:" not in text
    assert "TensorFlow / Caffe2" not in rows_of(report(result))


def test_one_framework_has_nothing_beside_it() -> None:
    alone = network(frameworks={"caffe2": framework("Caffe2")}, sides=None, differences=None, loss_difference=None,
                    drift=None, ratios=[], end_to_end=[], agreement=None)
    text = report(alone).text()
    assert "vgg_m: one framework only, nothing to compare" in text
    assert "TensorFlow" not in text.replace("TensorFlow and Caffe2", "")


def test_synthetic_voices_are_called_so_everywhere(tmp_path: Path) -> None:
    report(network()).write(tmp_path)
    assert "12 SYNTHETIC voices" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["data"]["synthetic"] is True
    assert "synthetic" not in report(network(), synthetic=False).text().lower()


@pytest.mark.parametrize("by, words", [("session", "held-out sessions:"), ("record", "held-out records:"),
                                       (MIXED, "held-out sessions, or recordings for speakers with a single session:"),
                                       ("official", "held-out part of the official split:")])
def test_what_was_held_out(by: str, words: str) -> None:
    made = report(network())
    made.data["by"] = by
    assert words in made.text()


def test_head_names_machine_versions_and_settings() -> None:
    text = report(network()).text()
    for fact in ("2021-12-31", "processor A fast one", "cores 2", "Caffe2 1.0", "batch_size 16", "width 0.5"):
        assert fact in text


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
    [network(sides=None, frameworks={"caffe2": framework("Caffe2", epochs=[dataclasses.replace(epoch, dev_top1=None) for epoch in EPOCHS])}),
     network(network="tdnn", baselines={"keras": baseline("Keras")})],
    [network(loss_difference=0.5)],
], ids=["one network", "one framework without a development side", "a check failed"])
def test_plots(tmp_path: Path, results: List[NetworkResult]) -> None:
    made = report(*results)
    for path in (draw_learning(made, tmp_path), draw_speed(made, tmp_path)):
        image = path.read_bytes()
        assert image.startswith(b"\x89PNG") and len(image) > 5000
