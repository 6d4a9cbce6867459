"""TensorFlow's matrix product, to see what the machine can do.

    multiply = matmul(1536)
"""
from __future__ import annotations

from typing import Callable

import tensorflow as tf


def matmul(size: int) -> Callable[[], object]:
    """A function that multiplies two square float32 matrices."""
    a, b = (tf.random.stateless_normal((size, size), (seed, 0)) for seed in range(2))
    multiply = tf.function(tf.matmul)
    return lambda: multiply(a, b)
