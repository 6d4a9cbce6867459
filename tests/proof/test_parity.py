"""The ladder lets honest implementations pass and names where each seeded mistake shows."""
from dataclasses import replace
from functools import lru_cache
from typing import Tuple

import numpy as np
import pytest
from small_networks import SPECS, drawn_batch

from common.data.batches import Batch
from common.errors import UserError
from common.proof.mistakes import MISTAKES
from common.proof.parity import (
    DRIFT,
    DRIFT_LIMIT,
    LOSSES,
    RUNGS,
    Arbiter,
    Finding,
    climb,
    differences,
    first_divergence,
    tipped_relus,
)
from common.proof.recording import Trial, make_trial, record, record_reference, without_relus

# The first tensor that each mistake reaches in the network that is like VGG-M.
FIRST_TENSORS = {
    "glorot": "conv1/weight", "hw_swap": "conv1/weight", "same_padding": "conv1",
    "bn_epsilon": "bn1", "label_shift": "loss", "nesterov": "step of conv1/weight",
    "double_decay": "momentum of conv1/weight", "decay_on_batch_norm": "momentum of bn1/scale",
    "bn_momentum": "bn1/running_mean",
}


def small_trial(network: str, steps: int = 3, seed: int = 460) -> Trial:
    batches = [Batch(*drawn_batch(seed=seed + step)) for step in range(steps)]
    return make_trial(SPECS[network], batches, learning_rate=0.05)


@pytest.fixture(scope="module")
def over_maps():
    """The trial on the network like VGG-M, and the reference's answer."""
    trial = small_trial("over_maps")
    return trial, Arbiter.of(trial)


@pytest.fixture(scope="module")
def one_step():
    trial = small_trial("over_maps", steps=1)
    return trial, Arbiter.of(trial)


@lru_cache(maxsize=None)
def hundred_steps(network: str, seed: int) -> Tuple[Trial, Arbiter]:
    """With the reference's first step alone: its later losses are for the drift only, which kinks have nobody judge."""
    trial = small_trial(network, steps=100, seed=1000 * seed)
    first = Arbiter.of(trial.at(0, trial.params, trial.momenta))
    return trial, Arbiter(*(each._replace(losses=np.ones(100)) for each in first))


@pytest.mark.parametrize("network", SPECS)
def test_twins_climb_the_whole_ladder(twin, network):
    trial = small_trial(network)
    findings = climb(trial, record(twin, trial), Arbiter.of(trial))
    assert first_divergence(findings) is None
    rungs = [*((0, rung) for rung in RUNGS), *((2, rung) for rung in RUNGS),
             *((step, LOSSES) for step in range(3)), *((step, DRIFT) for step in range(3))]
    assert list(dict.fromkeys((finding.step, finding.rung) for finding in findings)) == rungs


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_caught_on_its_rung(twin, over_maps, name):
    trial, arbiter = over_maps
    if (name, twin.package) == ("same_padding", "caffe2_impl"):
        with pytest.raises(UserError, match="conv1.*cannot pad"):
            record(twin, MISTAKES[name].make(trial))
        return
    found = first_divergence(climb(trial, record(twin, MISTAKES[name].make(trial)), arbiter))
    assert found is not None and found.step == 0
    assert (found.rung, found.tensor) == (MISTAKES[name].rung, FIRST_TENSORS[name])


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_far_beyond_its_limit(one_step, name):
    trial, arbiter = one_step
    found = first_divergence(climb(trial, record_reference(MISTAKES[name].make(trial)), arbiter))
    assert found is not None and found.error > 5 * found.limit


def test_the_reference_passes_in_single_precision(one_step):
    trial, arbiter = one_step
    assert first_divergence(climb(trial, arbiter.exact, arbiter)) is None
    assert first_divergence(climb(trial, arbiter.rounded, arbiter)) is None


def test_a_loss_that_goes_astray_later_is_named(over_maps):
    trial, arbiter = over_maps
    losses = arbiter.exact.losses * np.array([1, 1.0001, 1])
    rungs = {0: arbiter.exact.rungs[0],
             2: record_reference(trial.at(2, trial.params, trial.momenta)).rungs[0]}
    found = first_divergence(climb(trial, arbiter.exact._replace(rungs=rungs, losses=losses), arbiter))
    assert (found.step, found.rung) == (1, LOSSES)


@pytest.mark.parametrize("rung, tensor", [
    ("start", "conv1/bias"), ("outputs", "relu2"), ("outputs", "testing logits"), ("loss", "loss"),
    ("gradients", "fc3/weight"), ("update", "momentum of fc4/weight"),
    ("running statistics", "bn3/running_variance")])
@pytest.mark.parametrize("spoil", [
    lambda value: value + 2e-3 * np.abs(value).max() + 1e-6, lambda value: value * np.nan,
    lambda value: value[..., np.newaxis]], ids=["other", "not finite", "shape"])
def test_the_first_spoiled_tensor_is_named(one_step, rung, tensor, spoil):
    trial, arbiter = one_step
    rungs = {name: dict(tensors) for name, tensors in arbiter.exact.rungs[0].items()}
    rungs[rung][tensor] = spoil(rungs[rung][tensor])
    found = first_divergence(climb(trial, arbiter.exact._replace(rungs={0: rungs}), arbiter))
    assert (found.rung, found.tensor) == (rung, tensor)


@pytest.mark.parametrize("network, seed", [("over_maps", 0), ("over_time", 1)])
def test_every_one_of_a_hundred_steps_is_the_references(twin, network, seed):
    """From any start: each loss is what the reference makes of the parameters reached by then."""
    trial, arbiter = hundred_steps(network, seed)
    findings = climb(trial, record(twin, trial), arbiter)
    assert first_divergence(findings) is None
    assert [f.step for f in findings if f.rung == LOSSES] == list(range(100))


@pytest.fixture(scope="module")
def without_kinks() -> Tuple[Trial, np.ndarray]:
    """A hundred steps, and the reference's losses."""
    trial = small_trial("over_time", steps=100, seed=1000)
    trial = replace(trial, spec=without_relus(trial.spec))
    return trial, record_reference(trial).losses


def test_a_hundred_steps_without_kinks_do_not_drift(twin, without_kinks):
    """With kinks float32 itself drifts from float64 wherever rounding tips a value over one."""
    trial, exact = without_kinks
    assert np.abs(record(twin, trial).losses / exact - 1).max() < DRIFT_LIMIT


def test_the_least_of_the_mistakes_drifts(without_kinks):
    trial, exact = without_kinks
    broken = record_reference(MISTAKES["double_decay"].make(trial)).losses
    assert np.abs(broken / exact - 1).max() > DRIFT_LIMIT


def test_drift_is_judged_only_where_there_are_no_kinks():
    for network, judged in (("over_maps", False), ("over_time", True)):
        trial = small_trial(network, steps=2)
        trial = replace(trial, spec=without_relus(trial.spec))  # the first still has max pools
        arbiter = Arbiter.of(trial)
        actual = record_reference(trial.at(0, trial.params, trial.momenta))
        far = arbiter.exact._replace(rungs={**actual.rungs, 1: arbiter.exact.rungs[0]},
                                     losses=arbiter.exact.losses * 1.002)
        drift = [finding for finding in climb(trial, far, arbiter) if finding.rung == DRIFT]
        assert [finding.diverges for finding in drift] == [judged, judged]


def test_without_relus_only_they_are_gone():
    spec = SPECS["over_maps"]
    assert [layer.name for layer in without_relus(spec).layers] == [
        layer.name for layer in spec.layers if not layer.name.startswith("relu")]


def test_tipped_relus_are_counted():
    spec = SPECS["over_time"]
    relus = {layer.name: np.array([0.0, 1.0, 2.0]) for layer in spec.layers}
    tipped = {**relus, "relu2": np.array([0.1, 0.0, 3.0])}
    assert tipped_relus(spec, {"outputs": relus}, {"outputs": tipped}) == (2, 9)


def test_errors_are_relative_to_the_layer():
    expected = {"gradients": {"conv/weight": np.array([4.0]), "conv/bias": np.array([0.0]),
                              "dense/bias": np.array([2.0])}}
    actual = {"gradients": {"conv/weight": np.array([4.0]), "conv/bias": np.array([1.0]),
                            "dense/bias": np.array([3.0])}}
    assert differences(actual, expected)["gradients"] == {
        "conv/weight": 0.0, "conv/bias": 0.25, "dense/bias": 0.5}


def test_a_finding_says_where_and_how_much():
    text = str(Finding(0, "outputs", "bn1", error=2.5e-4, rounding=1e-7, limit=1e-5))
    assert text == ("bn1 on rung 'outputs' of step 0 is off by 2.5e-04 of its scale, 2,500 times "
                    "what rounding explains (limit 1.0e-05)")


@pytest.mark.parametrize("name, message", [("same_padding", "pads no convolution"),
                                           ("hw_swap", "no square kernels")])
def test_a_mistake_that_changes_nothing_is_an_error(name, message):
    with pytest.raises(UserError, match=message):
        MISTAKES[name].make(small_trial("over_time", steps=1))


def test_same_padding_has_tensorflows_shapes():
    trial = small_trial("over_maps", steps=1)
    broken = MISTAKES["same_padding"].make(trial)
    conv1, conv2 = (next(step for step in broken.spec.steps(100) if step.layer.name == name)
                    for name in ("conv1", "conv2"))
    assert conv1.output_shape[1:] == (512 // 16, 100 // 4)  # size / stride, rounded up
    assert conv2.layer.pads[1][1] >= conv2.layer.pads[1][0]
    assert replace(broken, spec=trial.spec) == trial  # nothing else has changed


def test_glorot_draws_from_keras_interval():
    params = MISTAKES["glorot"].make(small_trial("over_maps", steps=1)).params
    bound = np.sqrt(6 / (8 * 9 + 6 * 9))  # conv2: 3 x 3 from 6 to 8 channels
    largest = np.abs(params["conv2/weight"]).max()
    assert 0.9 * bound < largest <= bound
