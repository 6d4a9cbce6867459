"""Two stored comparisons: what counts as lost, what noise explains, and what cannot be compared."""
from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from commands import PROJECT
from reports import REPEATED, baseline, framework, network, report

from common.compare.diff import (
    NOT_COMPARABLE,
    REGRESSION,
    SPEED_TOLERANCE,
    Changes,
    changes_between,
    read_run,
    speed_ratio,
)
from common.errors import UserError
from common.speed.blocks import Block, Speed
from common.training.evaluation import Evaluation
from compare import main

STORED = sorted((PROJECT / "results").rglob("report.json"))


def stored(speed: float = 1.0, machine: float = 1.0, spread: float = 0.05, seed: int = 0) -> Dict[str, Any]:
    """A report as its file has it: two frameworks and a baseline, with times made by chance.

    speed: of the code; machine: of everything, its matrix product included
    """
    random = np.random.default_rng(seed)

    def timed(seconds: float) -> Speed:
        steps = (seconds / speed / machine * random.normal(1, spread, 8)).reshape(4, 2)
        return Speed.of([Block(block.tolist(), 0, 0, 0, None) for block in steps], 8)

    pair = {key: framework(name, probe=[1.5, 1.25], evaluation=Evaluation(100, 0.75, 0.65, 0.83, 1.0, 0.4, 30.0), speeds={
        "training": {"resident": timed(0.3), "fed": timed(0.31)}, "inference": {"resident": timed(0.01)}})
        for key, name in (("tensorflow", "TensorFlow"), ("caffe2", "Caffe2"))}
    keras = dataclasses.replace(baseline("Keras"), speeds={"training": {"resident": timed(0.6)}}, repeated=REPEATED)
    made = report(network(
        network="tdnn", macs=5_000_000, matmul_library="NumPy", matmuls={"NumPy": 100.0 * machine, "caffe2": 50.0 * machine},
        matmul_gflops=(100 * machine * random.normal(1, spread, 8)).tolist(), frameworks=pair, baselines={"keras": keras}))
    return json.loads(json.dumps(made.stored()))


@pytest.fixture()
def compared(tmp_path: Path) -> Callable[..., Changes]:
    def compare(old: Dict[str, Any], new: Dict[str, Any]) -> Changes:
        runs = []
        for name, value in (("old", old), ("new", new)):
            (tmp_path / f"{name}.json").write_text(json.dumps(value))
            runs.append(read_run(tmp_path / f"{name}.json"))
        return changes_between(*runs)

    return compare


def verdicts(changes: Changes) -> Dict[str, str]:
    return {" ".join(line.key): line.verdict for line in changes.lines}


@pytest.mark.parametrize("seed", range(20))
def test_the_same_code_passes(compared, seed: int) -> None:
    """Also where the whole machine is slower for one of the runs, and its steps scatter."""
    drift = np.random.default_rng(seed).uniform(0.7, 1.4)
    changes = compared(stored(seed=seed), stored(seed=seed + 1000, machine=drift))
    assert changes.status == 0 and not changes.regressions
    assert set(verdicts(changes)) >= {"tdnn caffe2 training resident", "tdnn tensorflow training fed",
                                        "tdnn keras training resident"}


@pytest.mark.parametrize("machine", [0.8, 1.0, 1.3])
def test_slower_code_is_seen_through_the_machines_own_changes(compared, machine: float) -> None:
    changes = compared(stored(), stored(speed=0.6, machine=machine, seed=1))
    assert changes.status == REGRESSION
    assert verdicts(changes)["tdnn caffe2 training resident"] == "SLOWER"
    assert any("tdnn caffe2 training resident: 0." in regression for regression in changes.regressions)


def test_faster_code_is_called_so(compared) -> None:
    changes = compared(stored(), stored(speed=1.8, seed=1))
    assert changes.status == 0 and verdicts(changes)["tdnn tensorflow inference resident"] == "faster"


def test_a_loss_within_the_tolerance_passes(compared) -> None:
    for loss, status in ((0.5 * SPEED_TOLERANCE, 0), (1.3 * SPEED_TOLERANCE, REGRESSION)):
        assert compared(stored(spread=0.01), stored(1 - loss, spread=0.01, seed=1)).status == status


def test_blocks_that_scatter_widen_the_interval() -> None:
    """Steps of a block share its fate: eight steps in two blocks say little more than two."""
    steady, slow = np.ones((4, 2)), np.full((4, 2), 1.4)  # 0.71 times as fast
    wild = np.array([[0.9, 0.9], [1.4, 1.4], [1.2, 1.2], [1.5, 1.5]])  # the median is 1.3, too
    assert speed_ratio(steady, slow, [1.0], [1.0])[2] < 1 - SPEED_TOLERANCE
    assert speed_ratio(steady, wild, [1.0], [1.0])[2] > 1 - SPEED_TOLERANCE
    blocks = np.repeat(np.linspace(0.8, 1.2, 6), 5).reshape(6, 5)
    (_, low, high), (_, low_of_steps, high_of_steps) = (
        speed_ratio(steady, each, [1.0], [1.0]) for each in (blocks, blocks.reshape(-1, 1)))
    assert high - low > 1.5 * (high_of_steps - low_of_steps)


def test_the_ratio_is_taken_at_an_equal_matrix_product() -> None:
    one, two = np.full((2, 3), 1.0), np.full((2, 3), 2.0)
    assert speed_ratio(one, two, [100.0], [100.0]) == (0.5, 0.5, 0.5)
    assert speed_ratio(one, two, [100.0], [50.0]) == (1.0, 1.0, 1.0)
    wavering = np.array([[1.0], [1.1], [1.2]])
    ratio, low, high = speed_ratio(wavering, wavering, [90.0, 100.0], [90.0, 100.0])
    assert low < ratio == 1 < high


def changed(value: Dict[str, Any], place: List[Any], to: Any) -> Dict[str, Any]:
    value = copy.deepcopy(value)
    inner = value
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = to
    return value


CAFFE2 = ["results", 0, "frameworks", "caffe2"]
EVALUATION = stored()["results"][0]["frameworks"]["caffe2"]["evaluation"]


@pytest.mark.parametrize("place, to, words", [
    ([*CAFFE2, "evaluation"], {**EVALUATION, "top1": 0.5, "top1_low": 0.4, "top1_high": 0.6},
     "caffe2 test top-1: 75.0 % became 50.0 %"),
    ([*CAFFE2, "probe"], [1.5, 1.3], "caffe2 loss of the first steps"),
])
def test_answers_that_got_worse(compared, place: List[Any], to: Any, words: str) -> None:
    changes = compared(stored(), changed(stored(), place, to))
    assert changes.status == REGRESSION and len(changes.regressions) == 1
    assert words in changes.regressions[0]
    better = compared(changed(stored(), place, to), stored())
    assert better.status == (REGRESSION if "first steps" in words else 0)  # other losses are another computation


def test_less_accuracy_within_the_interval_passes(compared) -> None:
    worse = {**EVALUATION, "top1": 0.6, "top1_low": 0.5, "top1_high": 0.7}
    assert compared(stored(), changed(stored(), [*CAFFE2, "evaluation"], worse)).status == 0


def test_runs_without_learning_are_compared_by_their_speeds(compared) -> None:
    bare = stored(seed=1)
    for own in bare["results"][0]["frameworks"].values():
        own.update(evaluation=None)
    for old, new in ((bare, stored()), (stored(), bare), (bare, bare)):
        assert compared(old, new).status == 0
    assert "tdnn caffe2 test top-1" not in verdicts(compared(bare, stored()))


def test_different_work_is_not_comparable(compared) -> None:
    changes = compared(stored(), changed(stored(speed=0.5), [*CAFFE2, "certificate", "threads"], "1"))
    assert changes.status == NOT_COMPARABLE
    assert changes.incomparable == ["tdnn, caffe2: threads: 2 / 1"]


@pytest.mark.parametrize("check, words", [(1, "losses of the first steps at a low rate"), (-1, "than ONNX Runtime's")])
def test_an_invalid_run_is_never_called_fine(compared, check: int, words: str) -> None:
    """Neither as the old nor as the new run, nor against itself, and its speeds are not judged."""
    invalid = changed(stored(), ["results", 0, "checks", check, "passed"], False)
    for old, new in ((stored(), invalid), (invalid, stored()), (invalid, invalid)):
        changes = compared(old, new)
        assert changes.status == NOT_COMPARABLE and verdicts(changes)["tdnn caffe2 training resident"] == "not judged"
        assert any(" is INVALID: this check failed in it: tdnn " in line and line.endswith(words)
                   for line in changes.incomparable)
    assert any(f"{words}: passed became FAILED" in line for line in compared(stored(), invalid).regressions)


def test_a_run_without_checks_is_never_called_fine(compared) -> None:
    changes = compared(changed(stored(), ["results", 0, "checks"], []), stored())
    assert changes.status == NOT_COMPARABLE and "holds no check of whether its tdnn computed" in changes.incomparable[0]


def test_another_machine_is_said_and_its_speed_not_judged(compared) -> None:
    changes = compared(stored(), changed(stored(speed=0.5), ["machine", "processor"], "A slow one"))
    assert changes.status == 0
    assert any("DIFFERENT MACHINES (processor: A fast one / A slow one)" in note for note in changes.notes)
    assert verdicts(changes)["tdnn caffe2 training resident"] == "not judged"


@pytest.mark.parametrize("place, words", [
    (["machine", "variables"], "variables: None / other"), (["machine", "blas of numpy"], "blas of numpy: None / other"),
    (["versions", "caffe2"], "caffe2: Caffe2 1.0 / other")])
def test_other_kernels_are_said_too(compared, place: List[str], words: str) -> None:
    changes = compared(stored(), changed(stored(speed=0.5), place, "other"))
    assert changes.status == 0 and any(words in note for note in changes.notes)


def test_a_machine_is_measured_by_one_library_in_both_runs(compared) -> None:
    """Which library is quickest may change by chance; Caffe2's 50 is not a slower machine."""
    other = changed(stored(seed=1), ["results", 0, "matmul_library"], "caffe2")
    other["results"][0].update(matmul_gflops=[50.0] * 8)
    assert compared(stored(), other).status == compared(other, stored()).status == 0
    with pytest.raises(UserError, match="no matrix products of NumPy"):
        compared(stored(), changed(other, ["results", 0, "matmuls"], {}))


def test_what_only_one_run_has_is_named(compared) -> None:
    changes = compared(stored(), changed(stored(), ["results", 0, "baselines"], {}))
    assert changes.status == 0 and "only in OLD: tdnn keras training resident" in changes.notes


def test_nothing_in_common(compared) -> None:
    with pytest.raises(UserError, match="no network and framework in common"):
        compared(stored(), changed(stored(), ["results", 0, "network"], "vgg_m"))


NO_REPORTS = [
    "", "{", "[]", "{}", "3", '{"machine": {}, "results": []}', '{"version": 2, "machine": {}, "results": [{}]}',
    '{"version": 2, "results": {"network": 1}}', '{"version": 2, "machine": 3, "results": [4]}',
    *(json.dumps(changed(stored(), place, to)) for place, to in (
        ([*CAFFE2, "speeds", "training", "resident", "seconds"], [0.0]),
        ([*CAFFE2, "speeds", "training", "resident", "seconds"], ["fast"]),
        ([*CAFFE2, "speeds", "training", "resident", "blocks"], 3), ([*CAFFE2, "evaluation"], {"top1": 1}),
        ([*CAFFE2, "probe"], 7), (["results", 0, "matmul_gflops"], [])))]


@pytest.mark.parametrize("text", NO_REPORTS, ids=range(len(NO_REPORTS)))
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "report.json").write_text(text)
    assert main(["diff", str(tmp_path), str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}") and "report" in error and error.count("\n") == 1


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.parent.name)
def test_the_stored_results_can_be_read(path: Path) -> None:
    run = read_run(path.parent)
    assert len(run.seconds) >= 2 and changes_between(run, run).status == 0


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, value in (("old", stored()), ("new", stored(speed=0.5, seed=1))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(value))
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    assert main(["diff", old, old]) == 0
    assert "no regression" in capsys.readouterr().out
    assert main(["diff", old, new, "--style", "github"]) == REGRESSION
    out = capsys.readouterr().out
    assert "REGRESSION:" in out and "| SLOWER" in out
    assert main(["diff", old, str(tmp_path / "nothing")]) == 2
