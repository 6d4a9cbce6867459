"""What building a network in TensorFlow is about: its tensors by name, and their layout.

Feature maps are NHWC here, (N, height = frequency, width = time, channels): the layout that
TensorFlow's CPU kernels are made for.
"""
from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from common.network.layers import BatchNorm
from common.network.winograd import Plan

Variables = Dict[str, tf.Tensor]  # tensors or variables, by canonical name


class Statistics(NamedTuple):
    """What one batch says about a batch-norm layer's running statistics."""

    layer: BatchNorm
    mean: tf.Tensor
    variance: tf.Tensor  # unbiased


class Context(NamedTuple):
    """What a builder sees besides its layer and input."""

    variables: Variables
    training: bool
    statistics: List[Statistics]  # batch norm appends here when training
    # Convolutions that are not in it are one operation each: on GPUs, which have them quick, and in
    # exports, all of them.
    plan: Plan
    tables: Mapping[str, tf.Tensor]  # those of `common.network.tiles` for the input's size
    normalised: bool  # the layer's output, by a batch norm that follows
    left_out: Optional[tf.Tensor]  # the bias of the layer before, which is a batch norm's to add


def to_framework(value: np.ndarray) -> np.ndarray:
    """A canonical tensor in TensorFlow's layout: OIHW -> HWIO, (out, in) -> (in, out)."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.T


def to_canonical(value: tf.Tensor) -> np.ndarray:
    """The inverse of `to_framework`, which TensorFlow does in a third of NumPy's time."""
    return tf.transpose(value, (3, 2, 0, 1) if value.shape.rank == 4 else None).numpy()


def output_to_canonical(value: np.ndarray) -> np.ndarray:
    """A layer's output (N, h, w, channels) as (N, channels, h, w); flat ones as they are."""
    return np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if value.ndim == 4 else value
