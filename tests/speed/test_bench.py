"""What a worker answers when it is timed: which steps run, on which input, and what is not charged to them."""
from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List, Tuple

import numpy as np
import numpy_twin
import pytest

from common.data.dataset import open_dataset
from common.errors import UserError
from common.network.architectures import build
from common.network.optimizer import SGD
from common.network.params import initialise
from common.speed import bench as module
from common.speed.bench import Bench, Work, random_batch
from common.speed.engine import RATE, twin_engine

WORK = Work("tdnn", num_speakers=4, width=0.02, batch_size=4, frames=60)


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)


@pytest.fixture()
def calls(monkeypatch: pytest.MonkeyPatch) -> List[Tuple[str, Any]]:
    """Every call of a model, in order, with the first value of what it stages."""
    made: List[Tuple[str, Any]] = []
    for name in ("stage", "train_staged", "predict_staged", "run_staged"):
        def spy(self: Any, *arguments: Any, name: str = name, real: Any = getattr(numpy_twin.Model, name)) -> Any:
            first = arguments[0] if arguments else None
            made.append((name, first.shape if isinstance(first, np.ndarray) else first))
            return real(self, *arguments)

        monkeypatch.setattr(numpy_twin.Model, name, spy)
    return made


def built(**changes: Any) -> Bench:
    bench = Bench(lambda: twin_engine(numpy_twin.load()))
    bench.build({**dataclasses.asdict(WORK), **changes})
    return bench


def test_any_number_of_frames_without_data(calls: List[Tuple[str, Any]]) -> None:
    built(frames=77, batch_size=3)
    assert calls == [("stage", (3, 512, 77))]


@pytest.mark.parametrize("kind, step", [("training", ("train_staged", RATE)), ("forward", ("run_staged", "forward")),
                                        ("backward", ("run_staged", "backward"))])
def test_resident_steps_stage_once(kind: str, step: Tuple[str, Any], calls: List[Tuple[str, Any]]) -> None:
    bench = built()
    calls.clear()
    assert len(bench.time(kind, 3)["seconds"]) == 3
    assert calls == [("stage", (4, 512, 60)), step, step, step]


def test_fed_steps_stage_each_time(calls: List[Tuple[str, Any]]) -> None:
    bench = built()
    calls.clear()
    bench.time("training", 2, "fed")
    assert [name for name, _ in calls[1:]] == ["stage", "train_staged"] * 2


def test_inference_pays_for_new_weights_before_its_clock_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, real, first = built(), numpy_twin.Model.predict_staged, [True]

    def slow_at_first(self: Any) -> np.ndarray:
        time.sleep(0.3 * first.pop() if first else 0)
        return real(self)

    monkeypatch.setattr(numpy_twin.Model, "predict_staged", slow_at_first)
    assert max(bench.time("inference", 2)["seconds"]) < 0.3


def test_latency_is_of_one_utterance_from_numpy(calls: List[Tuple[str, Any]]) -> None:
    bench = built()
    calls.clear()
    assert len(bench.time("latency", 2)["seconds"]) == 2
    assert calls[-4:] == [("stage", (1, 512, 60)), ("predict_staged", None)] * 2
    calls.clear()
    bench.time("training", 1)
    assert calls[0] == ("stage", (4, 512, 60)), "the batch is back"


def test_end_to_end_takes_shuffled_batches_of_the_data_through_epochs(tiny_data: Path, monkeypatch: pytest.MonkeyPatch
                                                                      ) -> None:
    taken = []
    real = numpy_twin.Model.stage

    def stage(self: Any, spectrograms: np.ndarray, speakers: Any = None) -> None:
        taken.append(spectrograms[:, 0, 0].tolist())
        real(self, spectrograms, speakers)

    monkeypatch.setattr(numpy_twin.Model, "stage", stage)
    bench = built(data=[str(tiny_data)], batch_size=8, frames=300)
    taken.clear()
    for _ in range(2):
        bench.time("training", 3, "end-to-end")
    epochs = taken[1:4], taken[5:8]  # before each block the resident batch is staged
    first, second = (sorted(sum(epoch, [])) for epoch in epochs)
    assert len(set(first)) == 24 and first == second and epochs[0] != epochs[1]
    assert set(first) < set(open_dataset([tiny_data]).records.read(np.arange(48))[0][:, 0, 0].tolist())


def test_end_to_end_needs_data() -> None:
    with pytest.raises(UserError, match="only with data"):
        built().time("training", 1, "end-to-end")


def test_evidence_is_of_the_initial_parameters_and_of_an_update() -> None:
    evidence = built().evidence(3, 1e-2)
    spec = build("tdnn", 4, 0.02)
    batch = random_batch(WORK, 0)
    model = numpy_twin.Model(spec, initialise(spec, 0), SGD())
    model.stage(batch.spectrograms, batch.speakers)
    assert np.array_equal(evidence["logits"], model.predict_staged().astype(float))
    assert evidence["losses"] == [model.train_staged(1e-2).loss for _ in range(3)]
    assert evidence["first_step_seconds"] > 0


def test_warm_up_lasts_until_steps_take_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, durations = built(), []
    monkeypatch.setattr(module, "timed", lambda run: SimpleNamespace(seconds=[durations.pop(0)]))
    durations[:] = [0.4, 0.2, 0.1, 0.1, 0.1, 9]
    warmed = bench.warm_up("training")
    assert len(warmed["seconds"]) == 5 and warmed["settled"] is True
    durations[:] = [0.02 * (1 + i % 2) for i in range(9)]
    warmed = bench.warm_up("training", most=6)
    assert len(warmed["seconds"]) == 6 and warmed["settled"] is False
    monkeypatch.setattr(module, "PATIENCE", -1)
    durations[:] = [0.1, 0.05, 0.1, 0.05]
    assert len(bench.warm_up("training")["seconds"]) == 3, "three at the least"


def test_steps_for_evidence_warm_up_too() -> None:
    bench = built()
    bench.evidence(9, 1e-3)
    assert len(bench.warm_up("training")["seconds"]) == 10


def test_another_network_in_the_same_process() -> None:
    bench = built()
    bench.build({**dataclasses.asdict(WORK), "num_speakers": 7})
    assert np.shape(bench.evidence(1, 1e-3)["logits"]) == (4, 7)


def test_answers_can_be_sent() -> None:
    bench = built()
    answers = [bench.evidence(1, 1e-3), bench.warm_up("inference"), bench.time("training", 1), bench.matmul(64),
               bench.peak_memory(), bench.build(dataclasses.asdict(WORK))]
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers
