"""compare.py from the command line to its files, on small networks and a small data folder."""
from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, DefaultDict, Dict, Iterator, List, NamedTuple, Sequence
from unittest import mock

import numpy as np
import pytest
from commands import PROJECT, attended, command, run, run_apart, succeed

from common.commands.compare import parse, settings_of
from common.compare.comparison import Comparison, ComparisonPlan
from common.contenders import CONTENDERS
from common.proof.stored import compare_answers, read_answers
from common.speed.rounds import TimingPlan
from common.training.config import TrainingConfig, load_config
from common.training.recipes import configure

NETWORKS, FRAMEWORKS = ["tdnn", "vgg_m"], ["tensorflow", "caffe2"]
CLOCKS = ["resident", "fed", "end-to-end"]
IMPORTS: DefaultDict[str, List[float]] = defaultdict(list)  # package -> seconds
# A low rate: where rounding moves a ReLU's input across zero, frameworks part in proportion to it.
TIMING = ["--blocks", "2", "--budget", "0", "--steps", "1", "--block-seconds", "0", "--calls", "2"]
SMALL = ["--width", "0.05", "--epochs", "1", "--batch-size", "8", "--learning-rate", "0.001", "--threads", "1",
         "--convolutions", "default", *TIMING]


class Done(NamedTuple):
    """What a comparison printed, and the folder it wrote."""

    stdout: str
    stderr: str
    folder: Path


def longer_than_half_an_import(seconds: float, package: str) -> bool:
    """An import by a process that does nothing else, on this machine; others are timed where tests beside held one up."""
    while not any(seconds > taken / 2 for taken in IMPORTS[package]) and len(IMPORTS[package]) < 3:
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", f"import {package}"], check=True, capture_output=True)
        IMPORTS[package].append(time.monotonic() - start)
    return any(seconds > taken / 2 for taken in IMPORTS[package])


@pytest.fixture(scope="module")
def comparison(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The whole comparison in processes of its own, from another current folder than the project's."""
    place = tmp_path_factory.mktemp("comparison")
    (place / "voices").symlink_to(tiny_data)
    done = run_apart("compare.py", "--data", "voices", "--out", "out", *SMALL, "--clocks", *CLOCKS, "--parts",
                     "--baselines", "none", cwd=place)
    assert done.returncode == 0, done.stderr
    return Done(done.stdout, done.stderr, place / "out")


@pytest.fixture(scope="module")
def report(comparison: Done) -> Dict[str, Any]:
    return json.loads((comparison.folder / "report.json").read_text())


def pairs(report: Dict[str, Any]) -> Iterator[List[Dict[str, Any]]]:
    """Both frameworks' results for each network, in the order of its ratios."""
    for result in report["results"]:
        assert result["sides"] == FRAMEWORKS
        yield [result["frameworks"][name] for name in FRAMEWORKS]


def test_all_files_are_written(comparison: Done) -> None:
    names = sorted(path.name for path in comparison.folder.iterdir())
    assert names == ["learning-curves.png", "predictions-baseline.csv", *(
        f"predictions-{network}-{name}.csv" for network in NETWORKS for name in sorted(FRAMEWORKS)),
                     "report.csv", "report.json", "report.md", "speed.png"]
    for name in ("learning-curves.png", "speed.png"):
        assert (comparison.folder / name).read_bytes().startswith(b"\x89PNG")


def test_terminal_shows_the_report_and_progress(comparison: Done) -> None:
    text = comparison.stdout
    assert "TensorFlow" in text and "Caffe2" in text and "SYNTHETIC" in text
    sections = re.findall(r"^Checked in this run: all (\d+) checks .*? passed\.\n\n(\w+)", text, re.MULTILINE)
    assert text.startswith("Checked") and sections[:2] == [("51", "tdnn"), ("51", "vgg_m")], "each as it is done"
    assert [checks for checks, _ in sections] == ["51", "51", "102"], "and then all together"
    assert "NOT" not in text and "INVALID" not in text and "FAILED" not in text and not re.search(r"\bnan\b", text)
    assert text.splitlines()[-1].startswith("written to out: report.md, ")
    steps = re.findall(r"\[(\d+):(\d\d), (?:about \d+:\d\d left|longer than expected)\] (\w+): ([^,\n]+)", comparison.stderr)
    times = [60 * int(minutes) + int(seconds) for minutes, seconds, *_ in steps]
    assert times == sorted(times) and len(steps) == sum(
        line.startswith("[") for line in comparison.stderr.splitlines())
    assert {(network, name) for *_, network, name in steps} == {
        (network, name) for network in NETWORKS for name in (*FRAMEWORKS, "cepstral baseline")}
    assert "Traceback" not in comparison.stderr


def test_what_was_compared_is_stated(report: Dict[str, Any]) -> None:
    assert [result["network"] for result in report["results"]] == NETWORKS
    data = report["data"]
    assert (data["name"], data["synthetic"], data["by"], data["speakers"]) == ("voices", True, "session", 4)
    assert (data["train"], data["dev"], data["test"]) == (24, 12, 12)
    assert (report["settings"]["width"], report["settings"]["batch_size"], report["settings"]["threads"]) == (0.05, 8, 1)
    assert "TensorFlow 2.17" in report["versions"]["tensorflow"] and "1.10.2" in report["versions"]["caffe2"]


def test_certificates_are_equal(report: Dict[str, Any]) -> None:
    for result, (first, second) in zip(report["results"], pairs(report)):
        assert first["certificate"] == second["certificate"] and result["differences"] == {}
        assert first["certificate"]["threads"] == "1" and first["certificate"]["device"] == "cpu"


def test_both_learn_alike(report: Dict[str, Any]) -> None:
    for result, (first, second) in zip(report["results"], pairs(report)):
        losses = [own["losses"] for own in (first, second)]
        assert len(losses[0]) == 3 and losses[0] == pytest.approx(losses[1], rel=1e-3)
        assert result["drift"] == pytest.approx(max(abs(a - b) / a for a, b in zip(*losses)))
        assert len(first["probe"]) == 3 and result["loss_difference"] < 1e-3
        assert result["loss_difference"] == pytest.approx(
            max(abs(a - b) / a for a, b in zip(first["probe"], second["probe"])))
        assert result["agreement"] == 1.0
        assert first["evaluation"]["top1"] == second["evaluation"]["top1"]


def test_who_is_right_more_often_is_tested_and_the_plain_baseline_beside(comparison: Done, report: Dict[str, Any]) -> None:
    for result, (first, second) in zip(report["results"], pairs(report)):
        assert [(each["first"], each["second"]) for each in result["paired"]] == [
            ("tensorflow", "caffe2"), ("tensorflow", "cepstral baseline"), ("caffe2", "cepstral baseline")]
        both, baseline = result["paired"][0], result["paired"][1]
        assert (both["only_first"], both["only_second"], both["p_value"]) == (0, 0, 1.0)
        assert baseline["difference"] == pytest.approx(first["evaluation"]["top1"] - result["cepstral"]["top1"])
        assert first["tested_epoch"] == second["tested_epoch"] == 1
    assert len(re.findall("^cepstral baseline|^ +cepstral baseline", comparison.stdout, re.MULTILINE)) == 1
    assert not (comparison.folder / "tdnn-caffe2").exists(), "a short run is not kept"


def test_exports_agree_with_their_framework(report: Dict[str, Any]) -> None:
    for pair in pairs(report):
        for own in pair:
            check = own["crosscheck"]
            assert check["utterances"] == own["evaluation"]["utterances"] == 12
            assert 0 < check["largest_difference"] < 1e-3 and check["same_answer"] == 1.0


def test_predictions_and_losses_of_what_was_timed_are_checked(report: Dict[str, Any]) -> None:
    for result, pair in zip(report["results"], pairs(report)):
        assert result["valid"] and all(check["passed"] for check in result["checks"])
        assert len(result["checks"]) == 51
        for own in pair:
            assert list(own["timed"]) == CLOCKS
            assert all(each["utterances"] == 8 and 0 < each["largest_difference"] < 1e-3 for each in own["timed"].values())
        assert 0 < pair[1]["proof"]["logits"] < 1e-3 and 0 <= pair[1]["proof"]["losses"] < 1e-3


def test_speeds_are_of_every_step_by_every_clock(report: Dict[str, Any]) -> None:
    for result, pair in zip(report["results"], pairs(report)):
        assert len(result["matmul_gflops"]) == 4 and min(result["matmul_gflops"]) > 0
        assert result["matmuls"][result["matmul_library"]] == max(result["matmuls"].values())
        for name, own in zip(FRAMEWORKS, pair):
            steps = {kind: {clock: speed["steps"] for clock, speed in clocks.items()}
                     for kind, clocks in own["speeds"].items()}
            assert steps == {"training": dict.fromkeys(CLOCKS, 2), "inference": dict.fromkeys(CLOCKS, 4),
                             "forward": {"resident": 2}, "backward": {"resident": 2}, "latency": {"resident": 4}}
            for speed in (speed for clocks in own["speeds"].values() for speed in clocks.values()):
                assert len(speed["seconds"]) == speed["steps"] and speed["blocks"] == 2
                assert 0 < speed["low"] <= speed["median"] <= speed["high"]
            assert own["first_step_seconds"] > min(own["speeds"]["training"]["resident"]["seconds"])
            assert 100 < own["peak_memory_mib"] < 5000
            assert longer_than_half_an_import(own["start_seconds"], CONTENDERS[name].package)
            assert 3 <= own["warm_up"]["training"] <= 10


def test_ratios_are_of_those_speeds(report: Dict[str, Any]) -> None:
    for result, (first, second) in zip(report["results"], pairs(report)):
        assert [(each["kind"], each["first"], each["second"]) for each in result["ratios"]] == [
            (kind, *FRAMEWORKS) for kind in ("training", "inference", "latency")]
        for each in result["ratios"]:
            ratio, medians = each["ratio"], [np.median(own["speeds"][each["kind"]]["resident"]["seconds"]) for own in (first, second)]
            assert ratio["low"] <= ratio["ratio"] <= ratio["high"]
            assert ratio["ratio"] == pytest.approx(medians[1] / medians[0])
        assert [(each["kind"], each["first"]) for each in result["end_to_end"]] == [
            (kind, name) for kind in ("training", "inference") for name in FRAMEWORKS]


def test_baselines_prove_themselves_and_nothing_is_learned(tiny_data: Path, tmp_path: Path) -> None:
    names = ["caffe2-direct", "keras", "keras-onednn", "onnxruntime", "tensorflow-direct", "torch"]
    done = run_apart("compare.py", "--data", tiny_data, "--out", tmp_path / "out", *SMALL, "--networks", "tdnn",
                     "--frameworks", "caffe2", "--epochs", "0", "--clocks", "resident", "--baselines", ",".join(names),
                     "--convolutions", "measure")
    assert done.returncode == 0, done.stderr
    output = done.stdout
    assert output.startswith("Checked in this run: all 83 checks ") and "FAILED" not in output and "top-1" not in output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "report.csv", "report.json", "report.md", "speed.png"]
    result, = json.loads((tmp_path / "out" / "report.json").read_text())["results"]
    assert list(result["baselines"]) == names and result["frameworks"]["caffe2"]["evaluation"] is None
    assert all(own["facts"]["threads"] == "1" for own in result["baselines"].values())
    for name, own in {**result["baselines"], **result["frameworks"]}.items():
        mib = 50 if name == "onnxruntime" else 100  # what it takes is a process and a session
        # From the start of the process, its framework's import with it, to a network; half, as the machine is not even.
        assert longer_than_half_an_import(own["start_seconds"], CONTENDERS[name].package) and mib < own["peak_memory_mib"] < 5000, name
    assert result["frameworks"]["caffe2"]["facts"]["chosen"].endswith(" other ways measured on this machine")
    assert {" / ".join(check["whom"]) for check in result["checks"]} == {"caffe2", *names, *(f"{name} / caffe2" for name in names)}
    assert {(each["kind"], each["second"]) for each in result["ratios"]} == {
        *((kind, name) for kind in ("inference", "latency") for name in names),
        *(("training", name) for name in names if name != "onnxruntime")}
    assert {name: own["facts"].get("algorithm") for name, own in result["baselines"].items()} == {
        **dict.fromkeys(names), "tensorflow-direct": "direct", "caffe2-direct": "direct"}
    assert result["baselines"]["keras-onednn"]["facts"]["engine"].startswith("Eigen + oneDNN")
    assert "Keras, oneDNN on / Keras" in output and "tdnn: no learning run" in output


@pytest.mark.parametrize("words, baselines", [
    ([], ["tensorflow-direct", "caffe2-direct"]), (["--frameworks", "caffe2"], ["caffe2-direct"]),
    (["--baselines", "none"], []), (["--baselines", "keras,torch"], ["keras", "torch"])])
def test_each_frameworks_own_convolutions_are_beside_ours_unless_others_are_asked_for(words: List[str],
                                                                                     baselines: List[str]) -> None:
    assert parse({}, words).baselines == baselines


def test_csv_has_a_row_for_each_network_and_framework(comparison: Done) -> None:
    with open(comparison.folder / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["network"], row["framework"]) for row in rows] == [
        (network, framework) for network in NETWORKS for framework in ("TensorFlow", "Caffe2")]
    assert None not in [value for row in rows for value in row.values()]


def test_one_network_in_one_framework_by_a_recipe_of_train(tiny_data: Path, tmp_path: Path) -> None:
    """Settings are the recipe's except those given; the run is kept with its checkpoints, log and split."""
    done = run("compare.py", "--data", tiny_data, "--out", tmp_path / "out", *SMALL, "--networks", "tdnn",
               "--frameworks", "caffe2", "--baselines", "none", "--recipe", "robust")
    assert done.returncode == 0, done.stderr
    assert "was not prepared for the recipe robust: python -m common.prepare with --scale log --raw" in done.stderr
    assert "tdnn: one framework only, nothing to compare" in done.stdout and "TensorFlow" not in done.stdout
    assert "Learning run by the recipe robust: 1 epochs of crops of 200 frames in batches of 8" in done.stdout
    result, = json.loads((tmp_path / "out" / "report.json").read_text())["results"]
    assert list(result["frameworks"]) == ["caffe2"] and result["ratios"] == []
    expected = configure({"recipe": "robust", "network": "tdnn", "width": 0.05, "epochs": 1, "batch_size": 8,
                          "learning_rate": 0.001})
    assert load_config(tmp_path / "out" / "tdnn-caffe2" / "config.json") == expected
    assert result["learning"] == dataclasses.asdict(expected) and result["recipe"] == "robust"
    evaluated = succeed("caffe2_impl.evaluate", tmp_path / "out" / "tdnn-caffe2", "--threads", "1")
    assert f"top-1 {100 * result['frameworks']['caffe2']['evaluation']['top1']:.1f} %" in evaluated
    both, = result["paired"]
    assert both["second"] == "cepstral baseline"
    *_, written, following = done.stdout.splitlines()
    assert written.endswith("predictions-baseline.csv, predictions-tdnn-caffe2.csv, tdnn-caffe2")
    assert following == f"next: python -m caffe2_impl.identify {tmp_path / 'out' / 'tdnn-caffe2'} RECORDING"
    kept = [tmp_path / "out" / f"predictions-{name}.csv" for name in ("tdnn-caffe2", "baseline")]
    again = compare_answers(*map(read_answers, kept), "caffe2", "baseline")
    assert (again.only_a_right, again.only_b_right, again.p_value) == (both["only_first"], both["only_second"], both["p_value"])


@pytest.mark.parametrize("learning, told", [((), None), (("tdnn",), 32), (("tdnn", "vgg_m"), "32 and 16"), (("vgg_m",), None)])
def test_batches_of_what_learns_are_told_where_they_are_others(learning: Sequence[str], told: object) -> None:
    configs = [TrainingConfig("tdnn", batch_size=32), TrainingConfig("vgg_m", batch_size=16)]
    timing = TimingPlan([], [], 2, 0, 1, 0, 1, [], parts=False)
    settings = settings_of(ComparisonPlan([], configs, timing, 16, "cpu", 1, learning), "cpu")
    assert settings["batch_size"] == 16 and settings.get("learning_batch_size") == (told and str(told))


def test_what_was_learned_until_it_was_stopped_is_named_and_not_deleted_unasked(tiny_data: Path, tmp_path: Path) -> None:
    def stopped(comparison: Comparison) -> Iterator[None]:
        (out / "tdnn-caffe2").mkdir(parents=True, exist_ok=True)
        (out / "tdnn-caffe2" / "last.npz").write_bytes(b"a checkpoint")
        raise KeyboardInterrupt
        yield

    out = tmp_path / "my out"
    words = ["compare.py", "--data", tiny_data, "--out", out, *SMALL, "--recipe", "robust"]
    going_on = f"go on with.* python -m caffe2_impl.train --resume '{out}/tdnn-caffe2' --threads 1 --convolutions default"
    with mock.patch.object(Comparison, "run", stopped):
        done = run(*words)
        assert done.returncode == 130 and re.search(f"interrupted: .*{going_on}$", done.stderr.strip())
        done = run(*words)
        assert done.returncode == 2 and re.search(f"holds learning runs.*{going_on}.*with --force, checkpoints too", done.stderr)
        done = run(*words, "--force")
        assert done.returncode == 130 and f"note: --force deletes the checkpoints in {out}/tdnn-caffe2\n" in done.stderr


def test_version() -> None:
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in succeed("compare.py", "--version").splitlines())
    assert facts["TensorFlow"].startswith("2.17") and "PyTorch 1.10.2" in facts["Caffe2"]
    assert int(facts["Caffe2's operators"]) > 500
    assert {"processor", "cores", "python", "commit", "variables", "onnxruntime", "TensorFlow's devices",
            "Caffe2's devices"} <= set(facts)
    assert facts["TensorFlow's engine on a CPU"] == "Eigen + oneDNN"


def session_of(pid: int) -> List[int]:
    """The processes of a session that live (zombies do not)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if int(session) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("whole_group", [True, False], ids=["Ctrl-C", "SIGINT to compare.py alone"])
def test_interrupted_it_leaves_no_process(tiny_data: Path, tmp_path: Path, whole_group: bool) -> None:
    words = command("compare.py", "--data", tiny_data, "--out", tmp_path / "out", *SMALL, "--networks", "tdnn",
                    "--frameworks", "caffe2", "--baselines", "none", "--steps", "1000000", "--clocks", "resident")
    with subprocess.Popen(words, cwd=PROJECT, stderr=subprocess.PIPE, text=True, start_new_session=True,
                          preexec_fn=attended) as process:
        try:
            for line in process.stderr:
                if "timing" in line:  # from now on the worker is busy for hours
                    break
            time.sleep(0.5)
            assert len(session_of(process.pid)) == 2
            (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
            assert process.wait(timeout=20) == 130
        finally:
            process.kill()
        rest = process.stderr.read()
    assert rest.splitlines()[-1] == "interrupted" and "Traceback" not in rest
    assert session_of(process.pid) == [] and not (tmp_path / "out").exists()
