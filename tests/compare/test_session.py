"""What a worker does for a comparison, command by command, with the NumPy twin."""
from __future__ import annotations

import dataclasses
import gc
import json
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import numpy_twin
import pytest

from common.compare import session as session_module
from common.compare.session import Session
from common.data.dataset import Dataset, open_dataset
from common.data.splits import split_dataset
from common.errors import UserError
from common.speed import bench as bench_module
from common.speed.bench import Work
from common.training.checkpoint import load_checkpoint
from common.training.config import TrainingConfig
from common.training.loop import Trainer, fresh
from common.training.run_folder import claimed, read_log, run_data
from common.twin import CLOCKS, StepResult

CONFIG = TrainingConfig(network="tdnn", width=0.02, batch_size=8, epochs=2, crop_frames=60, learning_rate=0.02)


def given(data: Path, config: TrainingConfig = CONFIG) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    work = Work("tdnn", 4, config.width, batch_size=8, seed=config.seed, data=[str(data)])
    return dataclasses.asdict(work), dataclasses.asdict(config)


def opened(data: Path, config: TrainingConfig = CONFIG) -> Session:
    session = Session(numpy_twin.load)
    session.open(*given(data, config))
    return session


def learning(session: Session, folder: Path) -> Session:
    session.learn(str(folder))
    return session


def learn(session: Session) -> Dict[str, Any]:
    """An epoch's answer without what depends on the clock."""
    answer = session.train_epoch()
    assert answer["record"].pop("seconds") > 0 and answer["record"].pop("utterances_per_second") > 0
    return answer


def test_it_learns_as_the_training_command_does(tiny_data: Path, tmp_path: Path) -> None:
    """And leaves the same run behind, from which `train --resume` goes on."""
    dataset = open_dataset([tiny_data])
    (tmp_path / "trained").mkdir()
    Trainer(numpy_twin.load(), dataset, split_dataset(dataset), fresh(CONFIG, dataset), tmp_path / "trained").run(
        lambda *_: None, lambda record: None)
    session = learning(opened(tiny_data), tmp_path / "learned")
    for record in read_log(tmp_path / "trained"):
        answer = learn(session)
        assert len(answer["losses"]) == 3
        assert np.mean(answer["losses"]) == pytest.approx(record.train_loss)
        assert answer["record"] == pytest.approx({name: dataclasses.asdict(record)[name] for name in answer["record"]})
    assert session.train_epoch() == {}
    last, own = (load_checkpoint(tmp_path / name / "last.npz") for name in ("trained", "learned"))
    assert all(np.array_equal(last.params[name], own.params[name]) for name in last.params)
    assert run_data(tmp_path / "learned") == [tiny_data] and (tmp_path / "learned" / "split.json").exists()


def test_a_run_holds_its_folder_and_leaves_what_is_not_of_a_run(tiny_data: Path, tmp_path: Path) -> None:
    """The command decides about an old run before anything is timed: after that nothing in the folder stops the work."""
    old = learning(opened(tiny_data), tmp_path / "run")
    old.train_epoch()
    (tmp_path / "run" / "speaker.onnx").write_bytes(b"of somebody")
    with pytest.raises(UserError, match="another process is training"), claimed(tmp_path / "run"):
        pass
    del old  # as with its process
    gc.collect()
    learning(opened(tiny_data), tmp_path / "run")
    assert (tmp_path / "run" / "speaker.onnx").read_bytes() == b"of somebody" and read_log(tmp_path / "run") == []


def test_within_a_long_epoch_it_is_saved(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "SAVE_MINUTES", 0.0)
    learning(opened(tiny_data), tmp_path / "run").train_epoch()
    before = load_checkpoint(tmp_path / "run" / "previous.npz")
    assert (before.epoch, before.part.steps) == (0, 2)


def test_timing_and_probing_leave_no_trace_in_the_learning_run(tiny_data: Path, tmp_path: Path) -> None:
    session = opened(tiny_data)
    session.bench.evidence(2, 1e-3)
    for kind in ("training", "inference", "forward", "backward"):
        for clock in CLOCKS:
            session.bench.time(kind, 1, clock)
    session.probe(2, 1e-4)
    assert learn(learning(session, tmp_path / "a")) == learn(learning(opened(tiny_data), tmp_path / "b"))


def test_probe_takes_the_first_steps_from_the_start(tiny_data: Path, tmp_path: Path) -> None:
    session = opened(tiny_data)
    session.bench.time("training", 2)
    losses = session.probe(2, 1e-4)["losses"]
    assert losses == opened(tiny_data).probe(2, 1e-4)["losses"] and len(losses) == 2
    assert losses[1] != session.probe(2, 1e-2)["losses"][1]
    assert losses[0] == learn(learning(session, tmp_path))["losses"][0]


def test_evaluation_is_of_the_testing_side_in_its_order(tiny_data: Path, tmp_path: Path) -> None:
    session = learning(opened(tiny_data), tmp_path / "run")
    epochs = [session.train_epoch()["record"]["dev_top1"] for _ in range(CONFIG.epochs)]
    answer = session.evaluate(str(tmp_path / "logits.npy"))
    assert epochs[answer["epoch"] - 1] == max(epochs)
    figures = answer["evaluation"]
    test = split_dataset(open_dataset([tiny_data])).test
    logits = np.load(tmp_path / "logits.npy")
    assert logits.shape == (len(test), 4) and figures["utterances"] == len(test)
    speakers = open_dataset([tiny_data]).records.labels[test]
    assert figures["top1"] == (logits.argmax(axis=1) == speakers).mean()


def test_answers_can_be_sent(tiny_data: Path, tmp_path: Path) -> None:
    session = opened(tiny_data)
    answers = [session.bench.evidence(1, 1e-3), session.bench.time("training", 1), session.bench.warm_up("inference"), session.bench.peak_memory(),
               session.probe(1, 1e-3), session.learn(str(tmp_path / "run")), session.train_epoch(),
               session.evaluate(str(tmp_path / "logits.npy"))]
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers


def test_divergence_is_the_users_to_mend(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = learning(opened(tiny_data), tmp_path)
    monkeypatch.setattr(numpy_twin.Model, "train_staged", lambda self, rate: StepResult(float("inf"), 0))
    with pytest.raises(UserError, match="loss became inf at step 1, where the learning rate is .* a lower --learning-rate"):
        session.train_epoch()


def test_the_network_is_built_before_data_are_opened(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the start of a framework would be charged with the reading of labels and hashes."""
    opened_at = []

    def spy(paths: List[Path]) -> Dataset:
        opened_at.append(time.monotonic())
        return open_dataset(paths)

    monkeypatch.setattr(bench_module, "open_dataset", spy)
    start = time.monotonic()
    session = Session(numpy_twin.load)
    built_at = session.open(*given(tiny_data))["built_at"]
    assert start < built_at < opened_at[0] and len(opened_at) == 1


def test_settings_are_checked(tiny_data: Path) -> None:
    with pytest.raises(UserError, match="epochs"):
        Session(numpy_twin.load).open(given(tiny_data)[0], {"epochs": 0})
