"""Batches into TensorFlow: tf.data reads ahead while the model computes."""
from __future__ import annotations

from typing import Iterator, List, Tuple

import numpy as np
import tensorflow as tf

from common.data.batches import Batch
from common.data.form import NUM_BINS
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

    signature = (tf.TensorSpec((None, NUM_BINS, None), tf.float32), tf.TensorSpec((None,), tf.int32))
    options = tf.data.Options()
    # There is nothing to tune, and the end of an epoch waits for the tuner to wake up: it sleeps
    # twice as long each time, up to a minute, and a training run stands still meanwhile.
    options.autotune.enabled = False
    data = tf.data.Dataset.from_generator(generate, output_signature=signature)
    data = data.prefetch(_AHEAD).with_options(options)
    for spectrograms, speakers in data:
        model.stage_tensors(spectrograms, speakers)
        yield speakers.numpy()
    if failures:
        raise failures[0]
