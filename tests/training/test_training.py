"""The training loop over the NumPy twin: what is in a run's folder, and when a run ends."""
from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any, List

import numpy as np
import numpy_twin
import pytest
from training_runs import CONFIG, STEPS, Stop, ignore, results, stop_at_once, train

from common.commands.resuming import resumed_run
from common.commands.train import build_parser
from common.data.dataset import open_dataset
from common.data.splits import load_split, split_dataset
from common.errors import UserError
from common.network import params as parameters
from common.show.run_page import RunPage
from common.training import loop as training
from common.training.checkpoint import load_checkpoint
from common.training.config import load_config
from common.training.loop import fresh
from common.training.metrics import as_good, is_temperature
from common.training.run_folder import EpochRecord, claimed, read_log, reconfigure, record_data, run_data, start_run
from common.twin import StepResult


def test_contents_of_a_run(run: Path, tiny_data: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "best.npz", "certificate.json", "config.json", "data.json", "last.npz", "log.jsonl", "previous.npz",
        "split.json"]
    assert load_config(run / "config.json") == CONFIG
    assert run_data(run) == [tiny_data.resolve()]
    dataset = open_dataset([tiny_data])
    assert load_split(run / "split.json", dataset).train.tolist() == split_dataset(dataset).train.tolist()


def test_the_log_tells_how_it_went(run: Path) -> None:
    log = read_log(run)
    assert [(record.epoch, record.step) for record in log] == [(e, STEPS * e) for e in range(1, 4)]
    assert log[-1].train_loss < log[0].train_loss < 2 * math.log(4)
    rates = [record.learning_rate for record in log]
    assert rates == sorted(rates, reverse=True) and rates[-1] == pytest.approx(CONFIG.final_learning_rate)
    for record in log:
        assert 0 <= record.train_top1 <= 1 and 0 <= record.dev_top1 <= 1 and record.dev_loss > 0
        assert record.utterances_per_second == pytest.approx(4 * STEPS / record.seconds)


def test_last_and_best(run: Path) -> None:
    log, last, best = read_log(run), load_checkpoint(run / "last.npz"), load_checkpoint(run / "best.npz")
    scores = [record.dev_top1 for record in log]
    assert (last.epoch, last.step, last.dev_top1, last.best_dev_top1) == (3, 3 * STEPS, scores[-1], max(scores))
    assert best.epoch == max(e for e, score in enumerate(scores, 1) if as_good(score, max(scores), 12))
    assert (last.framework, last.scale, last.normalised, last.synthetic) == ("NumPy", "magnitude", True, True)
    assert last.speakers == ("Ada", "Bea", "Cleo", "Dora")
    assert is_temperature(last.temperature) and is_temperature(best.temperature)
    assert any(np.abs(value).max() > 0 for value in last.momenta.values())


def test_patience(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An equal accuracy is no better one: three epochs after the second none was; also where it was stopped."""
    scores = iter([0.5, 0.75, 0.5, 0.75, 0.7, 0.9])
    real = training.Evaluation.of
    monkeypatch.setattr(training.Evaluation, "of",
                        lambda *answers: dataclasses.replace(real(*answers), top1=next(scores)))
    config = dataclasses.replace(CONFIG, epochs=30, patience=3)
    steps: List[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, tiny_data, config, on_step=lambda step, *_: steps.append(step),
              stopping=lambda: len(steps) > 4 * STEPS)
    log = train(tmp_path, tiny_data)
    assert [record.dev_top1 for record in log] == [0.5, 0.75, 0.5, 0.75, 0.7]
    assert train(tmp_path, tiny_data) == log, "it is done, and stays so"


def test_the_best_epoch_is_the_latest_that_cannot_be_told_from_the_most_accurate(
        tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 12 utterances the standard error is 0.083 where all are right; stopped or not."""
    scores = iter([0.2, 1.0, 0.95, 0.9])
    real = training.Evaluation.of
    monkeypatch.setattr(training.Evaluation, "of",
                        lambda *answers: dataclasses.replace(real(*answers), top1=next(scores)))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, tiny_data, dataclasses.replace(CONFIG, epochs=4), stopping=lambda: (tmp_path / "last.npz").exists())
    assert load_checkpoint(tmp_path / "best.npz").epoch == 1
    train(tmp_path, tiny_data)
    assert load_checkpoint(tmp_path / "best.npz").epoch == 3
    RunPage(tmp_path, {}, CONFIG, {}).finish("")
    assert "| best | 3 " in (tmp_path / "run.md").read_text()


def test_the_seed_decides_everything(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    again = train(tmp_path / "same", tiny_data, dataclasses.replace(CONFIG))
    assert results(again) == results(read_log(run))
    other = train(tmp_path / "other", tiny_data, dataclasses.replace(CONFIG, seed=1, epochs=1))
    assert other[0].train_loss != again[0].train_loss


def resumed(*words: str) -> Any:
    return resumed_run(build_parser("train").parse_args(words))


def test_a_run_is_not_overwritten(run: Path, tiny_data: Path) -> None:
    dataset = open_dataset([tiny_data])
    before = (run / "config.json").read_bytes()
    with pytest.raises(UserError, match=f"already holds a run; go on with --resume {run}"):
        start_run(run, fresh(CONFIG, dataset), dataset, split_dataset(dataset), [tiny_data])
    assert (run / "config.json").read_bytes() == before


def test_a_run_needs_a_folder(run: Path) -> None:
    for folder in (run / "log.jsonl", run / "log.jsonl" / "run"):
        with pytest.raises(UserError, match="log.jsonl"), claimed(folder):
            pass


def test_a_run_is_not_begun_twice_at_once(tiny_data: Path, tmp_path: Path) -> None:
    def begin_another(step: int, *_: Any) -> None:
        with pytest.raises(UserError, match=f"{tmp_path}: another process is training in this folder"), claimed(tmp_path):
            pass
        raise Stop

    with pytest.raises(Stop):
        train(tmp_path, tiny_data, on_step=begin_another)


def test_a_folder_with_the_log_of_a_run_or_with_data_is_not_taken(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    shutil.copy(run / "log.jsonl", tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        train(tmp_path, tiny_data)
    with pytest.raises(UserError, match="data is not empty"):
        train(Path(shutil.copytree(tiny_data, tmp_path / "data")), tiny_data)


def test_somebodys_own_file_is_not_taken_for_a_run_that_only_began(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    own = tmp_path / "config.json"
    own.write_text('{"layers": 3}')
    (tmp_path / "run.md").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        train(tmp_path, tiny_data)
    assert own.read_text() == '{"layers": 3}' and (tmp_path / "run.md").exists()
    shutil.copy(run / "config.json", own)
    with pytest.raises(UserError, match="is not empty"):
        train(tmp_path, tiny_data)
    shutil.copy(run / "data.json", tmp_path)  # now it is what a run begins with
    with pytest.raises(Stop):
        train(tmp_path, tiny_data, on_step=stop_at_once)


@pytest.mark.parametrize("name", ["split.json", "events.out.tfevents.1", "run.md"])
def test_a_file_of_anothers_that_is_called_like_ours_is_kept(tiny_data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        train(tmp_path, tiny_data)
    assert (tmp_path / name).read_text() == "mine"


def test_patience_counts_only_epochs_that_the_log_knows(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    checkpoint = load_checkpoint(run / "last.npz")
    reconfigure(tmp_path / "run", checkpoint, epochs=4, patience=3)
    (tmp_path / "run" / "log.jsonl").unlink()
    assert [record.epoch for record in train(tmp_path / "run", tiny_data)] == [4]


def test_a_finished_run_is_extended(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    """Also where the extension is stopped: it is the same run as without the stop."""
    logs = []
    for folder, stop in ((tmp_path / "stopped", stop_at_once), (tmp_path / "whole", ignore)):
        shutil.copytree(run, folder)
        reconfigure(folder, load_checkpoint(folder / "last.npz"), epochs=5)
        if stop is stop_at_once:
            with pytest.raises(Stop):
                train(folder, tiny_data, on_step=stop)
        logs.append(train(folder, tiny_data))
    assert results(logs[0]) == results(logs[1]) and results(logs[0])[:3] == results(read_log(run))
    assert [record.epoch for record in logs[0]] == [1, 2, 3, 4, 5]
    assert load_config(tmp_path / "whole" / "config.json") == dataclasses.replace(CONFIG, epochs=5)
    last = load_checkpoint(tmp_path / "whole" / "last.npz")
    assert (last.epoch, last.step, last.config.epochs) == (5, 5 * STEPS, 5)
    assert logs[0][-1].learning_rate == pytest.approx(CONFIG.final_learning_rate)
    assert "total_steps=30" in last.stretches[-1].certificate.schedule


def test_a_model_knows_what_it_was_trained_on(run: Path, tiny_data: Path) -> None:
    dataset = open_dataset([tiny_data])
    marks = dataset.records.fingerprints(range(len(dataset.records))).tolist()
    assert len(set(marks)) == len(marks)
    split = load_split(run / "split.json", dataset)
    for name in ("best.npz", "last.npz"):
        assert load_checkpoint(run / name).trained_on == {marks[record] for record in split.train}


def test_without_a_development_side_the_last_is_the_best(tiny_data: Path, tmp_path: Path) -> None:
    whole = split_dataset(open_dataset([tiny_data]))
    split = dataclasses.replace(whole, dev=np.zeros(0, np.int64))
    log = train(tmp_path, tiny_data, dataclasses.replace(CONFIG, epochs=2), split=split)
    best = load_checkpoint(tmp_path / "best.npz")
    assert [(record.dev_loss, record.dev_top1) for record in log] == [(None, None)] * 2
    assert (best.epoch, best.dev_top1, best.temperature) == (2, None, None)


def test_divergence_before_anything_is_saved_says_so(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_twin.Model, "train_staged", lambda *_: StepResult(math.inf, 0))
    with pytest.raises(UserError, match="loss became inf at step 1, .*; nothing was saved: .*--final-learning-rate"):
        train(tmp_path, tiny_data)


def test_divergence_is_reported_and_keeps_the_last_good_state(tiny_data: Path, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    real = numpy_twin.Model.train_staged
    steps: List[float] = []

    def diverge(self: numpy_twin.Model, learning_rate: float) -> StepResult:
        steps.append(learning_rate)
        return StepResult(math.nan, 0) if len(steps) == STEPS + 2 else real(self, learning_rate)

    monkeypatch.setattr(numpy_twin.Model, "train_staged", diverge)
    with pytest.raises(UserError, match="loss became nan at step 8, where the learning rate is 0.0[0-9]+; what was saved before is kept.* a lower --learning-rate"):
        train(tmp_path, tiny_data)
    assert load_checkpoint(tmp_path / "last.npz").epoch == 1


@pytest.mark.parametrize("with_dev", [True, False])
def test_parameters_that_diverged_in_the_last_step_are_not_saved(tiny_data: Path, tmp_path: Path, with_dev: bool,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    real = numpy_twin.Model.train_staged

    def diverge(self: numpy_twin.Model, learning_rate: float) -> StepResult:
        result = real(self, learning_rate)
        self._params = {name: np.full_like(value, np.nan) for name, value in self._params.items()}
        return dataclasses.replace(result, loss=1.0)

    split = split_dataset(open_dataset([tiny_data]))
    split = split if with_dev else dataclasses.replace(split, dev=np.zeros(0, np.int64))
    monkeypatch.setattr(numpy_twin.Model, "train_staged", diverge)
    with pytest.raises(UserError, match="finite"):
        train(tmp_path, tiny_data, split=split)
    assert not (tmp_path / "last.npz").exists()


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "nonsense"])
def test_a_damaged_list_of_data(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(UserError, match="data.json"):
        run_data(tmp_path)


def test_a_lost_configuration_is_written_again(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    for damage in (Path.unlink, lambda path: path.write_text("{")):
        damage(folder / "config.json")
        with resumed("--resume", str(folder)) as (checkpoint, *_):
            assert load_config(folder / "config.json") == checkpoint.config == CONFIG


@pytest.mark.parametrize("moved, told", [(True, "the data of .*run are there no more; say with --data"),
                                         (False, "data.json: no such list.*name the data with --data")])
def test_data_that_moved_are_asked_for(run: Path, tiny_data: Path, tmp_path: Path, moved: bool, told: str) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    if moved:
        record_data(folder, [tmp_path / "gone"])
    else:
        (folder / "data.json").unlink()
    with pytest.raises(UserError, match=told), resumed("--resume", str(folder)):
        pass
    with resumed("--resume", str(folder), "--data", str(tiny_data)):
        assert run_data(folder) == [tiny_data]


@pytest.mark.parametrize("name, told", [("log.jsonl", "cannot read this log: Is a directory; take it away"),
                                        ("previous.npz", "cannot be replaced: Is a directory; take it away")])
def test_a_folder_in_a_files_place(tiny_data: Path, tmp_path: Path, name: str, told: str) -> None:
    def put(*_: Any) -> None:
        (tmp_path / name).mkdir(exist_ok=True)

    with pytest.raises(UserError, match=f"{name}: {told}"):
        train(tmp_path, tiny_data, on_step=put)


def test_every_line_of_the_log_is_json(run: Path) -> None:
    fields = {field.name for field in dataclasses.fields(EpochRecord)}
    assert all(set(json.loads(line)) == fields for line in (run / "log.jsonl").read_text().splitlines())


def test_initial_parameters_are_those_of_the_seed(tiny_data: Path) -> None:
    checkpoint = fresh(CONFIG, open_dataset([tiny_data]))
    assert parameters.fingerprint(checkpoint.params) == parameters.fingerprint(
        parameters.initialise(checkpoint.spec, CONFIG.seed))
    assert not any(value.any() for value in checkpoint.momenta.values())
