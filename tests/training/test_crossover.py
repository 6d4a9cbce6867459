"""A checkpoint that changes its framework: the loss goes on where it would have been."""
import importlib
from dataclasses import replace

import numpy as np
import pytest

from common.data.batches import Batch
from common.network import params as parameters
from common.network.architectures import build
from common.training import crossover
from common.training.checkpoint import Checkpoint
from common.training.config import TrainingConfig
from common.training.crossover import CROSSING_TOLERANCE, cross

SPEAKERS, SWITCH, FRAMES = 4, 20, 120
BATCH = 24  # of 8 a batch norm makes so much of rounding that by AVX2's kernels the twentieth step was off by 3e-3


@pytest.fixture(scope="module")
def twins():
    loaded = {name: importlib.import_module(name).load() for name in ("tf_impl", "caffe2_impl")}
    for twin in loaded.values():
        twin.configure("cpu", 1)
    return loaded


@pytest.fixture(scope="module")
def batches():
    """40 batches of speakers that differ in the level of their bins, under noise."""
    random = np.random.default_rng(0)
    voices = random.normal(0, 1, (SPEAKERS, 512, 1))
    made = []
    for _ in range(2 * SWITCH):
        speakers = random.integers(0, SPEAKERS, BATCH).astype(np.int32)
        noise = 2 * random.standard_normal((BATCH, 512, FRAMES))
        made.append(Batch((voices[speakers] + noise).astype(np.float32), speakers))
    return made


def start(network: str) -> Checkpoint:
    # A rate that falls during the run, so that a lost schedule position would show.
    config = TrainingConfig(network=network, width=0.1, batch_size=BATCH, learning_rate=5e-4,
                            final_learning_rate=5e-5)
    spec = build(network, SPEAKERS, config.width)
    return Checkpoint(config, tuple("abcd"), parameters.initialise(spec), parameters.zeros(spec))


@pytest.mark.parametrize("network", ["vgg_m", "tdnn"])
@pytest.mark.parametrize("first, second", [("tf_impl", "caffe2_impl"), ("caffe2_impl", "tf_impl")])
def test_the_loss_goes_on_where_it_would_have_been(twins, batches, network, first, second, tmp_path):
    crossing = cross(twins[first], twins[second], start(network), batches, SWITCH,
                     tmp_path / "half.npz")
    assert crossing.largest_difference < CROSSING_TOLERANCE
    assert np.mean(crossing.crossed[-5:]) < 0.9 * np.mean(crossing.crossed[:5]), "it must learn"


@pytest.mark.parametrize("lost", ["momenta", "step"])
def test_a_loss_on_the_way_would_be_noticed(twins, batches, lost, tmp_path, monkeypatch):
    def forgetful(path):
        half = load(path)
        if lost == "momenta":
            return replace(half, momenta=parameters.zeros(half.spec))
        return replace(half, step=0)

    load = crossover.load_checkpoint
    monkeypatch.setattr(crossover, "load_checkpoint", forgetful)
    crossing = cross(twins["tf_impl"], twins["caffe2_impl"], start("tdnn"), batches, SWITCH,
                     tmp_path / "half.npz")
    assert crossing.largest_difference > 3 * CROSSING_TOLERANCE
