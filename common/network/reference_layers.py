"""Every layer type forward and backward in float64 NumPy, written to be read beside its formula.

    python -m pytest tests/network/test_reference.py # every gradient against numerical differences

Neither framework is trusted as the truth: this is. A forward function maps an input batch to the
output batch, a backward function recomputes what it needs from the same input, so nothing is kept
in between and nothing can go stale. Feature maps are (N, channels, height, width), after pooling
over all positions (N, channels). Gradients are those of training mode.
"""
from __future__ import annotations

from functools import reduce
from typing import Callable, Dict, Tuple

import numpy as np

from common.errors import UserError
from common.network.layers import (
    AveragePool,
    BatchNorm,
    BinsAsChannels,
    Convolution,
    Dense,
    Layer,
    MaxPool,
    Pair,
    Relu,
    StatisticsPool,
)

Weights = Dict[str, np.ndarray]  # role -> tensor: "weight", "bias", "scale", ...
Gradients = Tuple[np.ndarray, Weights]  # of the input, and of every trainable tensor by role
Forward = Callable[[Layer, Weights, np.ndarray, bool], np.ndarray]
Backward = Callable[[Layer, Weights, np.ndarray, np.ndarray], Gradients]


def bins_as_channels(layer: BinsAsChannels, weights: Weights, x: np.ndarray,
                     training: bool) -> np.ndarray:
    return x.transpose(0, 2, 1, 3)


def bins_as_channels_backward(layer: BinsAsChannels, weights: Weights, x: np.ndarray,
                              dy: np.ndarray) -> Gradients:
    return dy.transpose(0, 2, 1, 3), {}


def convolution(layer: Convolution, weights: Weights, x: np.ndarray,
                training: bool) -> np.ndarray:
    windows = _windows(_padded(x, layer), layer.kernel, layer.stride, layer.dilation)
    y = np.tensordot(windows, weights["weight"], axes=((1, 4, 5), (1, 2, 3)))  # (N, h, w, out)
    return (y + weights["bias"]).transpose(0, 3, 1, 2)


def convolution_backward(layer: Convolution, weights: Weights, x: np.ndarray,
                         dy: np.ndarray) -> Gradients:
    padded = _padded(x, layer)
    windows = _windows(padded, layer.kernel, layer.stride, layer.dilation)
    gradients = {"weight": np.tensordot(dy, windows, axes=((0, 2, 3), (0, 2, 3))),
                 "bias": dy.sum(axis=(0, 2, 3))}
    by_taps = np.tensordot(dy, weights["weight"], axes=(1, 0))  # (N, h, w, C, kernel height, kernel width)
    d_padded = np.zeros_like(padded)
    d_windows = _windows(d_padded, layer.kernel, layer.stride, layer.dilation)
    for tap in np.ndindex(*layer.kernel):  # one tap of all windows: no position occurs twice
        d_windows[(..., *tap)] += by_taps[(..., *tap)].transpose(0, 3, 1, 2)
    (top, _), (left, _) = layer.pads
    height, width = x.shape[2:]
    return d_padded[:, :, top:top + height, left:left + width], gradients


def batch_norm(layer: BatchNorm, weights: Weights, x: np.ndarray, training: bool) -> np.ndarray:
    if training:
        mean, variance = _moments(layer, x)
    else:
        mean, variance = weights["running_mean"], weights["running_variance"]
    normal = (x - _per_channel(mean, x)) / _per_channel(np.sqrt(variance + layer.epsilon), x)
    return _per_channel(weights["scale"], x) * normal + _per_channel(weights["shift"], x)


def batch_norm_backward(layer: BatchNorm, weights: Weights, x: np.ndarray,
                        dy: np.ndarray) -> Gradients:
    """Ioffe and Szegedy 2015, section 3: the batch's mean and variance depend on x as well."""
    axes = _all_but_channels(x)
    mean, variance = _moments(layer, x)
    deviation = _per_channel(np.sqrt(variance + layer.epsilon), x)
    normal = (x - _per_channel(mean, x)) / deviation
    gradients = {"scale": (dy * normal).sum(axis=axes), "shift": dy.sum(axis=axes)}
    d_normal = dy * _per_channel(weights["scale"], x)
    dx = (d_normal - d_normal.mean(axis=axes, keepdims=True)
          - normal * (d_normal * normal).mean(axis=axes, keepdims=True)) / deviation
    return dx, gradients


def running_statistics(layer: BatchNorm, weights: Weights, x: np.ndarray) -> Weights:
    """The running mean and variance after one training step on x, the variance unbiased."""
    mean, variance = _moments(layer, x)
    n = x.size // x.shape[1]
    return {
        "running_mean": layer.decay * weights["running_mean"] + (1 - layer.decay) * mean,
        "running_variance": (layer.decay * weights["running_variance"]
                             + (1 - layer.decay) * variance * n / (n - 1)),
    }


def relu(layer: Relu, weights: Weights, x: np.ndarray, training: bool) -> np.ndarray:
    return np.maximum(x, 0)


def relu_backward(layer: Relu, weights: Weights, x: np.ndarray, dy: np.ndarray) -> Gradients:
    return dy * (x > 0), {}


def max_pool(layer: MaxPool, weights: Weights, x: np.ndarray, training: bool) -> np.ndarray:
    windows = _windows(x, layer.kernel, layer.stride)
    return reduce(np.maximum, (windows[(..., *tap)] for tap in np.ndindex(*layer.kernel)))  # twice as quick as .max()


def max_pool_backward(layer: MaxPool, weights: Weights, x: np.ndarray,
                      dy: np.ndarray) -> Gradients:
    """The first of equal maxima takes the gradient.

    Frameworks differ on ties, but after a ReLU the only common tie is at zero, where its gradient
    vanishes either way.
    """
    dx, left, largest = np.zeros_like(x), dy.copy(), max_pool(layer, weights, x, training=True)
    windows, d_windows = (_windows(own, layer.kernel, layer.stride) for own in (x, dx))
    for tap in np.ndindex(*layer.kernel):
        won = ~(windows[(..., *tap)] < largest)  # nothing equals what is not a number, whose gradient must not vanish
        d_windows[(..., *tap)] += np.where(won, left, 0)
        left[won] = 0
    return dx, {}


def average_pool(layer: AveragePool, weights: Weights, x: np.ndarray,
                 training: bool) -> np.ndarray:
    return x.mean(axis=(2, 3))


def average_pool_backward(layer: AveragePool, weights: Weights, x: np.ndarray,
                          dy: np.ndarray) -> Gradients:
    return np.broadcast_to(dy[:, :, None, None] / _positions(x), x.shape), {}


def statistics_pool(layer: StatisticsPool, weights: Weights, x: np.ndarray,
                    training: bool) -> np.ndarray:
    deviation = np.sqrt(x.var(axis=(2, 3)) + layer.epsilon)
    return np.concatenate([x.mean(axis=(2, 3)), deviation], axis=1)


def statistics_pool_backward(layer: StatisticsPool, weights: Weights, x: np.ndarray,
                             dy: np.ndarray) -> Gradients:
    d_mean, d_deviation = np.split(dy[:, :, None, None], 2, axis=1)
    centred = x - x.mean(axis=(2, 3), keepdims=True)
    deviation = np.sqrt((centred ** 2).mean(axis=(2, 3), keepdims=True) + layer.epsilon)
    return (d_mean + d_deviation * centred / deviation) / _positions(x), {}


def dense(layer: Dense, weights: Weights, x: np.ndarray, training: bool) -> np.ndarray:
    return x @ weights["weight"].T + weights["bias"]


def dense_backward(layer: Dense, weights: Weights, x: np.ndarray, dy: np.ndarray) -> Gradients:
    return dy @ weights["weight"], {"weight": dy.T @ x, "bias": dy.sum(axis=0)}


LAYERS: Dict[type, Tuple[Forward, Backward]] = {
    BinsAsChannels: (bins_as_channels, bins_as_channels_backward),
    Convolution: (convolution, convolution_backward),
    BatchNorm: (batch_norm, batch_norm_backward),
    Relu: (relu, relu_backward),
    MaxPool: (max_pool, max_pool_backward),
    AveragePool: (average_pool, average_pool_backward),
    StatisticsPool: (statistics_pool, statistics_pool_backward),
    Dense: (dense, dense_backward),
}


def _windows(x: np.ndarray, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> np.ndarray:
    """A view of x, (N, C, H, W), as its windows: (N, C, h, w, kernel height, kernel width).

    Writing through the view writes to x; windows that do not fit are dropped.
    """
    counts = tuple((size - d * (k - 1) - 1) // s + 1
                   for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation))
    strides = (*x.strides[:2], *(s * step for s, step in zip(stride, x.strides[2:])),
               *(d * step for d, step in zip(dilation, x.strides[2:])))
    return np.lib.stride_tricks.as_strided(x, (*x.shape[:2], *counts, *kernel), strides)


def _padded(x: np.ndarray, layer: Convolution) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *layer.pads))


def _moments(layer: BatchNorm, x: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of every channel over batch and positions."""
    if x.size // x.shape[1] < 2:
        raise UserError(f"{layer.name} cannot normalise a single value per channel; train with a "
                        "batch of at least 2 utterances")
    axes = _all_but_channels(x)
    return x.mean(axis=axes), x.var(axis=axes)


def _all_but_channels(x: np.ndarray) -> Tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _per_channel(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(C,) -> (C, 1, 1) beside a feature map, (C,) beside a vector, so that it broadcasts."""
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def _positions(x: np.ndarray) -> int:
    return x.shape[2] * x.shape[3]
