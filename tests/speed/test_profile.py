"""Profiles: every operator finds its layer and phase, and tables and plots say what was measured."""
from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from commands import run
from small_networks import SPECS, drawn_batch, drawn_params
from studies import made_profile

from common.network.architectures import build
from common.network.layers import BatchNorm, Convolution, Dense, MaxPool
from common.network.optimizer import SGD
from common.speed.engine import BACKWARD, FORWARD
from common.show.profile import rows_of_layers
from common.speed.profile import LOSS, OUTSIDE, PHASES, Profile, layer_of, operations, weighted_layer
from common.twin import Twin


@pytest.mark.parametrize("name", list(SPECS)[:2])
def test_every_operator_of_a_training_step_has_its_place(twin: Twin, name: str) -> None:
    spec = SPECS[name]
    model = twin.model(spec, drawn_params(spec), SGD())
    model.stage(*drawn_batch())
    before = model.params()
    operators = twin.profile(model, True, 2)
    rows = {layer.name for layer in spec.layers} | set(OUTSIDE)
    assert {op.layer for op in operators} <= rows and {op.phase for op in operators} == set(PHASES)
    assert all(op.seconds >= 0 for op in operators)
    profile = Profile(operators, 1.0)
    for layer in spec.layers:
        trained = isinstance(layer, (Convolution, Dense, BatchNorm))
        for phase in PHASES if trained else (FORWARD, BACKWARD) if isinstance(layer, MaxPool) else ():
            assert profile.total(layer.name, phase) > 0, (layer.name, phase)
    assert profile.total(LOSS) > 0
    assert profile.total("other") < 0.2 * sum(op.seconds for op in operators)
    for p in spec.parameters():  # the rate was 0
        if p.trainable:
            np.testing.assert_array_equal(model.params()[p.name], before[p.name])


def test_a_prediction_is_all_forward_and_its_fused_operators_are_the_convolutions(twin: Twin) -> None:
    spec = SPECS["over_maps"]
    model = twin.model(spec, drawn_params(spec), SGD())
    model.stage(*drawn_batch())
    operators = twin.profile(model, False, 2)
    assert {op.phase for op in operators} == {FORWARD}
    profile = Profile(operators, 1.0)
    for layer in spec.layers:
        if isinstance(layer, (Convolution, Dense, MaxPool)):
            assert profile.total(layer.name) > 0, layer.name
    assert not any("onv" in op.operator for op in operators if op.layer.startswith(("relu", "bn")))


def test_the_operators_account_for_the_step(twin: Twin) -> None:
    """Not more than the clock saw and not much less; the clock is read beside it, so with room."""
    spec = build("tdnn", 4, 0.5)
    model = twin.model(spec, {p.name: np.zeros(p.shape, np.float32) for p in spec.parameters()}, SGD())
    model.stage(np.zeros((4, 512, 200), np.float32), np.zeros(4, np.int32))
    twin.profile(model, True, 1)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        model.train_staged(0.0)
        seconds.append(time.perf_counter() - start)
    covered = Profile(twin.profile(model, True, 5), float(np.median(seconds))).covered
    assert 0.4 < covered < 2.0


@pytest.mark.parametrize("name, layer", [
    ("conv1", "conv1"), ("conv1/weight_grad", "conv1"), ("conv1_bn_batch_mean", "conv1_bn"), ("conv1_bn/scale", "conv1_bn"),
    ("conv1_bnx", "conv1"), ("conv10/weight", None), ("loss", None), ("", None)])
def test_layer_of_a_name(name: str, layer: str) -> None:
    assert layer_of(name, ["conv1", "conv1_bn", "conv2"]) == layer


def test_a_fused_operator_works_for_the_convolution_before_it() -> None:
    spec = build("vgg_m", 4)
    assert [weighted_layer(name, spec) for name in ("conv1", "conv1_relu", "mpool1", "conv2_bn")] == \
        ["conv1", "conv1", "conv1", "conv2"]


def test_operations_count_the_backward_pass_twice_but_for_the_first_layer() -> None:
    spec = build("vgg_m", 50)
    work = operations(spec, 300, 16)
    assert sum(each[FORWARD] for each in work.values()) == 2 * 16 * spec.macs()
    assert work["conv1"][BACKWARD] == work["conv1"][FORWARD] and work["conv2"][BACKWARD] == 2 * work["conv2"][FORWARD]


def test_table() -> None:
    spec = build("tdnn", 50)
    rows = {row["layer"]: row for row in rows_of_layers(spec, {"tensorflow": made_profile(), "caffe2": made_profile(2.0)}, 300, 16)}
    assert list(rows)[-2:] == ["all operators", "step by the clock, ms"]
    first = rows["frame1"]
    assert (first["tensorflow forward"], first["caffe2 forward"], first["tensorflow update"]) == pytest.approx((10, 20, 2))
    assert first["tensorflow %"] == pytest.approx(84) and rows["loss"]["tensorflow %"] == pytest.approx(2)
    work = operations(spec, 300, 16)["frame1"]
    assert first["tensorflow GFLOP/s"] == pytest.approx((work[FORWARD] + work[BACKWARD]) / 0.040 / 1e9)
    assert rows["all operators"]["tensorflow %"] == pytest.approx(86) and rows["frame2"]["caffe2 forward"] is None
    assert rows["step by the clock, ms"]["tensorflow forward"] == pytest.approx(50)


def test_command(tmp_path: Path) -> None:
    done = run("compare.py", "profile", "--networks", "tdnn", "--width", "0.05", "--batch-size", "2", "--frames", "60",
               "--steps", "1", "--threads", "1", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profile.json", "profile.md", "tdnn.png"]
    text = (tmp_path / "profile.md").read_text()
    assert "## tdnn, training" in text and "| segment7 " in text and text in done.stdout
    stored = json.loads((tmp_path / "profile.json").read_text())["networks"]["tdnn"]["inference"]["caffe2"]
    assert stored["seconds"] > 0 and stored["operators"][0]["phase"] == "forward"


def test_command_refuses(tmp_path: Path) -> None:
    done = run("compare.py", "profile", "--networks", "tdnn", "--frames", "5", "--out", tmp_path)
    assert done.returncode == 2 and "tdnn cannot take 5 frames" in done.stderr
