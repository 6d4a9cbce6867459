"""The check on the machine itself: it passes what is right, names what is wrong, refuses and remembers."""
from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, List

import numpy as np
import pytest
from numpy_twin import Model, load
from small_networks import SPECS

from common import remembered
from common.contenders import CONTENDERS
from common.errors import UserError
from common.network.optimizer import SGD
from common.network.params import initialise
from common.proof import selfcheck
from common.proof.selfcheck import LIMITS, Deviation, hold
from common.speed import gate
from common.speed.bench import Bench, Work
from common.speed.engine import twin_engine
from common.speed.gate import SelfCheck
from common.speed.worker import Workers
from common.twin import StepResult

SPEC = SPECS["over_time"]
WORK = Work("tdnn", 4, width=0.02)
NOBODY = Workers(threads=1)  # of whom nothing is asked


def spoiled(attribute: str, change: Callable[[Any], Any]) -> type:
    """The honest model with one answer changed."""
    def method(self: Model, *arguments: Any) -> Any:
        return change(getattr(Model, attribute)(self, *arguments))

    return type("Spoiled", (Model,), {attribute: method})


def changed(tensors: dict, name: str, factor: float) -> dict:
    return {**tensors, name: tensors[name] * np.float32(factor)}


class Scrambled(Model):
    """As with a layout that was taken for granted: right at the first size, wrong at every other."""

    def predict_staged(self) -> np.ndarray:
        logits = super().predict_staged()
        return logits if logits.shape == (4, self.spec.num_speakers) else logits[:, ::-1]


class Rolled(Model):
    """Right for a few utterances, and for many each gets the answer of another."""

    def predict_staged(self) -> np.ndarray:
        logits = super().predict_staged()
        return logits if len(logits) < 8 else np.roll(logits, 1, axis=0)


BROKEN = {
    "start": (spoiled("params", lambda own: changed(own, "frame1/weight", 1.001)), "start", "frame1/weight"),
    "outputs": (spoiled("inspect", lambda own: dataclasses.replace(own, outputs=changed(own.outputs, "bn2", 1.001))),
                "outputs", "bn2"),
    "shape": (spoiled("inspect", lambda own: dataclasses.replace(own, outputs={
        **own.outputs, "relu1": own.outputs["relu1"][:, :, :, 1:]})), "outputs", "relu1"),
    "no numbers": (spoiled("inspect", lambda own: dataclasses.replace(own, loss=float("nan"))), "loss", "loss"),
    "gradients": (spoiled("inspect", lambda own: dataclasses.replace(own, gradients=changed(
        own.gradients, "frame2/weight", 1.01))), "gradients", "frame2/weight"),
    "training step": (spoiled("train_staged", lambda own: StepResult(1.5 * own.loss, own.correct)), "training step", "loss"),
    "predictions": (Scrambled, "outputs", "testing logits"),
    "many at once": (Rolled, "outputs", "testing logits"),
}


@pytest.mark.parametrize("network", SPECS)
def test_what_is_right_passes(network: str) -> None:
    found = hold(Model(SPECS[network], initialise(SPECS[network]), SGD()))
    assert not [each for each in found if each.wrong]
    assert {each.rung for each in found} == set(LIMITS)
    assert {each.size for each in found if each.tensor == "testing logits"} == {
        *selfcheck.TRAINED, (selfcheck.TIMES[-1][-1] * selfcheck.TRAINED[-1][0], selfcheck.TRAINED[-1][1]), selfcheck.SINGLE}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_named(name: str) -> None:
    model, rung, tensor = BROKEN[name]
    wrong = [each for each in hold(model(SPEC, initialise(SPEC), SGD())) if each.wrong]
    assert wrong and (wrong[0].rung, wrong[0].tensor) == (rung, tensor)


def backwards() -> SGD:
    """Which no honest one can be."""
    optimizer = SGD()
    object.__setattr__(optimizer, "momentum", -0.9)
    return optimizer


@pytest.mark.parametrize("optimizer, rung", [
    (SGD(nesterov=True), "update"), (SGD(momentum=0), "momentum and decay"), (SGD(momentum=0.85), "momentum and decay"),
    (backwards(), "momentum and decay"), (SGD(weight_decay=0), "momentum and decay"),
    (SGD(weight_decay=1e-3), "momentum and decay"), (SGD(decaying_roles=("weight", "bias")), "momentum and decay"),
    (SGD(decaying_roles=("weight", "scale")), "momentum and decay"),
    (SGD(decaying_roles=("weight", "shift")), "momentum and decay")], ids=lambda each: str(each))
def test_an_update_by_another_formula_is_named(optimizer: SGD, rung: str) -> None:
    class Other(Model):
        def train_staged(self, learning_rate: float) -> StepResult:
            stated, self.optimizer = self.optimizer, optimizer
            result = super().train_staged(learning_rate)
            self.optimizer = stated
            return result

    wrong = [each for each in hold(Other(SPEC, initialise(SPEC), SGD())) if each.wrong]
    assert wrong and wrong[0].rung == rung


def test_both_frameworks_pass(twin) -> None:
    for spec in SPECS.values():
        assert not [each for each in hold(twin.model(spec, initialise(spec), SGD())) if each.wrong]


def test_a_worker_holds_its_network() -> None:
    answer = Bench(lambda: twin_engine(load())).selfcheck(dataclasses.asdict(WORK))
    assert answer["facts"]["engine"] == "NumPy"
    assert not [each for each in answer["deviations"] if Deviation(**each).wrong]


@pytest.fixture()
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> List[Work]:
    """The self-checks that were made; they find what `gate.found` holds."""
    made: List[Work] = []

    def fake(contender: Any, works: List[Work], workers: Any) -> List[SelfCheck]:
        made.extend(works)
        return [SelfCheck(contender, works[0].network, {"framework": "Caffe2 1", "engine": "IDEEP"}, gate.found)]

    monkeypatch.setattr(gate, "found", [Deviation((3, 117), "outputs", "conv1", 1e-6)], raising=False)
    monkeypatch.setattr(gate, "selfcheck", fake)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return made


def test_what_passed_is_remembered_for_what_it_was(asked: List[Work]) -> None:
    caffe2, direct = CONTENDERS["caffe2"], CONTENDERS["caffe2-direct"]
    for _ in range(2):
        gate.ensure(caffe2, WORK, NOBODY)
        assert len(asked) == 1
    others = [dataclasses.replace(WORK, **{name: value}) for name, value in (
        ("network", "vgg_m"), ("width", 0.03), ("num_speakers", 5), ("device", "auto"), ("threads", 2))]
    for number, work in enumerate(others, 2):
        gate.ensure(caffe2, work, NOBODY)
        assert len(asked) == number
    gate.ensure(direct, WORK, NOBODY)
    gate.ensure(caffe2, dataclasses.replace(WORK, plan={"frame1": 6}), NOBODY)
    assert len(asked) == 8
    gate.ensure(caffe2, dataclasses.replace(WORK, batch_size=3, seed=5, data=["somewhere"]), NOBODY)
    assert len(asked) == 8


@pytest.mark.parametrize("left", ["", "{}", "[]", '{"contender": "Caffe2"', '{"contender": "Caffe2", "network": "vgg_m"}'])
def test_a_memory_that_does_not_hold_what_was_written_says_nothing(left: str, asked: List[Work], tmp_path: Path) -> None:
    gate.ensure(CONTENDERS["caffe2"], WORK, NOBODY)
    memory, = tmp_path.rglob("*.json")
    memory.write_text(left)
    assert not gate.passed(CONTENDERS["caffe2"], WORK)
    gate.ensure(CONTENDERS["caffe2"], WORK, NOBODY)
    assert len(asked) == 2 and gate.passed(CONTENDERS["caffe2"], WORK)


def test_what_failed_is_refused_every_time(asked: List[Work], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(remembered.AT_START, "DNNL_MAX_CPU_ISA", "AVX2")
    monkeypatch.setattr(gate, "found", [*gate.found, Deviation((1, 104), "outputs", "testing logits", 0.7)])
    for times in (1, 2):
        with pytest.raises(UserError, match=(
                r"Caffe2 computes wrong numbers on this machine: in tdnn, testing logits \(outputs, 1 x 104 frames\) is off "
                r"by 7.0e-01 of its scale, where 1e-04 is allowed \(1 of 2 .*engine IDEEP.*DNNL_MAX_CPU_ISA=AVX2")):
            gate.ensure(CONTENDERS["caffe2"], WORK, NOBODY)
        assert len(asked) == times


def test_nothing_to_remember_with_is_no_failure(asked: List[Work], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    gate.ensure(CONTENDERS["caffe2"], WORK, NOBODY)
    gate.ensure(CONTENDERS["caffe2"], WORK, NOBODY)
    assert len(asked) == 2


def test_every_command_that_computes_asks_first(asked: List[Work], tiny_data: Path, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """With a framework that is wrong each ends before anything is written, with what is wrong."""
    from types import SimpleNamespace

    import compare
    from common.commands import evaluate, export, train
    from common.data.dataset import open_dataset
    from common.errors import friendly
    from common.training.checkpoint import save_checkpoint
    from common.training.config import TrainingConfig
    from common.training.loop import fresh

    monkeypatch.setattr(gate, "found", [Deviation((1, 104), "outputs", "testing logits", 0.7)])
    config = TrainingConfig(network="tdnn", width=0.02)
    model = tmp_path / "model.npz"
    save_checkpoint(model, fresh(config, open_dataset([tiny_data])))

    def load() -> Any:
        return SimpleNamespace(framework="Caffe2", package="caffe2_impl")

    load.__module__ = "caffe2_impl"  # by which the device is chosen
    monkeypatch.setattr(compare, "LOADS", {"tensorflow": load, "caffe2": load})
    def of(command: Any, *words: object) -> Callable[[], int]:
        return lambda: friendly(lambda argv: command.run("", load, argv))(list(map(str, words)))

    runs = [of(train, "--data", tiny_data, "--network", "tdnn", "--width", "0.02", "--batch-size", "8", "--out", tmp_path / "run"),
            of(evaluate, model, tiny_data), of(export, model, tmp_path / "a.onnx"),
            *(lambda words=words: compare.main([*words, "--data", str(tiny_data)]) for words in (
                ["predictions", str(model), str(model)], ["onnx", str(model), "--out", str(tmp_path / "o")],
                ["crossover", "--out", str(tmp_path / "c"), "--steps", "1"], ["mistakes", "--out", str(tmp_path / "m")])),
            lambda: compare.main(["profile", "--out", str(tmp_path / "p")]),
            lambda: compare.main(["scaling", "--out", str(tmp_path / "s")]),
            lambda: compare.main(["--out", str(tmp_path / "out"), "--convolutions", "default", "--data", str(tiny_data)])]
    for command in runs:
        asked.clear()
        assert command() == 2
        assert len(asked) in ((1, 2) if command is runs[-1] else (1,)), "the first stops it; a comparison asks both side by side"
        assert "computes wrong numbers on this machine: in " in capsys.readouterr().err
    assert not list(tmp_path.glob("*/*.md")) and not (tmp_path / "a.onnx").exists()


def test_on_demand_nothing_is_taken_from_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from compare import main

    right = Deviation((3, 117), "outputs", "conv1", 1e-6)

    def run(fails: str) -> int:
        def fake(contender: Any, works: List[Work], workers: Any) -> List[SelfCheck]:
            if contender.key == "tensorflow-direct" and fails == "dies":
                raise UserError("the worker ended with status -4")
            wrong = [Deviation((1, 104), "outputs", "testing logits", float("nan"))] * (contender.key == fails)
            return [SelfCheck(contender, work.network, {"engine": f"kernels of {contender.key}"}, [right, *wrong]) for work in works]

        monkeypatch.setattr(gate, "selfcheck", fake)
        return main(["selfcheck"])

    assert run("nobody") == 0
    out = capsys.readouterr().out
    assert out.count(" right") == 8 and "engine kernels of caffe2-direct" in out and "WRONG" not in out
    assert run("caffe2") == 1
    assert capsys.readouterr().out.count("WRONG, 1 tensors") == 2
    assert run("dies") == 1
    out = capsys.readouterr().out
    assert "DID NOT RUN" in out and "status -4" in out and out.count(" right") == 6
