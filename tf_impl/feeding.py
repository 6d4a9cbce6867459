"""Batches into TensorFlow: tf.data reads ahead while the model computes."""
from __future__ import annotations

from typing import Iterator, List, Tuple

import numpy as np
import tensorflow as tf

from common.batches import Batch
from tf_impl.model import Model

_AHEAD = 3  # batches; enough to hide a slow read, little memory


def staged(model: Model, batches: Iterator[Batch]) -> Iterator[np.ndarray]:
    """Stage batch after batch through tf.data; yields the speakers (N,) of each once staged."""
    failures: List[Exception] = []

    def generate() -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        try:
            for batch in batches:
                yield batch.spectrograms, batch.speakers
        except Exception as error:  # TensorFlow would wrap it in an error of its own
            failures.append(error)

    signature = (tf.TensorSpec((None, 512, None), tf.float32), tf.TensorSpec((None,), tf.int32))
    data = tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(_AHEAD)
    for spectrograms, speakers in data:
        model.stage_tensors(spectrograms, speakers)
        yield speakers.numpy()
    if failures:
        raise failures[0]
