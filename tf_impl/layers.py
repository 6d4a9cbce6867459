"""Builds each layer type of `common.network.layers` out of plain TensorFlow operations.

In the layout of `tf_impl.construction`.
"""
from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from common.network.layers import (
    AveragePool,
    BatchNorm,
    BinsAsChannels,
    Convolution,
    Dense,
    Layer,
    MaxPool,
    NetworkSpec,
    Relu,
    StatisticsPool,
)
from common.network.winograd import Plan
from common.network.winograd import axes as winograd_axes
from tf_impl import winograd
from tf_impl.construction import Context, Statistics, Variables


def forward(spec: NetworkSpec, plan: Plan, spectrograms: tf.Tensor, variables: Variables, training: bool,
            tables: Mapping[str, tf.Tensor]) -> Tuple[Dict[str, tf.Tensor], List[Statistics]]:
    """Every layer's output by name, the last being the logits, and batch statistics if training.

    `tables`: see `Context`.
    """
    statistics: List[Statistics] = []
    left_out: Optional[tf.Tensor] = None
    x = tf.expand_dims(spectrograms, -1)  # (N, bins, frames) -> (N, bins, frames, 1)
    outputs = {}
    for layer, following in zip(spec.layers, (*spec.layers[1:], None)):
        normalised = training and isinstance(following, BatchNorm)
        context = Context(variables, training, statistics, plan, tables, normalised, left_out)
        left_out = variables.get(f"{layer.name}/bias") if normalised else None
        with tf.name_scope(layer.name):  # the profiler shows it
            x = BUILDERS[type(layer)](layer, x, context)
            outputs[layer.name] = x if left_out is None else x + left_out
    return outputs, statistics


def _bins_as_channels(layer: BinsAsChannels, x: tf.Tensor, context: Context) -> tf.Tensor:
    return tf.transpose(x, (0, 3, 2, 1))  # (N, bins, frames, 1) -> (N, 1, frames, bins)


def _convolution(layer: Convolution, x: tf.Tensor, context: Context) -> tf.Tensor:
    bias = context.variables[f"{layer.name}/bias"]
    if layer.name in context.plan:
        return _biased(_winograd(layer, x, context), bias, context)
    weight = context.variables[f"{layer.name}/weight"]
    if layer.padded:
        # Apart, because TensorFlow takes a convolution's gradients to oneDNN only if the convolution
        # itself pads nothing; its own kernels are up to ten times slower.
        x = tf.pad(x, ((0, 0), *layer.pads, (0, 0)))
    if layer.dilation == (1, 1) and layer.kernel != (1, 1):
        x = tf.nn.conv2d(x, weight, layer.stride, "VALID")
    else:
        x = _spliced_convolution(layer, x, weight)
    return _biased(x, bias, context)


def _winograd(layer: Convolution, x: tf.Tensor, context: Context) -> tf.Tensor:
    axes = winograd_axes(layer, context.plan[layer.name])
    if f"{layer.name}/kernels" in context.variables:
        kernels = context.variables[f"{layer.name}/kernels"]
        return winograd.product(layer, axes, x, kernels, context.tables)[0]
    return winograd.convolve(layer, axes, x, context.variables[f"{layer.name}/weight"], context.tables)


def _biased(x: tf.Tensor, bias: tf.Tensor, context: Context) -> tf.Tensor:
    """x + bias, but x alone where batch norm follows: it takes the mean away, and the bias with it.

    The bias then shows in the running mean only, and its gradient is zero.
    """
    return x if context.normalised else tf.nn.bias_add(x, bias)


def _spliced_convolution(layer: Convolution, x: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """With gradients of our own: TensorFlow has none of a dilated convolution on the CPU.

    The weight's is a product with the input spliced as time-delay networks put it (for a single tap
    quicker than TensorFlow's own), the input's a convolution with the kernel turned round.
    """
    @tf.custom_gradient
    def convolve(x: tf.Tensor, weight: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        def gradients(dy: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
            with tf.name_scope(f"gradient_tape/{layer.name}"):  # as TensorFlow names its own
                spliced = _spliced(layer, x, dy)
                d_weight = tf.matmul(tf.reshape(spliced, (-1, spliced.shape[3])),
                                     tf.reshape(dy, (-1, layer.channels)), transpose_a=True)
                turned = tf.transpose(tf.reverse(weight, (0, 1)), (0, 1, 3, 2))
                d_x = tf.nn.conv2d(_spread(layer, dy, x), turned, 1, "VALID",
                                   dilations=layer.dilation)
                return d_x, tf.reshape(d_weight, tf.shape(weight))

        return tf.nn.conv2d(x, weight, layer.stride, "VALID",
                            dilations=layer.dilation), gradients

    return convolve(x, weight)


def _spliced(layer: Convolution, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """What each tap of the kernel sees, side by side: (N, h of dy, w of dy, taps * channels in)."""
    (down, right), ends = layer.stride, _last_starts(layer, dy) + 1
    taps = []
    for i, j in np.ndindex(*layer.kernel):
        top, left = i * layer.dilation[0], j * layer.dilation[1]
        taps.append(x[:, top:top + ends[0]:down, left:left + ends[1]:right])
    return tf.concat(taps, axis=3)


def _spread(layer: Convolution, dy: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """`dy` with zeros where the stride jumped, and so many around that a convolution gives x's size."""
    ends = _last_starts(layer, dy) + 1
    if layer.stride != (1, 1):
        zeros = [(0, stride - 1) for stride in layer.stride]
        dy = tf.pad(dy[:, :, None, :, None], ((0, 0), (0, 0), zeros[0], (0, 0), zeros[1], (0, 0)))
        n, h, down, w, right, channels = tf.unstack(tf.shape(dy))
        dy = tf.reshape(dy, (n, h * down, w * right, channels))[:, :ends[0], :ends[1]]
    before = [(k - 1) * d for k, d in zip(layer.kernel, layer.dilation)]
    after = tf.shape(x)[1:3] - ends
    return tf.pad(dy, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)))


def _last_starts(layer: Convolution, dy: tf.Tensor) -> tf.Tensor:
    """Row and column of the input at which the window of the last output begins."""
    return (tf.shape(dy)[1:3] - 1) * layer.stride


def _batch_norm(layer: BatchNorm, x: tf.Tensor, context: Context) -> tf.Tensor:
    scale, shift, mean, variance = (
        context.variables[f"{layer.name}/{role}"]
        for role in ("scale", "shift", "running_mean", "running_variance")
    )
    flat = x.shape.rank == 2
    if flat:
        x = tf.reshape(x, (-1, 1, 1, x.shape[1]))
    if context.training and not flat and tf.config.threading.get_intra_op_parallelism_threads() == 1:
        y, batch_mean, batch_variance = _normalised_in_pieces(layer, x, scale, shift)
    else:
        given = (tf.constant([], tf.float32),) * 2 if context.training else (mean, variance)
        y, batch_mean, batch_variance = _fused(layer, x, scale, shift, *given)[:3]
    if context.training:
        if context.left_out is not None:
            batch_mean += context.left_out
        context.statistics.append(Statistics(layer, batch_mean, batch_variance))
    return tf.reshape(y, (-1, y.shape[3])) if flat else y


def _fused(layer: BatchNorm, x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, mean: tf.Tensor,
           variance: tf.Tensor) -> Sequence[tf.Tensor]:
    """TensorFlow's operation: by mean and variance as given, or, if these are empty, by those of x.

    The raw one: its wrapper silently raises epsilon to at least 1.001e-5.
    """
    return tf.raw_ops.FusedBatchNormV3(x=x, scale=scale, offset=shift, mean=mean, variance=variance,
                                       epsilon=layer.epsilon, is_training=mean.shape[0] == 0)


def _normalised_in_pieces(layer: BatchNorm, x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor
                          ) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """x normalised by its own mean and variance, and both, the variance unbiased.

    A single thread of `_fused` adds up all values of a channel one after the other, 300,000 of them in
    VGG-M's first layer, and the variance is off by 5e-5. Here rows are added up first, then their sums.
    """
    @tf.custom_gradient
    def normalise(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> Tuple[Tuple[tf.Tensor, ...], Callable]:
        mean = tf.reduce_mean(tf.reduce_mean(x, 2), (0, 1))
        variance = tf.reduce_mean(tf.reduce_mean(tf.math.squared_difference(x, mean), 2), (0, 1))

        def gradients(dy: tf.Tensor, _: tf.Tensor, __: tf.Tensor) -> Tuple[tf.Tensor, ...]:
            with tf.name_scope(f"gradient_tape/{layer.name}"):  # as TensorFlow names its own
                return tf.raw_ops.FusedBatchNormGradV3(
                    y_backprop=dy, x=x, scale=scale, reserve_space_1=mean, reserve_space_2=variance,
                    reserve_space_3=tf.constant([], tf.float32), epsilon=layer.epsilon, is_training=True)[:3]

        y = _fused(layer, x, scale, shift, mean, variance)[0]
        count = tf.cast(tf.size(x) // tf.size(mean), tf.float32)
        return (y, mean, variance * (count / tf.maximum(count - 1, 1))), gradients

    return normalise(x, scale, shift)


def _relu(layer: Relu, x: tf.Tensor, context: Context) -> tf.Tensor:
    return tf.nn.relu(x)


def _max_pool(layer: MaxPool, x: tf.Tensor, context: Context) -> tf.Tensor:
    return tf.nn.max_pool2d(x, layer.kernel, layer.stride, padding="VALID")


def _average_pool(layer: AveragePool, x: tf.Tensor, context: Context) -> tf.Tensor:
    return tf.reduce_mean(x, (1, 2))


def _statistics_pool(layer: StatisticsPool, x: tf.Tensor, context: Context) -> tf.Tensor:
    """With a gradient of our own, of two passes over x where TensorFlow's takes five."""
    @tf.custom_gradient
    def pool(x: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        mean, variance = tf.nn.moments(x, (1, 2), keepdims=True)
        deviation = tf.sqrt(variance + layer.epsilon)

        def gradients(d_pooled: tf.Tensor) -> tf.Tensor:
            with tf.name_scope(f"gradient_tape/{layer.name}"):  # as TensorFlow names its own
                d_mean, d_deviation = tf.split(d_pooled[:, None, None], 2, axis=3)
                count = tf.cast(tf.reduce_prod(tf.shape(x)[1:3]), tf.float32)
                slope = d_deviation / (deviation * count)
                return x * slope + (d_mean / count - mean * slope)

        return tf.squeeze(tf.concat([mean, deviation], axis=3), (1, 2)), gradients

    return pool(x)


def _dense(layer: Dense, x: tf.Tensor, context: Context) -> tf.Tensor:
    weight, bias = (context.variables[f"{layer.name}/{role}"] for role in ("weight", "bias"))
    return _biased(tf.matmul(x, weight), bias, context)


BUILDERS: Dict[type, Callable[[Layer, tf.Tensor, Context], tf.Tensor]] = {
    BinsAsChannels: _bins_as_channels,
    Convolution: _convolution,
    BatchNorm: _batch_norm,
    Relu: _relu,
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    StatisticsPool: _statistics_pool,
    Dense: _dense,
}
