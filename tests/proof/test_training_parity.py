"""Both twins stay with the reference over several steps, far closer than any classic mistake would.

The tolerance is only worth something beside what a mistake does: each one is made in the reference,
and its effect has to be several times the tolerance.
"""
from functools import lru_cache
from typing import Callable, Dict, List, Tuple

import numpy as np
import pytest
from numpy_twin import train_step
from small_networks import SPECS, drawn_batch, drawn_params, relative_errors

from common.data.batches import Batch
from common.network import params as parameters
from common.network import reference
from common.network.optimizer import SGD
from common.proof.mistakes import MISTAKES
from common.proof.recording import Trial

TOLERANCE = 1e-4  # of a tensor's scale, after all steps
MARGIN = 5  # times the tolerance: the least effect of a mistake
STEPS = 10
Training = Tuple[List[float], parameters.Params]  # loss of every step, parameters after the last


def drawn_trial(network: str) -> Trial:
    """Ten steps from seeds at which no ReLU input comes as close to zero as usual.

    Where rounding moves one across zero, a whole gradient appears or vanishes: float32 then leaves
    float64 by some 1e-3 within ten steps, in either framework, and proves nothing.
    """
    spec = SPECS[network]
    batches = tuple(Batch(*drawn_batch(seed=460 + step)) for step in range(STEPS))
    return Trial(spec, drawn_params(spec), parameters.zeros(spec), batches,
                 tuple(np.geomspace(0.05, 0.01, STEPS)), SGD())


def train_reference(trial: Trial) -> Training:
    params, momenta, losses = trial.params, trial.momenta, []
    for batch, rate in zip(trial.batches, trial.learning_rates):
        loss, params, momenta = train_step(
            trial.spec, params, momenta, batch.spectrograms, batch.speakers, rate, trial.optimizer)
        losses.append(loss)
    return losses, params


@lru_cache(maxsize=None)
def honest(network: str) -> Training:
    """The reference's, which all is held against."""
    return train_reference(drawn_trial(network))


def train_twin(twin, trial: Trial) -> Training:
    model, losses = twin.model(trial.spec, trial.params, trial.optimizer), []
    for batch, rate in zip(trial.batches, trial.learning_rates):
        model.stage(batch.spectrograms, batch.speakers)
        losses.append(model.train_staged(rate).loss)
    return losses, model.params()


def divergence(actual: Training, expected: Training) -> Dict[str, float]:
    """Relative differences of every step's loss and of every parameter, by name."""
    losses = {f"loss of step {step}": abs(one / other - 1)
              for step, (one, other) in enumerate(zip(actual[0], expected[0]))}
    return {**losses, **relative_errors(actual[1], expected[1])}


@pytest.mark.parametrize("network", ["over_maps", "over_time"])
def test_ten_steps_stay_with_the_reference(twin, network):
    errors = divergence(train_twin(twin, drawn_trial(network)), honest(network))
    worst = max(errors, key=errors.get)
    assert errors[worst] < TOLERANCE, f"{worst} is off by {errors[worst]:.1e} of its scale"


# Mistakes that no table, optimiser or batch can express, made in the reference itself

def learning_rate_outside_momentum(patch: pytest.MonkeyPatch) -> None:
    """The formula of PyTorch and of TensorFlow 1; it differs once the rate changes."""
    update_once = reference.update

    def update(spec, params, momenta, gradients, learning_rate, optimizer):
        _, new = update_once(spec, params, momenta, gradients, 1.0, optimizer)
        return {n: params[n] - learning_rate * new[n] for n in new}, new

    patch.setattr(reference, "update", update)


def biased_running_variance(patch: pytest.MonkeyPatch) -> None:
    """What Caffe2's batch norm does on IDEEP."""
    unbiased = reference.running_statistics

    def running_statistics(layer, weights, x):
        new, count = unbiased(layer, weights, x), x.size // x.shape[1]
        kept = layer.decay * weights["running_variance"]
        new["running_variance"] = kept + (new["running_variance"] - kept) * (count - 1) / count
        return new

    patch.setattr(reference, "running_statistics", running_statistics)


@pytest.mark.parametrize("network", ["over_maps", "over_time"])
@pytest.mark.parametrize("mistake", [learning_rate_outside_momentum, biased_running_variance])
def test_the_tolerance_would_catch_a_wrong_formula(network, mistake: Callable):
    right = honest(network)
    with pytest.MonkeyPatch.context() as patch:
        mistake(patch)
        wrong = train_reference(drawn_trial(network))
    assert max(divergence(wrong, right).values()) > MARGIN * TOLERANCE


@pytest.mark.parametrize("network, name", [
    (network, name) for network in ("over_maps", "over_time") for name in MISTAKES
    if (network, name) not in {("over_time", "same_padding"), ("over_time", "hw_swap")}])
def test_the_tolerance_would_catch(network, name):
    wrong = train_reference(MISTAKES[name].make(drawn_trial(network)))
    assert max(divergence(wrong, honest(network)).values()) > MARGIN * TOLERANCE
