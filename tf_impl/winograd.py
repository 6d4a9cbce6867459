"""Convolutions with fewer multiplications out of plain TensorFlow operations, for the CPU.

Tiles are cut out of the input, `common.network.winograd`'s matrices applied, and all points of all tiles
multiplied with the kernel's in one batched matrix product:

    cut -> inputs @ -> matrix product -> outputs @ -> join

Rows are contiguous in NHWC, so cutting and joining copy whole rows. The gradients are made of the same
parts: the input's is a convolution with the taps in reverse order, the weight's a matrix product with
one side transposed.
"""
from __future__ import annotations

from typing import Mapping, Tuple

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
    def table(name: str) -> tf.Tensor:
        return tables[f"{layer.name}/{name}"]

    outputs, inputs, kernel, turned = matrices(layer, axes)

    @tf.custom_gradient
    def run(x: tf.Tensor, weight: tf.Tensor):
        tiles = tf.gather(_rows(x, with_zeros=layer.padded), table("cut"))
        points = _apply(inputs, tiles, _phases(axes) * x.shape[3])
        products = tf.matmul(points, _kernels(kernel, weight, axes))
        y = _join(_apply(outputs, products, layer.channels), table("join"), layer.channels)

        def gradients(dy: tf.Tensor):
            with tf.name_scope(f"gradient_tape/{layer.name}"):  # as TensorFlow names its own
                rows = _rows(dy, with_zeros=True)
                d_products = _apply(outputs.T, tf.gather(rows, table("back_cut_outputs")), layer.channels)
                d_kernels = tf.matmul(points, d_products, transpose_a=True)
                d_weight = tf.matmul(kernel.T, tf.reshape(d_kernels, (len(kernel), -1)))
                dy_points = _apply(inputs, tf.gather(rows, table("back_cut")), layer.channels)
                d_products = tf.matmul(dy_points, _kernels(turned, weight, axes), transpose_b=True)
                d_tiles = _apply(outputs, d_products, d_products.shape[2])
                d_x = _join(d_tiles, table("back_join"), x.shape[3])
                return d_x, tf.reshape(d_weight, weight.shape)

        return y, gradients

    return run(x, weight)


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
    product = tf.matmul(matrix, tf.reshape(tiles, (matrix.shape[1], -1)))
    return tf.reshape(product, (matrix.shape[0], -1, channels))


def _kernels(matrix: np.ndarray, weight: tf.Tensor, axes: Tuple[Axis, Axis]) -> tf.Tensor:
    """A weight in HWIO at every point: (points, phases * channels in, channels out)."""
    phases, outputs = _phases(axes), weight.shape[3]
    flat = tf.reshape(weight, (matrix.shape[1], -1))
    return tf.reshape(tf.matmul(matrix, flat), (len(matrix) // phases, -1, outputs))


def _phases(axes: Tuple[Axis, Axis]) -> int:
    return axes[0].stride * axes[1].stride
