"""Parts of a training step, run for their time, in both frameworks."""
from __future__ import annotations

import numpy as np
import pytest
from small_networks import SPECS, drawn_batch, drawn_params

from common.machine import best_gflops
from common.network.optimizer import SGD
from common.twin import Twin

SPEC = SPECS["over_maps"]


@pytest.mark.parametrize("until", ["forward", "backward"])
def test_parts_of_a_step_change_no_weight(twin: Twin, until: str) -> None:
    params = drawn_params(SPEC)
    model = twin.model(SPEC, params, SGD())
    model.stage(*drawn_batch())
    model.run_staged(until)
    after = model.params()
    for p in SPEC.parameters():
        if p.trainable:
            assert np.array_equal(after[p.name], params[p.name]), p.name
    model.load(params)
    assert model.train_staged(0.1).loss == pytest.approx(twin_loss(twin, params), rel=1e-6)


def twin_loss(twin: Twin, params) -> float:
    """Of a model that has done nothing else before."""
    model = twin.model(SPEC, params, SGD())
    model.stage(*drawn_batch())
    return model.train_staged(0.1).loss


def test_the_twins_own_matrix_product_is_computed(twin: Twin) -> None:
    """No single thread does 3,000 GFLOP/s; a function that computes nothing, or less, would seem to."""
    assert 0.1 < best_gflops(twin.matmul(512), 512) < 3000
