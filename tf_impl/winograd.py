"""Convolutions with fewer multiplications out of plain TensorFlow operations, for the CPU.

Tiles are cut out of the input, `common.network.winograd`'s matrices applied, and all points of all tiles
multiplied with the kernel's in one batched matrix product:

    cut -> BT @ -> matrix product -> AT @ -> join

A row is what one position has of channels: contiguous in NHWC, so that cutting and joining copy whole
rows. The gradients are made of the same parts: the input's is a convolution with the taps in reverse
order, the weight's a matrix product with one side transposed.
"""
from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf

from common.network.layers import Convolution, Pair
from common.network.winograd import Axis

Axes = Tuple[Axis, Axis]
Sizes = Sequence[tf.Tensor]  # scalars, along height and width


def convolve(layer: Convolution, axes: Axes, x: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """`layer` without its bias: (N, h, w, channels), weight in HWIO -> (N, h, w, layer.channels).

    Pads by itself; `axes` come from `common.network.winograd.axes`.
    """
    outputs, kernels, inputs = axes[0].transforms.beside(axes[1].transforms)
    strides = (axes[0].stride, axes[1].stride)
    before = (layer.pads[0][0], layer.pads[1][0])
    # In its gradient, the padded input's position 0 is phase 0 of 0; the input begins somewhat later.
    skipped, first = zip(*(divmod(pad, stride) for pad, stride in zip(before, strides)))
    reach = tuple((a.taps - 1) * a.dilation - skip for a, skip in zip(axes, skipped))

    @tf.custom_gradient
    def run(x: tf.Tensor, weight: tf.Tensor):
        sizes = tf.unstack(tf.shape(x)[1:3])
        taps = _taps(axes, weight)  # (taps, phases * channels, layer.channels)
        grid = _Grid(axes, [(size + sum(pads) - d * (k - 1) - 1) // s + 1 for size, pads, d, k, s in
                            zip(sizes, layer.pads, layer.dilation, layer.kernel, layer.stride)])
        points = _apply(inputs, grid.cut(x, before, strides))
        y = grid.join(_apply(outputs, tf.matmul(points, _apply(kernels, taps))), grid.outputs)

        def gradients(dy: tf.Tensor):
            with tf.name_scope(f"gradient_tape/{layer.name}"):  # as TensorFlow names its own
                products = _apply(outputs.T, grid.cut(dy, of_outputs=True))
                d_taps = _apply(kernels.T, tf.matmul(points, products, transpose_a=True))
                back = _Grid(axes, [(size - 1 + offset) // stride + 1 for size, offset, stride in
                                    zip(sizes, first, strides)])
                products = tf.matmul(_apply(inputs, back.cut(dy, reach)),
                                     _apply(kernels, tf.reverse(taps, (0,))), transpose_b=True)
                d_x = back.join(_apply(outputs, products), sizes, first, strides)
                return d_x, _kernel(axes, d_taps, weight.shape)

        return y, gradients

    return run(x, weight)


class _Grid(NamedTuple):
    """Tiles over a convolution's outputs, strides left aside; an axis with dilation has one row of
    tiles for each of its phases."""

    axes: Axes
    outputs: Sizes

    def cut(self, x: tf.Tensor, before: Pair = (0, 0), strides: Pair = (1, 1),
            of_outputs: bool = False) -> tf.Tensor:
        """What each tile sees of x (N, h, w, c) with zeros around: (points, N * tiles, phases * c).

        `before` zeros lie above and to the left. `of_outputs`: x is cut as the outputs are.
        """
        at = [self._seen(axis, stride, of_outputs) for axis, stride in enumerate(strides)]
        sizes, missing = tf.shape(x), [tf.reduce_max(where) + 1 for where in at]
        after = [tf.maximum(0, missing[i] - sizes[i + 1] - before[i]) for i in range(2)]
        x = tf.pad(x, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)))
        height, width = tf.unstack(tf.shape(x)[1:3])
        index = tf.reshape(at[0], (-1, 1)) * width + tf.reshape(at[1], (1, -1))
        index = tf.reshape(index, tf.concat([tf.shape(at[0]), tf.shape(at[1])], 0))
        index = tf.transpose(index, (0, 3, 1, 4, 2, 5))  # points, tiles, phases of both axes each
        images = tf.range(sizes[0])[:, None] * (height * width)
        index = tf.reshape(index, (at[0].shape[0] * at[1].shape[0], 1, -1)) + images
        seen = tf.gather(tf.reshape(x, (-1, x.shape[3])), tf.reshape(index, (-1,)))
        return tf.reshape(seen, (index.shape[0], -1, strides[0] * strides[1] * x.shape[3]))

    def join(self, tiles: tf.Tensor, sizes: Sizes, first: Pair = (0, 0),
             strides: Pair = (1, 1)) -> tf.Tensor:
        """The inverse for outputs: (outputs, N * tiles, phases * c) -> (N, *sizes, c).

        The upper left of the result is the tiles' position `first`, strides included.
        """
        channels = tiles.shape[2] // (strides[0] * strides[1])
        (a, i, p), (b, j, q) = (self._place(axis, tf.range(sizes[axis]) + first[axis], strides[axis])
                                for axis in range(2))
        down, right = self._num_tiles(0), self._num_tiles(1)
        batch = tf.shape(tiles)[1] // (down * right)
        a, i, p = (of_rows[:, None] for of_rows in (a, i, p))
        images = tf.range(batch)[:, None, None] * (down * right)
        index = (a * self.axes[1].outputs + b) * (batch * down * right) + images + i * right + j
        index = (index * strides[0] + p) * strides[1] + q
        rows = tf.gather(tf.reshape(tiles, (-1, channels)), tf.reshape(index, (-1,)))
        return tf.reshape(rows, (batch, sizes[0], sizes[1], channels))

    def _seen(self, axis: int, stride: int, of_outputs: bool) -> tf.Tensor:
        """Positions that tiles look at: (points, tiles, phases of the stride)."""
        a = self.axes[axis]
        starts = tf.range(a.dilation)[:, None] + a.dilation * a.outputs * tf.range(self._per_phase(axis))
        count = a.outputs if of_outputs else a.points
        steps = a.dilation * np.arange(count, dtype=np.int32)[:, None]
        at = steps + tf.reshape(starts, (-1,))
        return at[:, :, None] * stride + np.arange(stride, dtype=np.int32)

    def _place(self, axis: int, at: tf.Tensor, stride: int) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of positions: which output of which tile, and which phase of the stride."""
        a = self.axes[axis]
        at, stride_phase = at // stride, at % stride
        along, phase = at // a.dilation, at % a.dilation
        return along % a.outputs, phase * self._per_phase(axis) + along // a.outputs, stride_phase

    def _per_phase(self, axis: int) -> tf.Tensor:
        a = self.axes[axis]
        return (self.outputs[axis] - 1) // (a.dilation * a.outputs) + 1

    def _num_tiles(self, axis: int) -> tf.Tensor:
        return self.axes[axis].dilation * self._per_phase(axis)


def _apply(matrix: np.ndarray, x: tf.Tensor) -> tf.Tensor:
    """`matrix` (a, b) on the first axis of x (b, rows, channels)."""
    y = tf.matmul(tf.constant(matrix, tf.float32), tf.reshape(x, (x.shape[0], -1)))
    return tf.reshape(y, (matrix.shape[0], -1, x.shape[2]))


def _taps(axes: Axes, weight: tf.Tensor) -> tf.Tensor:
    """HWIO -> (taps, phases * in, out): of each phase of the stride its own taps, zeros where it lacks one."""
    (down, right), (r, s) = (a.stride for a in axes), (a.taps for a in axes)
    k, l, channels, outputs = weight.shape
    padded = tf.pad(weight, ((0, r * down - k), (0, s * right - l), (0, 0), (0, 0)))
    split = tf.reshape(padded, (r, down, s, right, channels, outputs))
    return tf.reshape(tf.transpose(split, (0, 2, 1, 3, 4, 5)), (r * s, -1, outputs))


def _kernel(axes: Axes, taps: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """The inverse of `_taps`."""
    (down, right), (r, s) = (a.stride for a in axes), (a.taps for a in axes)
    k, l, channels, outputs = shape
    split = tf.transpose(tf.reshape(taps, (r, s, down, right, channels, outputs)), (0, 2, 1, 3, 4, 5))
    return tf.reshape(split, (r * down, s * right, channels, outputs))[:k, :l]
