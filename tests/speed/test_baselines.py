"""Baselines are the same network as the twins: same logits, same losses over steps that need momentum and decay."""
from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import numpy_twin
import pytest
from commands import PROJECT
from matplotlib.colors import is_color_like
from small_networks import drawn_params

from common.compare.verdict import STEP_LIMITS
from common.contenders import CONTENDERS, FRAMEWORKS
from common.network import params as parameters
from common.network.optimizer import SGD
from common.network.params import Params
from common.proof.step_difference import StepDifference
from common.speed import bench as module
from common.speed import onnx_baseline
from common.speed.bench import Bench, Work, random_batch
from common.speed.convolutions import as_known
from common.speed.engine import RATE, twin_engine
from common.twin import Twin

NETWORKS = {"vgg_m": Work("vgg_m", 5, 0.03, 130, 6), "tdnn": Work("tdnn", 5, 0.05, 60, 6, label_smoothing=0.3)}
KERAS_AND_TORCH = ["tf_impl.baseline", "caffe2_impl.baseline"]
TWINS = ["tf_impl", "caffe2_impl"]
BASELINES = [*KERAS_AND_TORCH, *TWINS]


def evidence(bench: Bench, work: Work) -> Dict[str, Any]:
    bench.build(dataclasses.asdict(work))
    return bench.evidence(4, 0.01)


def direct(module: str, network: str) -> Work:
    """By a framework's own convolutions alone: a baseline has no others."""
    work = NETWORKS[network]
    return as_known(next(row for row in CONTENDERS.values() if row.own_of and row.implementation == module), work) \
        if module in TWINS else work


def bench_of(module: str) -> Bench:
    """A twin's or a baseline's. Threads of a framework that runs already cannot be set again."""
    loaded = importlib.import_module(module).load()
    engine = twin_engine(loaded) if module in TWINS else loaded
    return Bench(lambda: dataclasses.replace(engine, configure=lambda device, threads: None))


@functools.lru_cache(maxsize=None)
def evidence_of(module: str, network: str, own: bool) -> Dict[str, Any]:
    """Once of each, however many others it is held against."""
    return evidence(bench_of(module), direct(module, network) if own else NETWORKS[network])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("baseline", BASELINES)
def test_same_logits_and_losses_as_a_twin(network: str, twin: Twin, baseline: str) -> None:
    own, other = evidence_of(twin.package, network, False), evidence_of(baseline, network, True)
    assert np.abs(np.subtract(own["logits"], other["logits"])).max() < 1e-4 * np.abs(own["logits"]).max()
    assert own["losses"] == pytest.approx(other["losses"], rel=1e-4)
    assert abs(own["losses"][3] / own["losses"][0] - 1) > 0.05, "an update that shows"


def test_every_contender_can_be_asked_for_named_and_drawn() -> None:
    assert all(row.key == key for key, row in CONTENDERS.items()) and set(FRAMEWORKS) == {"tensorflow", "caffe2"}
    for row in CONTENDERS.values():
        assert importlib.util.find_spec(row.module) and importlib.util.find_spec(row.package), row.key
        assert row.own_of in (None, *FRAMEWORKS) and is_color_like(row.colour), row.key
    looks = [(row.label, row.colour, row.hatch, row.marker) for row in CONTENDERS.values()]
    assert all(len(set(each)) == len(each) for each in zip(*looks)), "told apart, in grey print too"


@pytest.mark.parametrize("package", TWINS)
def test_direct_is_a_twin_with_its_frameworks_own_convolutions(package: str) -> None:
    """The same to rounding, and not to the bit: the twin's first layer is by Winograd, the baseline's is not."""
    works, benches = (NETWORKS["tdnn"], direct(package, "tdnn")), [bench_of(package) for _ in range(2)]
    ways = [bench.build(dataclasses.asdict(work))["facts"]["algorithm"] for bench, work in zip(benches, works)]
    assert ways[0].startswith("Winograd, 8 points: frame1, ") and ways[1] == "direct"
    own, other = (np.array(bench.evidence(1, 0.01)["logits"]) for bench in benches)
    assert 0 < np.abs(own - other).max() < 1e-4 * np.abs(own).max()


@pytest.mark.parametrize("network", NETWORKS)
def test_onnx_runtime_on_an_export(network: str, twin: Twin, tmp_path: Path) -> None:
    work, path, bench = NETWORKS[network], tmp_path / "network.onnx", bench_of(twin.package)
    bench.build(dataclasses.asdict(work))
    twin.model(work.spec, parameters.initialise(work.spec, work.seed), SGD()).export_onnx(path)
    other = evidence(Bench(lambda: onnx_baseline.engine(path)), work)
    own = bench.evidence(1, 0.01)
    assert np.abs(np.subtract(own["logits"], other["logits"])).max() < 1e-4 * np.abs(own["logits"]).max()
    assert other["losses"] == [] and other["first_step_seconds"] > 0


@pytest.mark.parametrize("baseline, twin", [
    *(("onnx", name) for name in TWINS), *((name, "caffe2_impl") for name in BASELINES)], indirect=["twin"])
def test_what_was_timed_can_be_held_against_others(baseline: str, twin: Twin, tmp_path: Path) -> None:
    """By the timed steps, with parameters that a twin hands over, whatever training has made of its own."""
    work, params, export = NETWORKS["vgg_m"], tmp_path / "params.npz", tmp_path / "network.onnx"
    model = twin.model(work.spec, parameters.initialise(work.spec, work.seed), SGD())
    model.export_onnx(export)
    bench = Bench(lambda: onnx_baseline.engine(export)) if baseline == "onnx" else bench_of(baseline)
    bench.build(dataclasses.asdict(work if baseline == "onnx" else direct(baseline, "vgg_m")))
    bench.evidence(2, 0.01)
    model.stage(bench.batch.spectrograms, bench.batch.speakers)
    before = model.predict_staged()
    for _ in range(3):
        model.train_staged(0.01)
    after = model.predict_staged()
    parameters.save(params, params=model.params())
    model.export_onnx(export)
    said = np.array(bench.answer(str(params))["logits"])
    assert said.shape == after.shape and np.abs(said - after).max() < 1e-4 * np.abs(after).max()
    assert np.abs(after - before).max() > 1e-2 * np.abs(after).max(), "steps that show"
    several = np.asarray(bench.runner.run("inference", 3, lambda: None))
    assert np.abs(several - said).max() < 1e-4 * np.abs(after).max(), "the last of several"


def test_a_runner_that_computes_nothing_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of("tf_impl.baseline")
    bench.build(dataclasses.asdict(NETWORKS["tdnn"]))
    parameters.save(tmp_path / "params.npz", params=parameters.initialise(NETWORKS["tdnn"].spec, 0))
    monkeypatch.setattr(bench.runner, "run", lambda kind, steps, tick: None)
    assert np.isnan(bench.answer(str(tmp_path / "params.npz"))["logits"])


def test_keras_is_as_it_comes_however_its_owner_has_set_it_up(tmp_path: Path) -> None:
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"floatx": "float64", "image_data_format": "channels_first"}')
    code = ("import tf_impl.baseline, keras; from keras.src.backend import config; "
            "print(keras.config.floatx(), keras.config.image_data_format(), keras.backend.backend(), config.max_steps_per_epoch())")
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, env={
        **os.environ, "KERAS_BACKEND": "numpy", "KERAS_MAX_STEPS_PER_EPOCH": "1", "HOME": str(tmp_path)})
    assert done.stdout.split() == ["float32", "channels_last", "tensorflow", "None"], done.stderr


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_tick_for_every_step_and_none_for_the_call(baseline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)
    bench = bench_of(baseline)
    bench.build(dataclasses.asdict(direct(baseline, "tdnn")))
    for kind, steps in (("training", 3), ("inference", 3), ("latency", 2)):
        assert len(bench.time(kind, steps)["seconds"]) == steps


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.usefixtures("tensorflow")
def test_weight_decay_is_a_twins(network: str) -> None:
    """So large, and of parameters that are not neutral: twice of it, or some on biases and scales, shows in the losses."""
    work, losses = NETWORKS[network], []
    params, batch = drawn_params(work.spec), random_batch(work, 0)
    for engine in twin_engine(numpy_twin.load()), *(importlib.import_module(name).load() for name in KERAS_AND_TORCH):
        runner = engine.runner(work.spec, params, SGD(weight_decay=0.5))
        runner.stage(batch.spectrograms, batch.speakers)
        losses.append([runner.loss(0.05) for _ in range(3)])
    for name, own in zip(KERAS_AND_TORCH, losses[1:]):
        assert own == pytest.approx(losses[0], rel=1e-4), name


def test_onnx_runtime_multiplies_matrices_too(tmp_path: Path) -> None:
    """It is held to lesser kernels by no variable, and would be called too quick beside products of those that are."""
    found = onnx_baseline.engine(tmp_path / "none.onnx").matmul(64)()
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal((64, 64), np.float32) for _ in range(2))
    assert np.allclose(found[0], a @ b, atol=1e-4)


@functools.lru_cache(maxsize=None)
def first_steps(network: str) -> Dict[str, Params]:
    """A state to step from: that of the NumPy twin after two steps."""
    work = NETWORKS[network]
    runner, batch = twin_engine(numpy_twin.load()).runner(work.spec, parameters.initialise(work.spec, work.seed), SGD()), random_batch(work, 0)
    runner.stage(batch.spectrograms, batch.speakers)
    for _ in range(2):
        runner.loss(RATE)
    return {"params": runner.params(), "momenta": runner.momenta()}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("baseline", BASELINES)
def test_a_timed_step_is_the_references(network: str, baseline: str, tmp_path: Path) -> None:
    work, bench, before, after = NETWORKS[network], bench_of(baseline), tmp_path / "before.npz", tmp_path / "after.npz"
    state = first_steps(network)
    parameters.save(before, **state)
    bench.build(dataclasses.asdict(work))
    for way in (False, True):  # at first nothing was timed, and what it is goes along
        told = bench.step(str(before), str(after))
        assert (told["way"] > 0) and (told["way"] == pytest.approx(1, rel=1e-3)) is way
    right = twin_engine(numpy_twin.load()).runner(work.spec, state["params"], SGD())
    right.load(state["params"], state["momenta"])
    right.stage(bench.batch.spectrograms, bench.batch.speakers)
    right.loss(RATE)
    difference = StepDifference.of(work.spec, state, {"params": right.params(), "momenta": right.momenta()},
                                   parameters.load(after), RATE, variances=baseline in TWINS)
    assert all(getattr(difference, part) < limit for part, (_, limit) in STEP_LIMITS.items()), difference
