"""The float64 reference against SciPy, naive loops and numerical differences."""
import numpy as np
import pytest
import scipy.signal
import scipy.special
from numpy_twin import loss_and_gradients, train_step
from small_networks import drawn_params

from common.errors import UserError
from common.network import architectures, reference
from common.network import params as params_module
from common.network.layers import (
    LAYER_TYPES,
    AveragePool,
    BatchNorm,
    BinsAsChannels,
    Convolution,
    Dense,
    MaxPool,
    NetworkSpec,
    Relu,
    StatisticsPool,
)
from common.network.optimizer import SGD
from common.network.reference_layers import LAYERS, running_statistics

MAP = (3, 4, 9, 8)  # batch, channels, height, width
VECTOR = (6, 5)  # batch, channels

# Name of a case -> the layer, the shape of its input, the shape of each of its tensors.
CONV_SHAPES = {"weight": (5, 4, 3, 2), "bias": (5,)}
NORM = ("scale", "shift", "running_mean", "running_variance")
CASES = {
    "bins_as_channels": (BinsAsChannels("l"), (2, 1, 6, 5), {}),
    "convolution": (Convolution("l", 5, (3, 2)), MAP, CONV_SHAPES),
    "convolution_padded": (Convolution("l", 5, (3, 2), padding=(2, 1)), MAP, CONV_SHAPES),
    "convolution_strided": (Convolution("l", 5, (3, 2), (2, 3), (1, 1)), MAP, CONV_SHAPES),
    "convolution_uneven": (
        Convolution("l", 5, (3, 2), (2, 2), (0, 1), padding_after=(2, 0)), MAP, CONV_SHAPES),
    "convolution_dilated": (Convolution("l", 5, (3, 2), (1, 2), (1, 0), (2, 3)), MAP, CONV_SHAPES),
    "batch_norm_of_maps": (BatchNorm("l"), MAP, {role: (4,) for role in NORM}),
    "batch_norm_of_vectors": (BatchNorm("l", 0.1), VECTOR, {role: (5,) for role in NORM}),
    "relu": (Relu("l"), MAP, {}),
    "max_pool_overlapping": (MaxPool("l", (3, 3), (2, 2)), MAP, {}),
    "max_pool_apart": (MaxPool("l", (2, 3), (4, 3)), MAP, {}),
    "average_pool": (AveragePool("l"), MAP, {}),
    "statistics_pool": (StatisticsPool("l"), MAP, {}),
    "dense": (Dense("l", 7), VECTOR, {"weight": (7, 5), "bias": (7,)}),
}


def drawn(case):
    """The case's layer, a random input, and random tensors (variances positive)."""
    layer, shape, roles = CASES[case]
    random = np.random.default_rng(1)
    weights = {role: random.standard_normal(size) for role, size in roles.items()}
    if "running_variance" in weights:
        weights["running_variance"] = np.exp(weights["running_variance"])
    return layer, random.standard_normal(shape), weights


def numerical_gradient(function, at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a scalar function of `at`, which is changed in place and restored."""
    gradient = np.empty_like(at)
    for index in np.ndindex(*at.shape):
        middle = at[index]
        values = []
        for at[index] in (middle + step, middle - step):
            values.append(function())
        at[index] = middle
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("case", CASES)
def test_every_gradient_is_the_numerical_one(case):
    layer, x, weights = drawn(case)
    forward, backward = LAYERS[type(layer)]
    dy = np.random.default_rng(2).standard_normal(forward(layer, weights, x, True).shape)

    def weighted_output() -> float:
        return float((dy * forward(layer, weights, x, True)).sum())

    dx, gradients = backward(layer, weights, x, dy)
    np.testing.assert_allclose(dx, numerical_gradient(weighted_output, x), rtol=1e-6, atol=1e-7)
    assert set(gradients) == {role for role in weights if not role.startswith("running")}
    for role, gradient in gradients.items():
        np.testing.assert_allclose(gradient, numerical_gradient(weighted_output, weights[role]),
                                   rtol=1e-6, atol=1e-7, err_msg=role)


def test_every_layer_type_has_a_builder_and_a_gradient_case():
    assert set(LAYERS) == set(LAYER_TYPES)
    assert {type(layer) for layer, _, _ in CASES.values()} == set(LAYER_TYPES)


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("convolution")])
def test_convolution_is_scipys_cross_correlation(case):
    layer, x, weights = drawn(case)
    down, right = layer.dilation
    padded = np.pad(x, ((0, 0), (0, 0), *layer.pads))
    out, channels, height, width = weights["weight"].shape
    holed = np.zeros((out, channels, down * (height - 1) + 1, right * (width - 1) + 1))
    holed[:, :, ::down, ::right] = weights["weight"]  # dilation is a kernel with holes
    everywhere = np.array([[scipy.signal.correlate(one, kernel, mode="valid", method="direct")[0]
                            for kernel in holed] for one in padded])
    expected = everywhere[:, :, ::layer.stride[0], ::layer.stride[1]]
    expected += weights["bias"][:, None, None]
    y = LAYERS[Convolution][0](layer, weights, x, False)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ["max_pool_overlapping", "max_pool_apart"])
def test_max_pool_is_the_naive_loop(case):
    layer, x, _ = drawn(case)
    (height, width), (down, right) = layer.kernel, layer.stride
    rows = range(0, x.shape[2] - height + 1, down)
    columns = range(0, x.shape[3] - width + 1, right)
    expected = [[x[:, :, i:i + height, j:j + width].max(axis=(2, 3)) for j in columns]
                for i in rows]
    y = LAYERS[MaxPool][0](layer, {}, x, False)
    np.testing.assert_array_equal(y, np.moveaxis(np.array(expected), (0, 1), (2, 3)))


def test_max_pool_gives_a_tied_gradient_to_the_first_maximum_once():
    dx, _ = LAYERS[MaxPool][1](MaxPool("l", (2, 2), (2, 2)), {}, np.ones((1, 1, 2, 2)),
                               np.full((1, 1, 1, 1), 5.0))
    np.testing.assert_array_equal(dx[0, 0], [[5, 0], [0, 0]])


def test_pooling_over_positions_gives_mean_and_deviation():
    _, x, _ = drawn("statistics_pool")
    y = LAYERS[StatisticsPool][0](StatisticsPool("l", epsilon=0.5), {}, x, False)
    flat = x.reshape(3, 4, -1)
    np.testing.assert_allclose(y[:, :4], flat.mean(axis=2))
    np.testing.assert_allclose(y[:, 4:], np.sqrt(flat.std(axis=2) ** 2 + 0.5))
    np.testing.assert_allclose(LAYERS[AveragePool][0](AveragePool("l"), {}, x, False), y[:, :4])


def test_statistics_pool_of_a_constant_channel_has_a_finite_gradient():
    layer, x = StatisticsPool("l"), np.ones((2, 1, 3, 3))
    dx, _ = LAYERS[StatisticsPool][1](layer, {}, x, np.ones((2, 2)))
    np.testing.assert_allclose(dx, 1 / 9)


def test_batch_norm_uses_the_batch_to_train_and_the_running_statistics_to_test():
    layer, x, weights = drawn("batch_norm_of_maps")
    weights["scale"], weights["shift"] = np.full(4, 2.0), np.full(4, 3.0)
    training = LAYERS[BatchNorm][0](layer, weights, x, True)
    np.testing.assert_allclose(training.mean(axis=(0, 2, 3)), 3)
    np.testing.assert_allclose(training.std(axis=(0, 2, 3)), 2, rtol=1e-4)
    testing = LAYERS[BatchNorm][0](layer, weights, x, False)
    mean, variance = weights["running_mean"][1], weights["running_variance"][1]
    np.testing.assert_allclose(testing[0, 1], 2 * (x[0, 1] - mean) / np.sqrt(variance + 1e-5) + 3)


def test_running_statistics_keep_nine_tenths_and_take_the_unbiased_variance():
    layer, x, weights = drawn("batch_norm_of_maps")
    new = running_statistics(layer, weights, x)
    channels = np.moveaxis(x, 1, 0).reshape(4, -1)
    np.testing.assert_allclose(
        new["running_mean"], 0.9 * weights["running_mean"] + 0.1 * channels.mean(axis=1))
    np.testing.assert_allclose(
        new["running_variance"],
        0.9 * weights["running_variance"] + 0.1 * channels.var(axis=1, ddof=1))


def test_batch_norm_refuses_to_normalise_one_value():
    with pytest.raises(UserError, match="l cannot normalise a single value"):
        LAYERS[BatchNorm][0](BatchNorm("l"), {}, np.ones((1, 5)), True)


def test_cross_entropy_is_scipys_and_its_gradient_numerical():
    random = np.random.default_rng(3)
    scores, speakers = random.standard_normal((4, 6)), np.array([5, 0, 2, 2])
    loss, gradient = reference.cross_entropy(scores, speakers)
    picked = scipy.special.log_softmax(scores, axis=1)[np.arange(4), speakers]
    assert loss == pytest.approx(-picked.mean(), rel=1e-12)
    numerical = numerical_gradient(lambda: reference.cross_entropy(scores, speakers)[0], scores)
    np.testing.assert_allclose(gradient, numerical, atol=1e-8)


def test_smoothed_cross_entropy_is_that_of_its_targets_and_its_gradient_numerical():
    random = np.random.default_rng(3)
    scores, speakers = random.standard_normal((4, 6)), np.array([5, 0, 2, 2])
    loss, gradient = reference.cross_entropy(scores, speakers, 0.05)
    targets = np.where(np.eye(6), 0.75, 0.05)[speakers]
    assert loss == pytest.approx(-(targets * scipy.special.log_softmax(scores, axis=1)).sum(axis=1).mean(), rel=1e-12)
    numerical = numerical_gradient(lambda: reference.cross_entropy(scores, speakers, 0.05)[0], scores)
    np.testing.assert_allclose(gradient, numerical, atol=1e-8)


@pytest.mark.parametrize("num_speakers", [2, 35, 462, 1211, 1251, 5994])
def test_smoothed_targets_add_up_to_one_in_single_precision(num_speakers):
    """Value by value, as Caffe2 adds them up; it refuses what is off by 1e-5."""
    spec = architectures.build("tdnn", num_speakers, 0.05, 0.1)
    assert spec.other_target == pytest.approx(0.1 / num_speakers, rel=0.005)
    row = np.full(num_speakers, spec.other_target, np.float32)
    row[num_speakers // 2] = spec.own_target
    assert np.cumsum(row)[-1] == 1 and np.cumsum(row[::-1])[-1] == 1


def test_cross_entropy_of_huge_scores_stays_finite():
    loss, gradient = reference.cross_entropy(np.array([[1e4, -1e4]]), np.array([1]))
    assert loss == pytest.approx(2e4) and np.isfinite(gradient).all()


# A network small enough for numerical gradients of every parameter.
NETWORK = NetworkSpec("small", (
    Convolution("conv", 2, (9, 5), stride=(60, 3), padding=(2, 1)), BatchNorm("conv_bn"),
    Relu("conv_relu"), MaxPool("pool", (2, 2), (2, 2)), StatisticsPool("stats"),
    Dense("hidden", 3), BatchNorm("hidden_bn"), Relu("hidden_relu"), Dense("scores", 3)), 3)


def small_batch(frames: int = 20):
    random = np.random.default_rng(4)
    return random.standard_normal((4, 512, frames)).astype(np.float32), np.array([2, 0, 1, 1])


def test_whole_networks_gradients_are_numerical():
    spectrograms, speakers = small_batch()
    params = {name: value.astype(np.float64)
              for name, value in params_module.initialise(NETWORK, seed=5).items()}
    result = loss_and_gradients(NETWORK, params, spectrograms, speakers)

    def loss() -> float:
        outputs = reference.forward(NETWORK, params, spectrograms, training=True)
        return reference.cross_entropy(reference.logits(NETWORK, outputs), speakers)[0]

    assert result.loss == loss()
    assert list(result.gradients) == [p.name for p in NETWORK.parameters() if p.trainable]
    for name, gradient in result.gradients.items():
        np.testing.assert_allclose(gradient, numerical_gradient(loss, params[name]), rtol=1e-5,
                                   atol=1e-8, err_msg=name)


@pytest.mark.parametrize("frames", [20, 33])
def test_forward_names_every_layer_with_the_shape_of_the_spec(frames):
    outputs = reference.forward(NETWORK, params_module.initialise(NETWORK),
                                small_batch(frames)[0], training=False)
    assert {name: y.shape for name, y in outputs.items()} == {
        step.layer.name: (4, *step.output_shape) for step in NETWORK.steps(frames)}
    assert all(y.dtype == np.float64 for y in outputs.values())


def test_single_precision_shows_the_rounding_and_nothing_else():
    params, (spectrograms, speakers) = params_module.initialise(NETWORK, seed=5), small_batch()
    single = reference.forward(NETWORK, params, spectrograms, training=True, dtype=np.float32)
    double = reference.forward(NETWORK, params, spectrograms, training=True)
    assert all(y.dtype == np.float32 for y in single.values())
    assert any((single[name] != double[name]).any() for name in double)
    for name, y in double.items():
        np.testing.assert_allclose(single[name], y, rtol=0, atol=2e-6 * np.abs(y).max())
    _, gradients, _ = loss_and_gradients(NETWORK, params, spectrograms, speakers,
                                                   dtype=np.float32)
    assert all(gradient.dtype == np.float32 for gradient in gradients.values())


def test_train_step_is_the_written_formula():
    spectrograms, speakers = small_batch()
    params = drawn_params(NETWORK, seed=6)  # a bias of zero would hide its decay
    random = np.random.default_rng(7)
    momenta = {p.name: random.standard_normal(p.shape) for p in NETWORK.parameters() if p.trainable}
    loss, gradients, running = loss_and_gradients(NETWORK, params, spectrograms, speakers)
    stepped_loss, new, new_momenta = train_step(
        NETWORK, params, momenta, spectrograms, speakers, 0.1, SGD(momentum=0.8, weight_decay=0.5))
    assert stepped_loss == loss
    assert list(new) == list(params)
    for name, gradient in gradients.items():
        decay = 0.5 * params[name] if name.endswith("/weight") else 0
        momentum = 0.8 * momenta[name] + 0.1 * (gradient + decay)
        np.testing.assert_allclose(new_momenta[name], momentum, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(new[name], params[name] - momentum, rtol=1e-12, err_msg=name)
    for name, statistic in running.items():
        np.testing.assert_array_equal(new[name], statistic)


def test_steps_on_one_batch_are_deterministic_and_lower_the_loss():
    def losses():
        spectrograms, speakers = small_batch()
        params, momenta = params_module.initialise(NETWORK), params_module.zeros(NETWORK)
        for _ in range(20):
            loss, params, momenta = train_step(
                NETWORK, params, momenta, spectrograms, speakers, 0.05, SGD())
            yield loss

    first, again = list(losses()), list(losses())
    assert first == again
    assert first[-1] < 0.5 * first[0]


def test_callers_arrays_are_left_alone():
    spectrograms, speakers = small_batch()
    params, momenta = params_module.initialise(NETWORK), params_module.zeros(NETWORK)
    before = [params_module.fingerprint(group) for group in (params, momenta)]
    spectrograms.flags.writeable = speakers.flags.writeable = False
    train_step(NETWORK, params, momenta, spectrograms, speakers, 0.1, SGD())
    assert before == [params_module.fingerprint(group) for group in (params, momenta)]


def test_bad_inputs_are_clear_errors():
    params = params_module.initialise(NETWORK)
    with pytest.raises(ValueError, match=r"\(N, 512, frames\)"):
        reference.forward(NETWORK, params, np.zeros((2, 300, 512), np.float32), training=False)
    with pytest.raises(UserError, match="small cannot take 3 frames"):
        reference.forward(NETWORK, params, np.zeros((2, 512, 3), np.float32), training=False)
