"""What survives a stop anywhere: the run goes on and ends as if there had been none."""
from __future__ import annotations

import dataclasses
import math
import shlex
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any, List

import numpy_twin
import pytest
from training_runs import CONFIG, STEPS, Stop, assert_same_run, stop_at_once, train

from common.commands.train import build_parser, going_on, notes
from common.commands.train import run as run_train
from common.data.dataset import open_dataset
from common.data.splits import split_dataset
from common.errors import UserError
from common.speed import gate
from common.training import loop as training
from common.training import run_folder
from common.training.checkpoint import load_checkpoint
from common.training.config import load_config
from common.training.run_folder import read_log, resume


@pytest.mark.parametrize("stop_at", [STEPS + 1, 3 * STEPS - 1])
def test_stopped_in_an_epoch_and_resumed(run: Path, tiny_data: Path, tmp_path: Path, stop_at: int) -> None:
    def stop(step: int, *_: Any) -> None:
        if step == stop_at:
            raise Stop

    with pytest.raises(Stop):
        train(tmp_path, tiny_data, on_step=stop)
    assert len(read_log(tmp_path)) == load_checkpoint(tmp_path / "last.npz").epoch == stop_at // STEPS
    assert_same_run(train(tmp_path, tiny_data), tmp_path, run)


@pytest.mark.parametrize("where, name", [(run_folder, "write_text"), (training, "save_checkpoint"),
                                         (run_folder, "save_checkpoint")], ids=["log", "best", "last"])
def test_stopped_while_saving_and_resumed(run: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          where: ModuleType, name: str) -> None:
    """Between any two of the files that the second epoch writes: the log, the best, the last."""
    real, calls = getattr(where, name), []

    def stop(path: Path, *arguments: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise Stop
        real(path, *arguments)

    monkeypatch.setattr(where, name, stop)
    with pytest.raises(Stop):
        train(tmp_path, tiny_data)
    monkeypatch.undo()
    assert resume(tmp_path).epoch == 1
    assert_same_run(train(tmp_path, tiny_data), tmp_path, run)


@pytest.mark.parametrize("seconds", [0.0, math.inf], ids=["saved at each step", "saved by the epoch alone"])
def test_asked_to_stop_within_an_epoch_nothing_is_done_twice(run: Path, tiny_data: Path, tmp_path: Path,
                                                              seconds: float) -> None:
    steps: List[int] = []
    with pytest.raises(KeyboardInterrupt, match=f"step {STEPS + 2} of {3 * STEPS} is saved"):
        train(tmp_path, tiny_data, on_step=lambda step, *_: steps.append(step),
              stopping=lambda: len(steps) == STEPS + 2, save_seconds=seconds)
    stopped = load_checkpoint(tmp_path / "last.npz")
    assert (stopped.epoch, stopped.step, stopped.part.steps) == (1, STEPS + 2, 2)
    assert_same_run(train(tmp_path, tiny_data, on_step=lambda step, *_: steps.append(step)), tmp_path, run)
    assert steps == list(range(1, 3 * STEPS + 1))


def test_killed_within_an_epoch_it_goes_on_from_the_last_step_saved(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    def stop(step: int, *_: Any) -> None:
        if step == STEPS + 4:
            raise Stop

    with pytest.raises(Stop):
        train(tmp_path, tiny_data, on_step=stop, save_seconds=0.0)
    assert load_checkpoint(tmp_path / "last.npz").step == STEPS + 3
    assert load_checkpoint(tmp_path / "previous.npz").step == STEPS + 2
    assert_same_run(train(tmp_path, tiny_data), tmp_path, run)


def test_asked_to_stop_at_the_end_of_an_epoch_it_is_whole(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    steps: List[int] = []
    with pytest.raises(KeyboardInterrupt, match="epoch 1 is saved"):
        train(tmp_path, tiny_data, on_step=lambda step, *_: steps.append(step), stopping=lambda: len(steps) == STEPS)
    assert len(read_log(tmp_path)) == 1
    assert_same_run(train(tmp_path, tiny_data), tmp_path, run)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_offered(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    data = (folder / "last.npz").read_bytes()
    (folder / "last.npz").write_bytes(data[:len(data) // 2])
    with pytest.raises(UserError, match="last.npz(.|\n)*the one before it, .*previous.npz, take .*last.npz away"):
        resume(folder)
    (folder / "last.npz").unlink()
    assert resume(folder).epoch == 2
    assert_same_run(train(folder, tiny_data), folder, run)


def test_a_damaged_log_costs_its_lines_and_no_more(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Of which those in its middle are told, once; a crash may cut the last."""
    log = tmp_path / "log.jsonl"
    lines = (run / "log.jsonl").read_text().splitlines()
    log.write_text("\n".join([lines[0], lines[1][:-9], lines[2], '{"epoch": 4, "st']))
    for _ in range(2):
        assert [record.epoch for record in read_log(tmp_path)] == [1, 3]
    assert capsys.readouterr().err == f"note: {log}: line 2 is damaged, and the epoch that it was of is left out\n"


@pytest.mark.parametrize("left", [["config.json"], ["split.json", "config.json"], []], ids=str)
@pytest.mark.parametrize("log", ["", '{"epoch": 1, "st'], ids=["no log", "half a log"])
def test_a_half_made_folder_is_started_again(run: Path, tiny_data: Path, tmp_path: Path, left: List[str], log: str) -> None:
    """By the same command; --resume takes it too, as far as it knows what the run was to be."""
    with pytest.raises(Stop):
        train(tmp_path, tiny_data, on_step=stop_at_once)
    assert resume(tmp_path) is None and load_config(tmp_path / "config.json") == CONFIG
    for name in left:
        (tmp_path / name).unlink()
    (tmp_path / "log.jsonl").write_text(log)
    if "config.json" in left:
        with pytest.raises(UserError, match=f"no last.npz.*--out {tmp_path}"):
            resume(tmp_path)
    assert_same_run(train(tmp_path, tiny_data), tmp_path, run)


@pytest.mark.parametrize("name", ["log.jsonl", "best.npz", "last.npz"])
def test_a_disk_that_is_full_in_the_first_epoch(run: Path, tiny_data: Path, tmp_path: Path, name: str,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever file finds no room: the run goes on, or starts again, once there is some."""
    real = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == f"{name}.partial":
            raise OSError(28, "No space left on device")
        return real(self, data)

    with monkeypatch.context() as patch, pytest.raises(UserError, match=f"{name}: cannot write: No space left"):
        patch.setattr(Path, "write_bytes", full)
        train(tmp_path, tiny_data)
    if name == "last.npz":  # the best is as good to go on from
        assert load_checkpoint(tmp_path / "best.npz").epoch == resume(tmp_path).epoch == 1
    assert_same_run(train(tmp_path, tiny_data), tmp_path, run)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no last.npz"):
        resume(tmp_path)


def test_a_finished_run_is_tested_again_and_one_that_patience_ended_goes_on(tiny_data: Path, tmp_path: Path,
                                                                            monkeypatch: pytest.MonkeyPatch,
                                                                            capsys: pytest.CaptureFixture) -> None:
    """By the command: it may have been stopped between its last epoch and its test."""
    monkeypatch.setattr(gate, "require", lambda twin, *_: twin)  # which knows frameworks alone
    real = training.Evaluation.of
    monkeypatch.setattr(training.Evaluation, "of", lambda *answers: dataclasses.replace(real(*answers), top1=0.5))

    def command(*words: str) -> str:
        assert run_train("python -m numpy_twin.train", numpy_twin.load, [
            *words, "--threads", "1", "--convolutions", "default"]) == 0
        said = capsys.readouterr()
        told.append(next(line.split(maxsplit=1)[1] for line in said.err.splitlines() if line.startswith("epochs ")))
        return said.out

    told: List[str] = []

    run = tmp_path / "run"
    first = command("--data", str(tiny_data), "--out", str(run), "--recipe", "paper", "--network", "tdnn", "--width", "0.02",
                    "--batch-size", "4", "--crop-frames", "60", "--epochs", "3", "--patience", "1")
    assert f"--resume {run} --patience 0" in first and load_checkpoint(run / "last.npz").epoch == 2
    assert "stopped early: for 1 epochs no better" in (run / "run.md").read_text()
    (run / "run.md").unlink()
    certificate = (run / "certificate.json").read_bytes()
    (run / "certificate.json").unlink()
    assert "test side, by epoch 2" in command("--resume", str(run))
    assert (run / "certificate.json").read_bytes() == certificate, "nothing was trained"
    with pytest.raises(UserError, match="has done 2 of its 3"):
        command("--resume", str(run), "--patience", "5", "--epochs", "9")
    assert load_config(run / "config.json").patience == 1
    assert "test side, by epoch 2" in (run / "run.md").read_text() and load_checkpoint(run / "last.npz").epoch == 2
    command("--resume", str(run), "--patience", "0")
    assert [line.partition(",")[0] for line in told] == ["1 to 3", "2 of 3 done", "3 to 3"]
    assert load_checkpoint(run / "last.npz").epoch == 3
    assert "test side, by epoch 3" in command("--resume", str(run))
    assert "stopped early" not in command("--resume", str(run), "--patience", "1"), "no epoch is left"


def test_the_command_that_goes_on_can_be_pasted(tmp_path: Path) -> None:
    """A folder whose name begins like an option's, or has a space in it; what was measured is not measured again."""
    words = ["--resume", "./-my run", "--data", "./-data", "--threads", "1", "--convolutions", "measure"]
    told = going_on("python -m x.train", Path("-my run"), build_parser("x").parse_args(words))
    assert told == "python -m x.train --resume './-my run' --threads 1 --data ./-data"
    again = build_parser("x").parse_args(shlex.split(told)[3:])
    assert (again.resume, again.data) == (Path("-my run"), [Path("-data")])


def test_what_a_run_does_not_do_as_one_may_think_is_noted(run: Path, tiny_data: Path) -> None:
    split, checkpoint = split_dataset(open_dataset([tiny_data])), load_checkpoint(run / "last.npz")
    patient = dataclasses.replace(checkpoint, config=dataclasses.replace(checkpoint.config, patience=2))
    devless = dataclasses.replace(split, dev=split.dev[:0])
    assert notes(patient, split, "") == notes(checkpoint, devless, "") == []
    assert "so --patience ends nothing" in notes(patient, devless, "")[0]
    assert f"after step {checkpoint.step} the run is computed otherwise" in notes(checkpoint, split, "threads 2, before 1")[0]
