"""Both twins stay with the reference over several steps, far closer than any classic mistake would.

The tolerance is only worth something beside what a mistake does: each one is made in the reference,
and its effect has to be several times the tolerance.
"""
from dataclasses import replace
from typing import Callable, Dict, List, Tuple

import numpy as np
import pytest
from small_networks import SPECS, drawn_batch, drawn_params, relative_errors

from common import params as parameters
from common import reference
from common.layers import BatchNorm, Convolution, NetworkSpec, Parameter
from common.optimizer import SGD
from common.reference_layers import LAYERS

TOLERANCE = 1e-4  # of a tensor's scale, after all steps
MARGIN = 5  # times the tolerance: the least effect of a mistake
LEARNING_RATES = np.geomspace(0.05, 0.01, 10)
Training = Tuple[List[float], parameters.Params]  # loss of every step, parameters after the last


def drawn_batches() -> List[Tuple[np.ndarray, np.ndarray]]:
    """One batch a step, from seeds at which no ReLU input comes as close to zero as usual.

    Where rounding moves one across zero, a whole gradient appears or vanishes: float32 then leaves
    float64 by some 1e-3 within ten steps, in either framework, and proves nothing.
    """
    return [drawn_batch(seed=460 + step) for step in range(len(LEARNING_RATES))]


def train_reference(spec: NetworkSpec) -> Training:
    params, momenta, losses = drawn_params(spec), parameters.zeros(spec), []
    for batch, rate in zip(drawn_batches(), LEARNING_RATES):
        loss, params, momenta = reference.train_step(spec, params, momenta, *batch, rate, SGD())
        losses.append(loss)
    return losses, params


def train_twin(twin, spec: NetworkSpec) -> Training:
    model, losses = twin.model(spec, drawn_params(spec), SGD()), []
    for batch, rate in zip(drawn_batches(), LEARNING_RATES):
        model.stage(*batch)
        losses.append(model.train_staged(rate).loss)
    return losses, model.params()


def divergence(actual: Training, expected: Training) -> Dict[str, float]:
    """Relative differences of every step's loss and of every parameter, by name."""
    losses = {f"loss of step {step}": abs(one / other - 1)
              for step, (one, other) in enumerate(zip(actual[0], expected[0]))}
    return {**losses, **relative_errors(actual[1], expected[1])}


# Each mistake changes the reference and returns the spec to train.
Mistake = Callable[[pytest.MonkeyPatch, NetworkSpec], NetworkSpec]


def nesterov(patch: pytest.MonkeyPatch, spec: NetworkSpec) -> NetworkSpec:
    """What Caffe2's `build_sgd` does unless told otherwise."""
    honest = reference.update

    def update(spec, params, momenta, gradients, learning_rate, optimizer):
        _, new = honest(spec, params, momenta, gradients, learning_rate, optimizer)
        mu = optimizer.momentum
        return {n: params[n] - (1 + mu) * new[n] + mu * momenta[n] for n in new}, new

    patch.setattr(reference, "update", update)
    return spec


def learning_rate_outside_momentum(patch: pytest.MonkeyPatch, spec: NetworkSpec) -> NetworkSpec:
    """The formula of PyTorch and of TensorFlow 1; it differs once the rate changes."""
    honest = reference.update

    def update(spec, params, momenta, gradients, learning_rate, optimizer):
        _, new = honest(spec, params, momenta, gradients, 1.0, optimizer)
        return {n: params[n] - learning_rate * new[n] for n in new}, new

    patch.setattr(reference, "update", update)
    return spec


def decay_on_batch_norm(patch: pytest.MonkeyPatch, spec: NetworkSpec) -> NetworkSpec:
    """What Caffe2's `add_weight_decay` does."""
    patch.setattr(Parameter, "decays", property(lambda p: p.role in ("weight", "scale")))
    return spec


def double_decay(patch: pytest.MonkeyPatch, spec: NetworkSpec) -> NetworkSpec:
    """What Keras's `l2` does."""
    honest = reference.update

    def update(spec, params, momenta, gradients, learning_rate, optimizer):
        doubled = replace(optimizer, weight_decay=2 * optimizer.weight_decay)
        return honest(spec, params, momenta, gradients, learning_rate, doubled)

    patch.setattr(reference, "update", update)
    return spec


def keras_epsilon(patch: pytest.MonkeyPatch, spec: NetworkSpec) -> NetworkSpec:
    return _batch_norms(spec, epsilon=1e-3)


def keras_running_decay(patch: pytest.MonkeyPatch, spec: NetworkSpec) -> NetworkSpec:
    return _batch_norms(spec, decay=0.99)


def biased_running_variance(patch: pytest.MonkeyPatch, spec: NetworkSpec) -> NetworkSpec:
    """What Caffe2's batch norm does on IDEEP."""
    honest = reference.running_statistics

    def running_statistics(layer, weights, x):
        new, count = honest(layer, weights, x), x.size // x.shape[1]
        kept = layer.decay * weights["running_variance"]
        new["running_variance"] = kept + (new["running_variance"] - kept) * (count - 1) / count
        return new

    patch.setattr(reference, "running_statistics", running_statistics)
    return spec


def same_padding(patch: pytest.MonkeyPatch, spec: NetworkSpec) -> NetworkSpec:
    """TensorFlow's SAME in place of explicit padding: the odd row goes to the bottom and right."""
    forward, backward = LAYERS[Convolution]

    def pads(layer, x):
        if layer.padding == (0, 0):
            return [(0, 0)] * 4
        totals = [max((-(-size // s) - 1) * s + k - size, 0)
                  for size, s, k in zip(x.shape[2:], layer.stride, layer.kernel)]
        return [(0, 0), (0, 0), *((total // 2, total - total // 2) for total in totals)]

    def same_forward(layer, weights, x, training):
        unpadded = replace(layer, padding=(0, 0))
        return forward(unpadded, weights, np.pad(x, pads(layer, x)), training)

    def same_backward(layer, weights, x, dy):
        unpadded, around = replace(layer, padding=(0, 0)), pads(layer, x)
        dx, gradients = backward(unpadded, weights, np.pad(x, around), dy)
        inside = tuple(slice(before, before + n) for (before, _), n in zip(around, x.shape))
        return dx[inside], gradients

    patch.setitem(LAYERS, Convolution, (same_forward, same_backward))
    return spec


def _batch_norms(spec: NetworkSpec, **changes: float) -> NetworkSpec:
    return replace(spec, layers=tuple(
        replace(layer, **changes) if isinstance(layer, BatchNorm) else layer
        for layer in spec.layers))


@pytest.mark.parametrize("network", ["over_maps", "over_time"])
def test_ten_steps_stay_with_the_reference(twin, network):
    spec = SPECS[network]
    errors = divergence(train_twin(twin, spec), train_reference(spec))
    worst = max(errors, key=errors.get)
    assert errors[worst] < TOLERANCE, f"{worst} is off by {errors[worst]:.1e} of its scale"


@pytest.mark.parametrize("network, mistake", [
    (network, mistake) for network in ("over_maps", "over_time")
    for mistake in (nesterov, learning_rate_outside_momentum, decay_on_batch_norm, double_decay,
                    keras_epsilon, keras_running_decay, biased_running_variance, same_padding)
    if (network, mistake) != ("over_time", same_padding)])  # it pads nothing
def test_the_tolerance_would_catch(network, mistake):
    honest = train_reference(SPECS[network])
    with pytest.MonkeyPatch.context() as patch:
        wrong = train_reference(mistake(patch, SPECS[network]))
    assert max(divergence(wrong, honest).values()) > MARGIN * TOLERANCE
