"""Folding leaves a testing network's answers as they are, with fewer layers."""
from __future__ import annotations

from typing import Dict

import numpy as np
import pytest
from small_networks import SPECS, drawn_batch, drawn_params, relative_errors

from common.network import params as parameters
from common.network import reference
from common.network.architectures import NETWORKS, build
from common.network.folding import fold_batch_norm
from common.network.layers import BatchNorm, Convolution, Dense, NetworkSpec
from common.network.params import Params

SPECTROGRAMS = drawn_batch(size=3, frames=110)[0]


def outputs(spec: NetworkSpec, params: Params) -> Dict[str, np.ndarray]:
    return {name: value.astype(np.float32)
            for name, value in reference.forward(spec, params, SPECTROGRAMS, training=False).items()}


@pytest.mark.parametrize("name", SPECS)
def test_logits_stay_the_same(name: str) -> None:
    spec, params = SPECS[name], drawn_params(SPECS[name])
    folded_spec, folded_params = fold_batch_norm(spec, params)
    before, after = outputs(spec, params), outputs(folded_spec, folded_params)
    errors = relative_errors({"logits": after["logits"]}, {"logits": before["logits"]})
    assert errors["logits"] < 1e-6


@pytest.mark.parametrize("name, left", [("over_maps", []), ("over_time", []), ("odd_orders", ["bn2", "bn4"])])
def test_only_batch_norms_that_no_weight_precedes_stay(name: str, left: list) -> None:
    folded, _ = fold_batch_norm(SPECS[name], drawn_params(SPECS[name]))
    assert [layer.name for layer in folded.layers if isinstance(layer, BatchNorm)] == left
    assert [layer for layer in SPECS[name].layers if layer in folded.layers] == list(folded.layers)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_left_to_normalise_in_the_networks_that_are_compared(name: str) -> None:
    spec = build(name, 3, width=0.02)
    folded, params = fold_batch_norm(spec, parameters.initialise(spec))
    assert not [layer for layer in folded.layers if isinstance(layer, BatchNorm)]
    parameters.check(params, folded.parameters(), "folded")
    assert folded.macs() == spec.macs()


def test_what_is_given_is_left_alone() -> None:
    spec, params = SPECS["over_maps"], drawn_params(SPECS["over_maps"])
    before = parameters.fingerprint(params)
    fold_batch_norm(spec, params)
    assert parameters.fingerprint(params) == before


def test_factor_and_offset_by_hand() -> None:
    """One channel: y = 2 x + 1, then (y - 3) / sqrt(4) * 6 + 5 = 6 x - 1."""
    spec = NetworkSpec("one", (Convolution("c", 1, (1, 1)), BatchNorm("n", epsilon=0.0), Dense("d", 2)), 2)
    params = {"c/weight": np.full((1, 1, 1, 1), 2, np.float32), "c/bias": np.ones(1, np.float32),
              "n/scale": np.full(1, 6, np.float32), "n/shift": np.full(1, 5, np.float32),
              "n/running_mean": np.full(1, 3, np.float32), "n/running_variance": np.full(1, 4, np.float32)}
    _, folded = fold_batch_norm(spec, params)
    assert (folded["c/weight"].item(), folded["c/bias"].item()) == (6, -1)


def test_a_channel_that_never_varied_does_not_divide_by_zero() -> None:
    spec, params = SPECS["over_time"], drawn_params(SPECS["over_time"])
    params["bn1/running_variance"] = np.zeros_like(params["bn1/running_variance"])
    _, folded = fold_batch_norm(spec, params)
    assert all(np.isfinite(value).all() for value in folded.values())
