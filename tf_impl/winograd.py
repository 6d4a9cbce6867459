"""Convolutions with fewer multiplications out of plain TensorFlow operations, for the CPU.

Tiles are cut out of the input, `common.network.winograd`'s matrices applied, and all points of all tiles
multiplied with the kernel's in one batched matrix product:

    cut -> inputs @ -> matrix product -> outputs @ -> join

Rows are contiguous in NHWC, so cutting and joining copy whole rows. The gradients are made of the same
parts: the input's is a convolution with the taps in reverse order, the weight's a matrix product with
one side transposed.
"""
from __future__ import annotations

from typing import Callable, Mapping, Tuple

import numpy as np
import tensorflow as tf

from common.network.layers import Convolution
from common.network.winograd import Axis, matrices


def convolve(layer: Convolution, axes: Tuple[Axis, Axis], x: tf.Tensor, weight: tf.Tensor,
             tables: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """`layer` without its bias: (N, h, w, channels), weight in HWIO -> (N, h, w, layer.channels).

    Pads by itself; `axes` come from `common.network.winograd.axes`, `tables` for x's size from
    `common.network.tiles.layer_tables`.
    """
    outputs, inputs, kernel, _ = matrices(layer, axes)

    @tf.custom_gradient
    def run(x: tf.Tensor, weight: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        y, points = product(layer, axes, x, kernels(layer, axes, weight), tables)

        def table(name: str) -> tf.Tensor:
            return tables[f"{layer.name}/back_{name}"]

        def gradients(dy: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
            with tf.name_scope(f"gradient_tape/{layer.name}"):  # as TensorFlow names its own
                rows = _rows(dy, with_zeros=True)
                d_products = _apply(outputs.T, tf.gather(rows, table("cut_outputs")), layer.channels)
                d_kernels = tf.matmul(points, d_products, transpose_a=True)
                d_weight = tf.matmul(kernel.T, tf.reshape(d_kernels, (len(kernel), -1)))
                dy_points = _apply(inputs, tf.gather(rows, table("cut")), layer.channels)
                d_products = tf.matmul(dy_points, kernels(layer, axes, weight, turned=True),
                                       transpose_b=True)
                d_tiles = _apply(outputs, d_products, d_products.shape[2])
                d_x = _join(d_tiles, table("join"), x.shape[3])
                return d_x, tf.reshape(d_weight, weight.shape)

        return y, gradients

    return run(x, weight)


def kernels(layer: Convolution, axes: Tuple[Axis, Axis], weight: tf.Tensor, turned: bool = False
            ) -> tf.Tensor:
    """A weight in HWIO at every point, (points, phases * channels in, channels out), for `product`.

    `turned`: with its taps in reverse order, for the input's gradient.
    """
    _, _, forward, backward = matrices(layer, axes)
    matrix, phases = backward if turned else forward, _phases(axes)
    at_points = tf.matmul(matrix, tf.reshape(weight, (matrix.shape[1], -1)))
    return tf.reshape(at_points, (len(matrix) // phases, -1, layer.channels))


def product(layer: Convolution, axes: Tuple[Axis, Axis], x: tf.Tensor, prepared: tf.Tensor,
            tables: Mapping[str, tf.Tensor]) -> Tuple[tf.Tensor, tf.Tensor]:
    """`convolve` with what `kernels` prepared; also x at every point, which gradients need.

    x at every point: (points, tiles, phases * channels in).
    """
    outputs, inputs, *_ = matrices(layer, axes)
    tiles = tf.gather(_rows(x, with_zeros=layer.padded), tables[f"{layer.name}/cut"])
    points = _apply(inputs, tiles, _phases(axes) * x.shape[3])
    tiles = _apply(outputs, tf.matmul(points, prepared), layer.channels)
    return _join(tiles, tables[f"{layer.name}/join"], layer.channels), points


def _rows(x: tf.Tensor, with_zeros: bool) -> tf.Tensor:
    """x (N, h, w, channels) as rows, with one of zeros behind the last where tables ask for it."""
    rows = tf.reshape(x, (-1, x.shape[3]))
    return tf.concat([rows, tf.zeros((1, x.shape[3]))], 0) if with_zeros else rows


def _join(tiles: tf.Tensor, table: tf.Tensor, channels: int) -> tf.Tensor:
    """(N, h, w, channels) out of the rows of tiles."""
    rows = tf.gather(tf.reshape(tiles, (-1, channels)), table)
    return tf.ensure_shape(rows, (None, None, None, channels))


def _apply(matrix: np.ndarray, tiles: tf.Tensor, channels: int) -> tf.Tensor:
    """`matrix` (a, b) on the first axis of tiles, of b: (a, tiles, channels)."""
    applied = tf.matmul(matrix, tf.reshape(tiles, (matrix.shape[1], -1)))
    return tf.reshape(applied, (matrix.shape[0], -1, channels))


def _phases(axes: Tuple[Axis, Axis]) -> int:
    return axes[0].stride * axes[1].stride
