"""The training loop over the NumPy twin: what is in a run's folder, and what survives a stop anywhere."""
from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, List, Optional

import numpy as np
import numpy_twin
import pytest
from small_networks import relative_errors

from common.data.dataset import open_dataset
from common.data.splits import Split, load_split, split_dataset
from common.errors import UserError
from common.network import params as parameters
from common.training import loop as training
from common.training import run_folder
from common.training.checkpoint import load_checkpoint
from common.training.config import TrainingConfig, load_config
from common.training.loop import Trainer, fresh
from common.training.metrics import is_temperature
from common.training.run_folder import EpochRecord, claimed, extend, read_log, resume, run_data, start_run
from common.twin import StepResult

CONFIG = TrainingConfig(network="tdnn", width=0.02, epochs=3, batch_size=4, learning_rate=0.02, crop_frames=60,
                        time_mask=5)
STEPS = 6  # an epoch: 24 training records, 4 a step


class Stop(Exception):
    """Stands for a process that is killed."""


def ignore(*_: Any) -> None:
    pass


def train(folder: Path, data: Path, config: TrainingConfig = CONFIG, on_step: Callable[..., None] = ignore,
          split: Optional[Split] = None, stopping: Callable[[], bool] = lambda: False,
          save_seconds: float = math.inf) -> List[EpochRecord]:
    """A whole run from the start, or what is left of the one in `folder`; returns its log."""
    dataset = open_dataset([data])
    with claimed(folder):
        if any(folder.glob("*.npz")):
            checkpoint, split = resume(folder), load_split(folder / "split.json", dataset)
        else:
            checkpoint, split = fresh(config, dataset), split or split_dataset(dataset, config.seed)
            start_run(folder, checkpoint, dataset, split, [data])
        Trainer(numpy_twin.load(), dataset, split, checkpoint, folder, save_seconds).run(on_step, ignore, stopping)
    return read_log(folder)


def results(log: List[EpochRecord]) -> List[EpochRecord]:
    """Without what depends on the clock."""
    return [dataclasses.replace(record, seconds=0.0, utterances_per_second=0.0) for record in log]


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(folder, tiny_data)
    return folder


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
    assert best.epoch == max(e for e, score in enumerate(scores, 1) if score == max(scores)), "the latest of the best"
    assert (last.framework, last.scale, last.normalised, last.synthetic) == ("NumPy", "magnitude", True, True)
    assert last.speakers == ("Ada", "Bea", "Cleo", "Dora")
    assert is_temperature(last.temperature) and is_temperature(best.temperature)
    assert any(np.abs(value).max() > 0 for value in last.momenta.values())


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


def test_patience(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal accuracies the later counts as better: three epochs after the second none was; also where it was stopped."""
    scores = iter([0.5, 0.75, 0.5, 0.75, 0.7, 0.6, 0.1, 0.9])
    real = training.Evaluation.of
    monkeypatch.setattr(training.Evaluation, "of",
                        lambda *answers: dataclasses.replace(real(*answers), top1=next(scores)))
    config = dataclasses.replace(CONFIG, epochs=30, patience=3)
    steps: List[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, tiny_data, config, on_step=lambda step, *_: steps.append(step),
              stopping=lambda: len(steps) > 5 * STEPS)
    log = train(tmp_path, tiny_data)
    assert [record.dev_top1 for record in log] == [0.5, 0.75, 0.5, 0.75, 0.7, 0.6, 0.1]
    assert train(tmp_path, tiny_data) == log, "it is done, and stays so"


def assert_same_run(log: List[EpochRecord], folder: Path, whole: Path) -> None:
    """To rounding: a resumed run starts from float32, where the NumPy twin goes on in float64."""
    for record, expected in zip(results(log), results(read_log(whole))):
        assert dataclasses.astuple(record) == pytest.approx(dataclasses.astuple(expected), rel=1e-5)
    assert len(log) == CONFIG.epochs
    last, expected = load_checkpoint(folder / "last.npz"), load_checkpoint(whole / "last.npz")
    assert max(relative_errors(last.params, expected.params).values()) < 1e-5
    assert (folder / "best.npz").exists()


def test_a_damaged_log_costs_its_lines_and_no_more(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    train(tmp_path, tiny_data, dataclasses.replace(CONFIG, epochs=1))
    with open(tmp_path / "log.jsonl", "a") as log:
        log.write('{"epoch": 2, "st')
    assert [record.epoch for record in read_log(tmp_path)] == [1]


def test_the_seed_decides_everything(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    again = train(tmp_path / "same", tiny_data, dataclasses.replace(CONFIG))
    assert results(again) == results(read_log(run))
    other = train(tmp_path / "other", tiny_data, dataclasses.replace(CONFIG, seed=1, epochs=1))
    assert other[0].train_loss != again[0].train_loss


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


def stop_at_once(*_: Any) -> None:
    raise Stop


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


def test_a_folder_with_the_log_of_a_run_or_with_data_is_not_taken(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    shutil.copy(run / "log.jsonl", tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        train(tmp_path, tiny_data)
    with pytest.raises(UserError, match="data is not empty"):
        train(Path(shutil.copytree(tiny_data, tmp_path / "data")), tiny_data)


def test_a_finished_run_is_extended(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    """Also where the extension is stopped: it is the same run as without the stop."""
    logs = []
    for folder, stop in ((tmp_path / "stopped", stop_at_once), (tmp_path / "whole", ignore)):
        shutil.copytree(run, folder)
        extend(folder, load_checkpoint(folder / "last.npz"), 5)
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


def test_divergence_is_reported_and_keeps_the_last_good_state(tiny_data: Path, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    real = numpy_twin.Model.train_staged
    steps: List[float] = []

    def diverge(self: numpy_twin.Model, learning_rate: float) -> StepResult:
        steps.append(learning_rate)
        return StepResult(math.nan, 0) if len(steps) == STEPS + 2 else real(self, learning_rate)

    monkeypatch.setattr(numpy_twin.Model, "train_staged", diverge)
    with pytest.raises(UserError, match="loss became nan at step 8; a lower --learning-rate than 0.02"):
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


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no last.npz"):
        resume(tmp_path)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "nonsense"])
def test_a_damaged_list_of_data(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(UserError, match="data.json"):
        run_data(tmp_path)


def test_every_line_of_the_log_is_json(run: Path) -> None:
    fields = {field.name for field in dataclasses.fields(EpochRecord)}
    assert all(set(json.loads(line)) == fields for line in (run / "log.jsonl").read_text().splitlines())


def test_initial_parameters_are_those_of_the_seed(tiny_data: Path) -> None:
    checkpoint = fresh(CONFIG, open_dataset([tiny_data]))
    assert parameters.fingerprint(checkpoint.params) == parameters.fingerprint(
        parameters.initialise(checkpoint.spec, CONFIG.seed))
    assert not any(value.any() for value in checkpoint.momenta.values())
