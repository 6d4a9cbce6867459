"""Every check made to fail: the verdict stands first in every form, ratios are gone, the status says so."""
from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Set

import numpy as np
import pytest
from commands import PROJECT
from reports import FACTS, INFERENCE, REPEATED, SPEEDS, TIMED, baseline, framework, network, report, rows_of, speed

from common.compare.results import NetworkResult, RatioOf, RepeatedStep
from common.compare.verdict import Check, failures, verdict
from common.contenders import CONTENDERS
from common.proof.crosscheck import CrossCheck
from common.show import learning_curves, speed_bars
from common.speed.blocks import Ratio
from common.speed.rounds import Proof

NAN = float("nan")


def of_caffe2(**changed: Any) -> NetworkResult:
    return network(frameworks={"tensorflow": framework("TensorFlow"), "caffe2": framework("Caffe2", **changed)})


def of_keras(proof: Proof, **changed: Any) -> NetworkResult:
    ratios = [RatioOf("inference", "tensorflow", "keras", Ratio(1.5, 1.4, 1.6))]
    return network(baselines={"keras": baseline("Keras", proof, **changed)}, ratios=ratios)


def quick(kind: str, clock: str, seconds: float) -> NetworkResult:
    return of_caffe2(speeds={**SPEEDS, kind: {**SPEEDS[kind], clock: speed(seconds, seconds, seconds)}})


def stepping(way: float = 40.0, clock: str = "resident", **changed: float) -> NetworkResult:
    difference = dataclasses.replace(REPEATED["resident"].difference, **changed)
    return of_caffe2(repeated={**REPEATED, clock: RepeatedStep(way, difference)})


def answering(check: CrossCheck, clock: str = "resident") -> NetworkResult:
    return of_caffe2(timed={**TIMED, clock: check}, speeds={**SPEEDS, "inference": {"resident": INFERENCE, clock: INFERENCE}})


# What goes wrong -> a result with it, and the start of its line in the verdict.
BROKEN: Dict[str, Any] = {
    "certificates": (lambda: network(differences={"order": ["aa", "bb"]}), "vgg_m, TensorFlow / Caffe2: facts of the "),
    "losses of the probe": (lambda: network(loss_difference=2e-3), "vgg_m, TensorFlow / Caffe2: losses of the first "),
    "no loss": (lambda: network(loss_difference=NAN), "vgg_m, TensorFlow / Caffe2: losses of the first steps at a low rate"
                ": no finite number, allowed below 0.001"),
    "losses of learning": (lambda: network(learning_difference=9e-2), "vgg_m, TensorFlow / Caffe2: losses of the learning run's first 2 "),
    "first logits": (lambda: of_caffe2(proof=Proof(0.7, 1e-6)), "vgg_m, Caffe2 / TensorFlow: logits before training"),
    "first losses": (lambda: of_caffe2(proof=Proof(1e-6, 0.01)), "vgg_m, Caffe2 / TensorFlow: losses of 3 steps"),
    "timed batch": (lambda: answering(CrossCheck(16, 9.8, 11.1, 1.0)), "vgg_m, Caffe2: logits of the timed batch "
                    "against ONNX Runtime: 9.8, allowed below 0.001"),
    "its answers": (lambda: answering(CrossCheck(16, 1e-6, 11.1, 15 / 16)), "vgg_m, Caffe2: share of other answers "
                    "to the timed batch than ONNX Runtime's: 0.062, allowed none"),
    "test side": (lambda: of_caffe2(crosscheck=CrossCheck(144, NAN, 11.1, 1.0)), "vgg_m, Caffe2: logits of the test "),
    "test answers": (lambda: of_caffe2(crosscheck=CrossCheck(144, 1e-6, 11.1, 0.99)), "vgg_m, Caffe2: share of other "),
    "precision": (lambda: of_keras(Proof(1e-6, 1e-6), precision="float64"), "vgg_m, Keras / TensorFlow: precision, other than "
                  "the first's: 1, allowed none"),
    "timed steps": (lambda: stepping(way=0.2), "vgg_m, Caffe2: a training step, of the way that timed ones went: 5, allowed below 1"),
    "no way": (lambda: stepping(way=0.0), "vgg_m, Caffe2: a training step, of the way that timed ones went: no finite "),
    "a step": (lambda: stepping(difference=0.5), "vgg_m, Caffe2 / TensorFlow: a training step: difference of any tensor: 0.5, "),
    "its length": (lambda: stepping(along=0.02), "vgg_m, Caffe2 / TensorFlow: a training step: its part along the gradient"),
    "its decay": (lambda: stepping(decay=1.0), "vgg_m, Caffe2 / TensorFlow: a training step: its part along the weights"),
    "statistics": (lambda: stepping(statistics=0.9), "vgg_m, Caffe2 / TensorFlow: a training step: running statistics"),
    "its momenta": (lambda: stepping(applied=0.5), "vgg_m, Caffe2: a training step: parameters, other than by its momenta"),
    "a step from files": (lambda: stepping(clock="end-to-end", along=NAN), "vgg_m, Caffe2 / TensorFlow: a training step, end-to-end: its "),
    "a fed batch": (lambda: answering(CrossCheck(16, 0.3, 2.5, 1.0), "fed"), "vgg_m, Caffe2: logits of the timed batch, fed"),
    "its speed": (lambda: of_keras(Proof(1e-6, 1e-6), step=0.03), "vgg_m, Keras: speed of inference, of what its multiplications "
                  "allow: 2.4, allowed below 1.25 (too quick to be true, or the machine was disturbed"),
    "its steps' speed": (lambda: quick("training", "resident", 0.1), "vgg_m, Caffe2: speed of training"),
    "fed speed": (lambda: quick("inference", "fed", 1e-6), "vgg_m, Caffe2: speed of "),
    "latency": (lambda: quick("latency", "resident", 1e-6), "vgg_m, Caffe2: speed of latency"),
    "forward": (lambda: quick("forward", "resident", 1e-6), "vgg_m, Caffe2: speed of forward"),
    "backward": (lambda: quick("backward", "resident", 0.15), "vgg_m, Caffe2: speed of backward"),
    "what it timed": (lambda: of_keras(Proof(1e-6, 1e-6), timed={"resident": CrossCheck(16, 0.3, 11.1, 1.0)}), "vgg_m, Keras: logits of the "
                      "timed batch"),
    "baseline's logits": (lambda: of_keras(Proof(0.2, None)), "vgg_m, Keras / TensorFlow: logits before training"),
    "baseline's losses": (lambda: of_keras(Proof(1e-6, NAN)), "vgg_m, Keras / TensorFlow: losses of 3 steps"),
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest) -> NetworkResult:
    make, start = BROKEN[request.param]
    result = make()
    line, = failures([result])
    assert line.startswith(start), line
    return result


def test_every_kind_of_check_is_made_to_fail() -> None:
    def kinds(checks: Iterable[Check]) -> Set[str]:
        return {re.sub(", fed|, end-to-end", "", check.what) for check in checks}

    failed = [check for make, _ in BROKEN.values() for check in make().checks if not check.passed]
    assert kinds(of_keras(Proof(1e-6, 1e-6)).checks) == kinds(failed)


@pytest.mark.parametrize("lost", ["timed", "repeated"])
def test_what_was_timed_cannot_go_unchecked(lost: str) -> None:
    with pytest.raises(KeyError, match="resident"):
        of_caffe2(**{lost: {}})


def test_the_verdict_stands_first(broken: NetworkResult, tmp_path: Path) -> None:
    made = report(network(network="tdnn"), broken)
    for style in ("simple", "github"):
        first, second = made.text(style).splitlines()[:2]
        assert first.startswith("INVALID: 1 of ") and second == failures([broken])[0]
    made.write(tmp_path)
    assert (tmp_path / "report.md").read_text().splitlines()[2].startswith("INVALID: 1 of ")
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == verdict([broken, network(network="tdnn")])


def test_no_ratio_is_left(broken: NetworkResult, tmp_path: Path) -> None:
    report(broken).write(tmp_path)
    stored, = json.loads((tmp_path / "report.json").read_text())["results"]
    assert stored["valid"] is False and stored["ratios"] == stored["end_to_end"] == []
    text = report(broken).text()
    assert "times as fast" not in text and "of resident" not in text and "Comparable:" not in text


def test_every_column_and_row_of_figures_is_marked(broken: NetworkResult, tmp_path: Path) -> None:
    made = report(broken, network(network="tdnn"))
    made.write(tmp_path)
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    marked = ["INVALID TensorFlow", "INVALID Caffe2", *["INVALID Keras"][:len(broken.baselines)]]
    assert [(row["checks"], row["framework"]) for row in rows] == [
        *(("INVALID", name) for name in marked), ("passed", "TensorFlow"), ("passed", "Caffe2")]
    assert list(rows[0])[0] == "checks"
    assert rows_of(report(broken))[""][:2] == marked[:2]
    assert not any(line.split() == ["TensorFlow", "Caffe2"] for line in report(broken).text().splitlines())


def test_plots_are_marked(broken: NetworkResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: List[str] = []
    for module in (learning_curves, speed_bars):
        monkeypatch.setattr(module, "save", lambda figure, path: texts.extend(text.get_text() for text in figure.texts))
    for results in ([network(network="tdnn")], [broken, network(network="tdnn")]):
        learning_curves.draw_learning(report(*results), tmp_path)
        speed_bars.draw_speed(report(*results), tmp_path)
        assert [text for text in texts if "checks of" in text] == (
            ["INVALID: checks of vgg_m failed"] * 2 if broken in results else [])


@pytest.mark.parametrize("value, limit, passed", [
    (0.0, 0, True), (1.0, 0, False), (9e-4, 1e-3, True), (1e-3, 1e-3, False), (NAN, 1e-3, False), (float("inf"), 1e-3, False)])
def test_a_value_must_be_below_its_limit_or_nothing(value: float, limit: float, passed: bool) -> None:
    assert Check.of("losses", ["caffe2"], value, limit).passed is passed


def test_what_says_nothing_of_the_timed_batch_agrees_in_nothing() -> None:
    said = CrossCheck.of(np.ones((2, 3)), np.asarray(None, np.float64))
    checks = [check for check in of_keras(Proof(1e-6, 1e-6), timed={"resident": said}).checks if not check.passed]
    assert [check.found for check in checks] == ["no finite number", "1"]


def test_a_run_that_was_only_too_quick_is_not_called_wrong() -> None:
    quick, wrong = of_keras(Proof(1e-6, 1e-6), step=0.03), of_keras(Proof(0.2, None))
    assert "What was timed was too quick to be true, or the machine was disturbed" in verdict([quick])[0]
    assert "computes wrong numbers" in verdict([quick, wrong])[0]


def test_the_largest_product_of_all_is_the_limit() -> None:
    """The median of one library's own would call a machine that was busy half of the time a liar."""
    assert of_keras(Proof(1e-6, 1e-6), step=0.055).valid is False
    for changed in ({"matmul_gflops": [20.0, 20.0, 200.0]}, {"largest_gflops": 200.0}):
        assert network(baselines={"keras": baseline("Keras", step=0.055)}, **changed).valid



@pytest.mark.parametrize("name, facts, judged", [
    ("keras", {**FACTS, "device": "gpu"}, False), ("caffe2-direct", FACTS, True), ("tensorflow", FACTS, True)])
def test_everybody_on_a_cpu_can_be_too_quick(name: str, facts: Dict[str, str], judged: bool) -> None:
    quick = network(matmul_gflops=[1.0], largest_gflops=1.0, **(
        {"frameworks": {"tensorflow": framework("TensorFlow", facts=facts), "caffe2": framework("Caffe2", facts=facts)}}
        if name == "tensorflow" else {"baselines": {name: dataclasses.replace(baseline(name), facts=facts)}}))
    assert any(check.whom == [name] and check.what.startswith("speed of ") and not check.passed for check in quick.checks) is judged


def test_who_needs_fewer_multiplications_may_be_so_much_quicker() -> None:
    for needed, valid in (({}, False), ({"keras": 250_000_000}, True)):
        assert network(baselines={"keras": baseline("Keras", step=0.055)}, needed=needed).valid is valid


WORKER = """
import sys
from dataclasses import replace
from caffe2_impl import load as honest
from common.compare.session import Session
from common.speed.worker import serve

def load():
    twin = honest()

    class Model(twin.model):
        long = True  # of the test side, too, which comes by the framework's own queue

        def stage(self, spectrograms, speakers=None):
            self.long = spectrograms.shape[2] == 300
            super().stage(spectrograms, speakers)

        def predict_staged(self):
            return super().predict_staged() + self.long  # wrong at the length that is timed, right in any short trial

    return replace(twin, model=Model)

session = Session(load)
serve(session, session.bench)
"""


@pytest.mark.parametrize("epochs, batches", [(0, ["timed batch"]), (1, ["timed batch", "test utterances"])])
def test_a_framework_that_predicts_wrongly_ends_the_run_with_a_status(
        tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
        epochs: int, batches: List[str]) -> None:
    """With no baseline, no second framework and nothing to learn there still is somebody to disagree; what is predicted of
    the test side is not kept."""
    from compare import main

    (tmp_path / "made_impl").mkdir()
    (tmp_path / "made_impl" / "worker.py").write_text(WORKER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PROJECT}")
    monkeypatch.setitem(CONTENDERS, "caffe2", dataclasses.replace(CONTENDERS["caffe2"], module="made_impl.worker"))
    status = main(["--data", str(tiny_data), "--out", str(tmp_path / "out"), "--frameworks", "caffe2", "--networks", "tdnn",
                   "--baselines", "none", "--budget", "0", "--convolutions", "default",
                   "--width", "0.05", "--epochs", str(epochs), "--batch-size", "8", "--threads", "1", "--blocks", "2", "--steps", "1",
                   "--block-seconds", "0", "--calls", "1", "--clocks", "resident"])
    out, err = capsys.readouterr()
    assert status == 1 and out.startswith(f"INVALID: {len(batches)} of {2 * len(batches) + 5} checks failed.")
    for batch, line in zip(batches, err.splitlines()[-len(batches):]):
        assert line.startswith(f"tdnn, Caffe2: logits of the {batch} against ONNX Runtime: 1, allowed ")
    assert list((tmp_path / "out").glob("predictions*")) == []
    assert json.loads((tmp_path / "out" / "report.json").read_text())["results"][0]["valid"] is False
