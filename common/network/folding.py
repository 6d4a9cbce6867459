"""Batch normalisation folded into the layer before it: the same network for testing, less work.

    spec, params = fold_batch_norm(spec, params)
"""
from __future__ import annotations

from dataclasses import replace
from typing import List, Tuple

import numpy as np

from common.network.layers import BatchNorm, Convolution, Dense, Layer, NetworkSpec
from common.network.params import Params


def fold_batch_norm(spec: NetworkSpec, params: Params) -> Tuple[NetworkSpec, Params]:
    """A spec without the batch norms that follow a convolution or dense layer, and its parameters.

    Such a batch norm is, with its running statistics, a factor and an offset per output channel,
    which the layer before can carry. Computed in float64. Other batch norms stay.
    """
    folded = dict(params)
    for before, layer in _foldable(spec):
        scale, shift, mean, variance = (
            folded.pop(f"{layer.name}/{role}").astype(np.float64)
            for role in ("scale", "shift", "running_mean", "running_variance")
        )
        factor = scale / np.sqrt(variance + layer.epsilon)
        weight, bias = folded[f"{before.name}/weight"], folded[f"{before.name}/bias"]
        per_channel = factor.reshape(-1, *[1] * (weight.ndim - 1))
        folded[f"{before.name}/weight"] = (weight * per_channel).astype(np.float32)
        folded[f"{before.name}/bias"] = ((bias - mean) * factor + shift).astype(np.float32)
    return folded_spec(spec), folded


def folded_spec(spec: NetworkSpec) -> NetworkSpec:
    """The spec alone that `fold_batch_norm` returns."""
    gone = [layer for _, layer in _foldable(spec)]
    return replace(spec, layers=tuple(layer for layer in spec.layers if layer not in gone))


def _foldable(spec: NetworkSpec) -> List[Tuple[Layer, BatchNorm]]:
    """Every batch norm that can be folded, behind the layer that then carries it."""
    return [(before, layer) for before, layer in zip(spec.layers, spec.layers[1:])
            if isinstance(layer, BatchNorm) and isinstance(before, (Convolution, Dense))]
