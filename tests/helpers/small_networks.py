"""Small networks of every layer type, random contents for them, and how far two results are apart.

Shared by the tests that hold both twins against the reference.
"""
from typing import Dict, Mapping, Tuple

import numpy as np

from common.network import params as parameters
from common.network.layers import (
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

SPEAKERS = 5
SPECS = {
    "over_maps": NetworkSpec("over_maps", (  # like VGG-M
        Convolution("conv1", 6, (7, 7), stride=(16, 4), padding=(1, 1)), BatchNorm("bn1"),
        Relu("relu1"), MaxPool("pool1", (3, 3), (2, 2)),
        Convolution("conv2", 8, (3, 3), stride=(2, 2), padding=(1, 1)), Relu("relu2"),
        MaxPool("pool2", (5, 3), (3, 2)),
        Convolution("fc3", 9, (2, 1)), BatchNorm("bn3"), Relu("relu3"), AveragePool("pool3"),
        Dense("fc4", 7), BatchNorm("bn4"), Relu("relu4"), Dense("logits", SPEAKERS)), SPEAKERS),
    "over_time": NetworkSpec("over_time", (  # like the time-delay network
        BinsAsChannels("bins"), Convolution("frame1", 6, (1, 5)), BatchNorm("bn1"), Relu("relu1"),
        Convolution("frame2", 7, (1, 3), dilation=(1, 2)), BatchNorm("bn2"), Relu("relu2"),
        StatisticsPool("stats"), Dense("segment3", 6), BatchNorm("bn3"), Relu("relu3"),
        Dense("logits", SPEAKERS)), SPEAKERS),
    "odd_orders": NetworkSpec("odd_orders", (  # batch norm where no weight can absorb it
        MaxPool("pool1", (8, 2), (8, 2)),
        Convolution("conv2", 5, (3, 2), (4, 3), (2, 1), (3, 2)), Relu("relu2"), BatchNorm("bn2"),
        Convolution("conv3", 6, (2, 2)), Relu("relu3"), StatisticsPool("stats"), BatchNorm("bn4"),
        Dense("fc5", 6), Relu("relu5"), Dense("logits", SPEAKERS)), SPEAKERS),
}


def drawn_params(spec: NetworkSpec, seed: int = 2) -> parameters.Params:
    """Every tensor random, so that a role which is mixed up or left out cannot hide."""
    params = parameters.initialise(spec, seed)
    random = np.random.default_rng(seed)
    for p in spec.parameters():
        if p.role in ("scale", "running_variance"):
            params[p.name] = random.uniform(0.5, 2.0, p.shape).astype(np.float32)
        elif p.role != "weight":
            params[p.name] = random.normal(0, 0.3, p.shape).astype(np.float32)
    return params


def drawn_momenta(spec: NetworkSpec, seed: int = 4) -> parameters.Params:
    params = drawn_params(spec, seed)
    return {p.name: params[p.name] for p in spec.parameters() if p.trainable}


def drawn_batch(size: int = 8, frames: int = 100, seed: int = 2) -> Tuple[np.ndarray, np.ndarray]:
    """Spectrograms (size, 512, frames) and speakers (size,)."""
    random = np.random.default_rng((seed, frames))
    spectrograms = random.standard_normal((size, 512, frames), np.float32)
    # Every utterance has a level of its own: without it all would look alike once they are pooled
    # over time, and a batch norm there would blow rounding errors up.
    spectrograms += random.normal(0, 1, (size, 1, 1)).astype(np.float32)
    return spectrograms, random.integers(0, SPEAKERS, size).astype(np.int32)


def relative_errors(actual: Mapping[str, np.ndarray],
                    expected: Mapping[str, np.ndarray]) -> Dict[str, float]:
    """Largest error of each tensor relative to the largest value in its layer's tensors.

    By layer, because the gradient of a bias that a batch norm follows is exactly zero: measured by
    itself its rounding errors would be infinitely large.
    """
    assert list(actual) == list(expected)
    scale: Dict[str, float] = {}
    for name, value in expected.items():
        layer = name.split("/")[0]
        scale[layer] = max(scale.get(layer, 0.0), float(np.abs(value).max()))
    return {name: float(np.abs(actual[name] - expected[name]).max()) / scale[name.split("/")[0]]
            for name in expected}


def assert_close(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray],
                 tolerance: float) -> None:
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        assert actual[name].dtype == np.float32, name
    errors = relative_errors(actual, expected)
    worst = max(errors, key=errors.get)
    assert errors[worst] < tolerance, f"{worst} is off by {errors[worst]:.1e} of its scale"
