"""Tables, notes and plots from results made by hand, and that every form of them says the same."""
from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from common.compare.results import BaselineResult, Epoch, FrameworkResult, NetworkResult, RatioOf
from common.compare.report import Report, read_report
from common.compare.verdict import judge
from common.errors import UserError
from common.show.learning_curves import draw_learning
from common.show.speed_bars import draw_speed
from common.proof.crosscheck import CrossCheck
from common.speed.benchmark import Block, Ratio, Speed
from common.speed.timing import Proof
from common.training.certificate import Certificate
from common.training.config import TrainingConfig
from common.training.evaluation import Evaluation

CERTIFICATE = dataclasses.replace(Certificate(*["same"] * len(dataclasses.fields(Certificate))), batch_size=16, macs=500_000_000,
                                  threads="2")
EPOCHS = [Epoch([1.4, 1.2], train_top1=0.5, seconds=2.0, utterances_per_second=8.0, dev_top1=0.25),
          Epoch([0.9, 0.7], train_top1=0.75, seconds=1.0, utterances_per_second=16.0, dev_top1=0.5)]


def speed(*seconds: float, utterances: int = 8, joules: Optional[float] = None) -> Speed:
    return Speed.of([Block([s], 1000, 0, 2, joules) for s in seconds], utterances)


TRAINING, INFERENCE = speed(0.64, 0.8, 1.0), speed(0.2, 0.19, 0.25, joules=4.0)  # medians of 10 and 40 a second
LATENCY = speed(*[0.030] * 50, 0.050, utterances=1)
SPEEDS = {"training": {"resident": TRAINING, "end-to-end": speed(0.8, 0.85, 1.0)}, "inference": {"resident": INFERENCE},
          "forward": {"resident": speed(0.19, 0.2, 0.21)},
          "backward": {"resident": speed(0.58, 0.76, 0.99)}, "latency": {"resident": LATENCY}}
MEASURED = dict(start_seconds=3.0, first_step_seconds=1.25, warm_up={"training": 4, "inference": 3}, unsettled=[],
                peak_memory_mib=1234.4)


def framework(name: str, **changed: Any) -> FrameworkResult:
    values: Dict[str, Any] = dict(
        MEASURED, facts={"framework": f"{name} 1.0", "engine": f"{name}'s engine", "threads": "2"}, speeds=SPEEDS,
        proof=Proof(1e-6, 2e-6), timed=CrossCheck(16, 4e-6, 2.5, 1.0), certificate=CERTIFICATE, probe=[1.5] * 5,
        epochs=EPOCHS,
        evaluation=Evaluation(144, 0.875, 0.81, 0.92, 1.0, 0.4, 30.0), crosscheck=CrossCheck(144, 3e-6, 12.3, 1.0))
    return FrameworkResult(**{**values, **changed})


def baseline(name: str, proof: Proof = Proof(2e-6, None)) -> BaselineResult:
    return BaselineResult(facts={"framework": f"{name} 9", "engine": "its own", "threads": "2"}, **MEASURED, proof=proof,
                          speeds={"inference": {"resident": speed(0.1, 0.1)}})


LEARNING = TrainingConfig(network="tdnn", epochs=8, crop_frames=100, learning_rate=0.02, final_learning_rate=2e-4, schedule="cosine")


def network(**changed: Any) -> NetworkResult:
    """A result with every check that it calls for; all pass unless `changed` makes them fail."""
    values: Dict[str, Any] = dict(
        network="vgg_m", parameters=16_680_242, macs=500_000_000, matmul_library="caffe2",
        matmul_gflops=[100.0, 90.0, 110.0], matmuls={"NumPy": 80.0, "caffe2": 100.0},
        frameworks={"tensorflow": framework("TensorFlow"), "caffe2": framework("Caffe2")}, baselines={},
        ratios=[RatioOf("training", "tensorflow", "caffe2", Ratio(0.8, 0.7, 0.9)),
                RatioOf("inference", "tensorflow", "caffe2", Ratio(1.02, 0.9, 1.1))],
        end_to_end=[RatioOf("training", "caffe2", "resident", Ratio(0.94, 0.9, 0.96))],
        sides=["tensorflow", "caffe2"], differences={}, loss_difference=2e-6, drift=3e-3, agreement=0.9931,
        learning=LEARNING)
    result = NetworkResult(**{**values, **changed})
    result.checks = judge(result)
    return result


def report(*results: NetworkResult, synthetic: bool = True) -> Report:
    data = {"name": "voices", "synthetic": synthetic, "by": "session", "speakers": 12, "train": 288, "dev": 48,
            "test": 144, "fingerprint": "00ff"}
    return Report("2021-12-31", {"processor": "A fast one", "cores": "2", "threads": "2"}, {"caffe2": "Caffe2 1.0"}, data,
                  {"batch_size": 16, "width": 0.5, "crop_frames": 150}, list(results))


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
    pair = {name.lower(): framework(name, facts=own) for name, own in facts.items()}
    made = report(network(frameworks=pair, baselines={"keras": baseline("Keras")}))
    rows = rows_of(made)
    assert rows["convolutions"] == ["Winograd: conv2; direct: conv1", "direct", ""]
    assert list(rows)[list(rows).index("engine") + 1] == "convolutions"
    assert [row["convolutions"] for row in csv_rows(made)] == rows["convolutions"]
    assert "convolutions" not in rows_of(report(network()))
    assert "so it can exceed 100 %" in made.text()


def test_accuracy_and_onnx() -> None:
    rows = {name: cells[1] for name, cells in rows_of(report(network())).items() if len(cells) > 1}
    assert [rows[f"learning run, {what}"] for what in ("epochs", "last loss", "utterances/s")] == ["2", "0.800", "12.0"]
    assert (rows["test top-1"], rows["test top-1, 95 % interval"]) == ("87.5 %", "81.0 to 92.0 %")
    assert [rows[f"ONNX Runtime, {what}"] for what in ("largest difference", "same answer")] == ["3.0e-06", "100.0 % of 144"]


def rows_of(made: Report) -> Dict[str, List[str]]:
    """The rows of all Markdown tables."""
    return {name: cells for table in markdown_tables(made.text("github")) for name, cells in table.items()}


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
    assert text.startswith("Checked in this run: all 8 checks ")
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
    assert len(rows) == 4 and len(tables) == 2 * 6
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
    broken = report(network(frameworks={"caffe2": framework("Caffe2", timed=CrossCheck(16, float("nan"), 2.5, 1.0))}))
    broken.write(tmp_path)
    read, = read_report(tmp_path).results
    assert not read.valid and math.isnan(read.frameworks["caffe2"].timed.largest_difference) and read.ratios == []


@pytest.mark.parametrize("version, words", [(None, "states no version"), (2, "is of version 2"), ("x" * 99, "is of version 'xxx")])
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
