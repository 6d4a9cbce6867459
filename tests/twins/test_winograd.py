"""Winograd convolutions: the matrices, which layers get them, and the same results as plain convolutions."""
from __future__ import annotations

import dataclasses
import importlib
import itertools
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import numpy as np
import pytest
from small_networks import SPEAKERS, assert_close, drawn_batch, drawn_params

from common.network import reference, reference_layers, winograd
from common.network.architectures import build
from common.network.layers import AveragePool, BinsAsChannels, Convolution, Dense, MaxPool, NetworkSpec
from common.network.optimizer import SGD
from common.network.tiles import layer_tables
from common.network.winograd import (
    DIRECT,
    Plan,
    algorithm,
    axes,
    candidates,
    default_plan,
    matrices,
    multiplications,
    read_algorithm,
    transforms,
)
from common.twin import Twin

TOLERANCE = 1e-5  # of the largest value

# What two axes and one allow: (taps, points).
SIZES = [(3, 6), (4, 6), (5, 6), (3, 8), (4, 8), (5, 8)]

# A layer beside (height, width, channels) of its input.
PLACED: Dict[str, Tuple[Convolution, Tuple[int, int, int]]] = {
    "3 x 3": (Convolution("c", 20, (3, 3)), (18, 22, 16)),
    "padding": (Convolution("c", 20, (3, 3), padding=(1, 1)), (30, 17, 32)),
    "the widest padding": (Convolution("c", 20, (3, 3), padding=(2, 2)), (7, 8, 16)),
    "more after than before": (Convolution("c", 20, (3, 3), padding=(0, 1), padding_after=(3, 2)), (11, 12, 16)),
    "more before than after": (Convolution("c", 20, (3, 3), padding=(2, 1), padding_after=(0, 0)), (11, 12, 16)),
    "stride of 2": (Convolution("c", 20, (5, 5), (2, 2), (1, 1)), (41, 37, 24)),
    "stride, even sizes": (Convolution("c", 20, (5, 5), (2, 2), (1, 1)), (26, 24, 16)),
    "stride, uneven padding": (Convolution("c", 20, (5, 5), (2, 2), (3, 0), padding_after=(0, 2)), (21, 20, 16)),
    "stride, an even kernel": (Convolution("c", 20, (6, 5), (2, 2), (3, 0)), (41, 37, 24)),
    "stride along one axis": (Convolution("c", 20, (3, 5), (1, 2), (2, 4)), (8, 9, 24)),
    "stride of 3": (Convolution("c", 20, (7, 9), (3, 3), (2, 5)), (32, 30, 16)),
    "dilation": (Convolution("c", 20, (3, 3), (1, 1), (0, 2), (2, 3)), (20, 30, 16)),
    "dilation wider than what it gives": (Convolution("c", 20, (3, 3), (1, 1), (0, 0), (4, 5)), (11, 13, 16)),
    "stride down, dilation right": (Convolution("c", 20, (5, 3), (2, 1), (1, 1), (1, 2)), (20, 21, 16)),
    "along time": (Convolution("c", 20, (1, 3)), (1, 60, 40)),
    "4 taps": (Convolution("c", 20, (1, 4), padding=(0, 3)), (3, 29, 16)),
    "5 taps": (Convolution("c", 20, (1, 5)), (1, 60, 40)),
    "along time, dilation": (Convolution("c", 20, (1, 3), dilation=(1, 3)), (1, 61, 40)),
    "along time, stride": (Convolution("c", 20, (1, 9), (1, 2), (0, 3)), (2, 45, 16)),
    "along frequency": (Convolution("c", 20, (5, 1), padding=(2, 0)), (33, 4, 16)),
    "less than a tile": (Convolution("c", 20, (3, 3)), (4, 5, 16)),
    "a single output": (Convolution("c", 20, (3, 3)), (3, 3, 16)),
    "a single output along time": (Convolution("c", 20, (1, 5), padding=(0, 0)), (1, 5, 16)),
    "inputs that no output sees": (Convolution("c", 20, (9, 9), (4, 4), (1, 1)), (14, 18, 16)),
}


def ways(layer: Convolution) -> Tuple[int, ...]:
    """With how many points a layer of this kind can be computed, had it channels enough to be worth it."""
    return candidates(dataclasses.replace(layer, channels=512), 512)


PLACED_WAYS = {f"{name}, {points} points": (layer, points, shape) for name, (layer, shape) in PLACED.items()
               for points in ways(layer)}


# The matrices

@pytest.mark.parametrize("taps, points", SIZES)
def test_the_matrices_make_a_convolution(taps: int, points: int) -> None:
    random, found = np.random.default_rng(taps), transforms(taps, points)
    assert [m.shape for m in found] == [(points - taps + 1, points), (points, taps), (points, points)]
    kernel, values = random.standard_normal(taps), random.standard_normal(points)
    np.testing.assert_allclose(found.outputs @ ((found.taps @ kernel) * (found.inputs @ values)),
                               np.correlate(values, kernel, "valid"), rtol=0, atol=1e-13)


@pytest.mark.parametrize("layer", [Convolution("c", 20, (3, 3)), Convolution("c", 20, (5, 6), (2, 2)),
                                   Convolution("c", 20, (3, 9), (1, 3)), Convolution("c", 20, (1, 7), (1, 2))], ids=str)
def test_both_axes_together_make_one_over_maps(layer: Convolution) -> None:
    """A tile of one channel: its points are added up over the phases of the stride."""
    random, (height, width) = np.random.default_rng(0), axes(layer, ways(layer)[-1])
    kernel = random.standard_normal(layer.kernel)
    values = random.standard_normal((height.points * height.stride, width.points * width.stride))
    phases = values.reshape(height.points, height.stride, width.points, width.stride).transpose(0, 2, 1, 3)
    outputs, inputs, to_points, turned = matrices(layer, (height, width))
    points = inputs @ phases.reshape(height.points * width.points, -1)
    made = outputs @ ((to_points @ kernel.ravel()).reshape(points.shape) * points).sum(1)
    down, right = layer.stride
    windows = np.lib.stride_tricks.sliding_window_view(values, layer.kernel)[::down, ::right]
    expected = (windows * kernel).sum((2, 3))[:height.outputs, :width.outputs]
    np.testing.assert_allclose(made.reshape(height.outputs, width.outputs), expected, rtol=0, atol=2e-6)
    assert to_points.shape == turned.shape and not np.array_equal(to_points, turned)


def test_a_single_point_is_an_axis_that_is_left_alone() -> None:
    assert [m.tolist() for m in transforms(1, 1)] == [[[1.0]]] * 3


# Which layers

@pytest.mark.parametrize("network, plan, text", [
    ("vgg_m", dict.fromkeys(("conv2", "conv3", "conv4", "conv5"), 6),
     "Winograd, 6 x 6 points: conv2, conv3, conv4, conv5; direct: conv1, fc6"),
    ("tdnn", dict.fromkeys(("frame1", "frame2", "frame3"), 8),
     "Winograd, 8 points: frame1, frame2, frame3; direct: frame4, frame5")])
def test_the_default_in_the_networks(network: str, plan: Plan, text: str) -> None:
    for width in (1.0, 0.25):
        spec = build(network, 50, width)
        assert default_plan(spec) == plan and algorithm(spec, plan) == text and algorithm(spec, {}) == "direct"
    assert default_plan(build(network, 50, width=0.02)) == {}, "with so few channels it costs more than it saves"


def test_what_a_plan_leaves_to_be_multiplied() -> None:
    spec = build("vgg_m", 50)
    macs = {step.layer.name: step.macs for step in spec.steps()}
    assert multiplications(spec, DIRECT) == spec.macs()
    # 16 outputs of 6 x 6 points in place of 9 taps; with a stride of 2 in place of 25, from four phases.
    assert multiplications(spec, {"conv3": 6}) == spec.macs() - macs["conv3"] * 3 // 4
    assert multiplications(spec, {"conv2": 6}) == pytest.approx(spec.macs() - macs["conv2"] * (1 - 4 * 36 / (16 * 25)), abs=1)


def test_layers_may_differ_in_their_points() -> None:
    assert algorithm(build("tdnn", 50), {"frame3": 6, "frame1": 8}) == (
        "Winograd, 8 points: frame1; Winograd, 6 points: frame3; direct: frame2, frame4, frame5")


@pytest.mark.parametrize("network", ["tdnn", "vgg_m"])
def test_every_plan_is_read_from_how_it_is_told(network: str) -> None:
    spec = build(network, 50)
    names, points = zip(*winograd.ways(spec).items())
    for each in itertools.product(*((0, *some) for some in points)):
        plan = {name: number for name, number in zip(names, each) if number}
        assert read_algorithm(spec, algorithm(spec, plan)) == plan


@pytest.mark.parametrize("text", ["", "fast", "Winograd, 8 points: frame1", "Winograd, 7 points: frame1; direct: frame2, frame3",
                                  "Winograd, 8 points: frame9; direct: frame1", "Winograd, 8 points: ", "direct: frame1"])
def test_what_tells_no_plan_of_the_network_is_none(text: str) -> None:
    assert read_algorithm(build("tdnn", 50), text) is None


@pytest.mark.parametrize("layer", [layer for layer, _ in PLACED.values()], ids=PLACED)
def test_all_layers_below_are_of_that_kind_given_channels_enough(layer: Convolution) -> None:
    assert ways(layer) == ((6,) if min(layer.kernel) > 1 else (6, 8)) and not candidates(layer, 1)
    points = ways(layer)[-1]
    for axis, kernel, stride in zip(axes(layer, points), layer.kernel, layer.stride):
        assert (axis.points, axis.stride) == (1 if kernel == 1 else points, stride)
        assert stride * (axis.taps - 1) < kernel <= stride * axis.taps
        assert axis.outputs == axis.points - axis.taps + 1 >= 1
        assert kernel == 1 or (axis.taps, axis.points) in SIZES


@pytest.mark.parametrize("layer", [
    Convolution("c", 20, (1, 1)),
    Convolution("c", 20, (2, 2)), Convolution("c", 20, (1, 2)), Convolution("c", 20, (3, 2)),  # too few taps
    Convolution("c", 20, (4, 4)), Convolution("c", 20, (3, 5)), Convolution("c", 20, (1, 6)), Convolution("c", 20, (9, 1)),
    Convolution("c", 20, (3, 3), stride=(2, 2)), Convolution("c", 20, (1, 3), stride=(1, 2)),  # two taps a phase
    Convolution("c", 20, (7, 7), stride=(2, 2)),  # four
    Convolution("c", 20, (5, 5), stride=(2, 2), dilation=(2, 2)),  # both at once
    Convolution("c", 20, (1, 3), stride=(2, 1)), Convolution("c", 20, (1, 3), padding=(1, 1)),
    Convolution("c", 20, (3, 3), padding=(3, 1)), Convolution("c", 20, (1, 3), padding=(0, 5), dilation=(1, 2)),
], ids=str)
def test_all_others_are_left_to_the_framework(layer: Convolution) -> None:
    assert not ways(layer)


# In TensorFlow

@pytest.fixture(scope="module")
def convolve() -> Callable[..., Callable]:
    """(layer, points, channels) -> a function that is traced once for all sizes: x, weight, dy -> y and both gradients."""
    tf_impl = importlib.import_module("tf_impl").load()
    tf_impl.configure("cpu", 1)
    tf, winograd = (importlib.import_module(name) for name in ("tensorflow", "tf_impl.winograd"))

    def make(layer: Convolution, points: int, channels: int) -> Callable:
        found = axes(layer, points)
        some = layer_tables(layer, found, 1, 30, 30, training=True)

        @tf.function(input_signature=[
            tf.TensorSpec((None, None, None, channels)),
            tf.TensorSpec((*layer.kernel, channels, layer.channels)),
            tf.TensorSpec((None, None, None, layer.channels)),
            {name: tf.TensorSpec((None,) * table.ndim, tf.int32) for name, table in some.items()}])
        def traced(x, weight, dy, tables):
            with tf.GradientTape() as tape:
                tape.watch([x, weight])
                y = winograd.convolve(layer, found, x, weight, tables)
            return [y, *tape.gradient(y, [x, weight], dy)]

        def run(x: np.ndarray, weight: np.ndarray, dy: np.ndarray) -> List:
            values = traced(x, weight, dy, layer_tables(layer, found, *x.shape[:3], training=True))
            assert traced.experimental_get_tracing_count() == 1
            return values

        return run

    return make


def assert_as_reference(run: Callable, layer: Convolution, shape: Tuple[int, ...]) -> None:
    """Values and both gradients on an input (N, height, width, channels) against float64."""
    random = np.random.default_rng(shape)
    x = random.standard_normal(shape, np.float32)
    weight = random.standard_normal((*layer.kernel, shape[3], layer.channels), np.float32)
    own = [x.transpose(0, 3, 1, 2).astype(float), weight.transpose(3, 2, 0, 1).astype(float)]  # NCHW, OIHW
    weights = {"weight": own[1], "bias": np.zeros(layer.channels)}
    y = reference_layers.convolution(layer, weights, own[0], True)
    dy = random.standard_normal(y.shape, np.float32)
    dx, d_weights = reference_layers.convolution_backward(layer, weights, own[0], dy.astype(float))
    expected = [y.transpose(0, 2, 3, 1), dx.transpose(0, 2, 3, 1), d_weights["weight"].transpose(2, 3, 1, 0)]
    for name, found, value in zip(("y", "dx", "dw"), run(x, weight, dy.transpose(0, 2, 3, 1)), expected):
        assert found.shape == value.shape, name
        assert np.abs(found.numpy() - value).max() < TOLERANCE * np.abs(value).max(), name


@pytest.mark.parametrize("layer, points, shape", PLACED_WAYS.values(), ids=PLACED_WAYS)
def test_values_and_gradients(convolve: Callable, layer: Convolution, points: int, shape: Tuple[int, int, int]) -> None:
    run = convolve(layer, points, shape[2])
    for batch in (1, 3):
        assert_as_reference(run, layer, (batch, *shape))


@pytest.mark.parametrize("name", ["padding", "stride of 2", "dilation", "along time, dilation", "5 taps"])
def test_one_traced_function_takes_any_size(convolve: Callable, name: str) -> None:
    layer, (height, _, channels) = PLACED[name]
    run = convolve(layer, ways(layer)[-1], channels)
    for batch, width in ((2, 40), (2, 41), (1, 42), (4, 11), (2, 40)):
        assert_as_reference(run, layer, (batch, height, width, channels))


# In whole networks, of either framework

WIDE = {
    "maps": NetworkSpec("maps", (
        Convolution("conv1", 16, (7, 7), (8, 4), (1, 1)), MaxPool("pool1", (3, 3), (2, 1)),
        Convolution("conv2", 16, (5, 5), (2, 2), (1, 1)), Convolution("conv3", 18, (3, 3), padding=(1, 1)),
        Convolution("fc4", 16, (9, 1)), AveragePool("pool4"), Dense("logits", SPEAKERS)), SPEAKERS),
    "time": NetworkSpec("time", (
        BinsAsChannels("bins"), Convolution("frame1", 16, (1, 5)), Convolution("frame2", 18, (1, 3), dilation=(1, 3)),
        AveragePool("pool"), Dense("logits", SPEAKERS)), SPEAKERS),
}


# Every layer in every way, beside others in the same way, in another, and directly.
PLANS: Dict[str, Tuple[Plan, ...]] = {
    "maps": ({}, {"conv2": 6, "conv3": 6}, {"conv3": 6}, {"conv2": 6}),
    "time": ({}, {"frame1": 8, "frame2": 8}, {"frame1": 6, "frame2": 8}, {"frame2": 6}, {"frame1": 8}),
}


@pytest.fixture(params=WIDE)
def spec(request: pytest.FixtureRequest) -> NetworkSpec:
    return WIDE[request.param]


@pytest.mark.parametrize("network, plan", [(name, plan) for name, plans in PLANS.items() for plan in plans], ids=str)
def test_networks_train_and_predict_as_the_reference(twin: Twin, network: str, plan: Plan) -> None:
    spec = WIDE[network]
    params = drawn_params(spec)
    model = twin.model(spec, params, SGD(), plan=plan)
    assert model.facts()["algorithm"] == algorithm(spec, plan)
    for size, frames in ((4, 100), (1, 137)):
        batch = drawn_batch(size, frames)
        outputs = reference.forward(spec, params, batch[0], training=True)
        found = model.inspect(*batch)
        assert_close(found.outputs, outputs, TOLERANCE)
        assert_close(found.gradients, reference.backward(spec, params, *batch, outputs).gradients, TOLERANCE)
        model.stage(*batch)
        assert_close({"logits": model.predict_staged()}, {"logits": reference.logits(spec, outputs)}, TOLERANCE)


def test_facts_tell_layouts(spec: NetworkSpec) -> None:
    caffe2 = importlib.import_module("caffe2_impl").load()
    caffe2.configure("cpu", 1)
    layouts = [caffe2.model(spec, drawn_params(spec), SGD(), plan=plan).facts()["layout"]
               for plan in (PLANS[spec.name][1], {})]
    assert layouts == ["NCHW, Winograd NHWC", "NCHW"]


def test_exports_hold_plain_convolutions(twin: Twin, spec: NetworkSpec, tmp_path: Path) -> None:
    import onnx

    layers = [layer for layer in spec.layers if isinstance(layer, Convolution)]
    twin.model(spec, drawn_params(spec), SGD(), plan=PLANS[spec.name][1]).export_onnx(tmp_path / "network.onnx")
    nodes = [node.op_type for node in onnx.load(str(tmp_path / "network.onnx")).graph.node]
    assert nodes.count("Conv") == len(layers) and "Gather" not in nodes
