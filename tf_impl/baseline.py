"""The networks as most people would write them in Keras: a baseline for what `tf_impl` does by hand.

    python -m tf_impl.baseline       # as a worker of `compare.py`, see `common.speed.worker`

Keras as it comes: its layers, `compile`, `fit` and `predict`, nothing tuned; whether TensorFlow uses
oneDNN is the processor's choice, or that of TF_ENABLE_ONEDNN_OPTS. Its batch norm averages
the biased variance, which no step and no speed depends on.
"""
from __future__ import annotations

import os
from typing import Callable, Dict, List, Optional

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import test_util

from common.data.form import NUM_BINS
from common.errors import UserError
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
from common.network.optimizer import SGD
from common.network import params as parameters
from common.network.params import Params
from common.speed.bench import Bench
from common.speed.engine import INFERENCE, RATE, TRAINING, Engine
from common.speed.blocks import Tick
from common.speed.worker import serve
from tf_impl.construction import to_canonical, to_framework


class Network:
    """See `common.speed.engine.Runner`; a functional Keras model."""

    kinds = (TRAINING, INFERENCE)

    def __init__(self, spec: NetworkSpec, params: Params, optimizer: SGD) -> None:
        self._spec = spec
        self._model = _model(spec, optimizer)
        self._model.compile(
            keras.optimizers.SGD(RATE, optimizer.momentum, optimizer.nesterov),
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=spec.other_target * spec.num_speakers), metrics=["accuracy"])
        self.load(params)

    def stage(self, spectrograms: np.ndarray, speakers: np.ndarray) -> None:
        self._batch = tf.data.Dataset.from_tensors(
            (tf.constant(spectrograms), tf.one_hot(speakers, self._spec.num_speakers)))

    def run(self, kind: str, steps: int, tick: Tick) -> object:
        self._model.optimizer.learning_rate = RATE
        method = {TRAINING: self._model.fit, INFERENCE: self._model.predict}[kind]
        told = method(self._batch.repeat(steps), verbose=0, callbacks=[_Ticks(tick)])
        return told[-len(told) // steps:] if kind == INFERENCE else told  # of all steps, one after the other

    def loss(self, learning_rate: float) -> float:
        self._model.optimizer.learning_rate = learning_rate
        decay = float(sum(self._model.losses))  # which Keras counts in
        return self._model.fit(self._batch, verbose=0).history["loss"][0] - decay

    def answer(self, spectrograms: np.ndarray) -> np.ndarray:
        return self._model.predict_on_batch(spectrograms)

    def load(self, params: Params, momenta: Optional[Params] = None) -> None:
        self._assign(params, "weights", 1)
        momenta = parameters.zeros(self._spec) if momenta is None else momenta
        self._assign(momenta, "momenta", -1)

    def params(self) -> Params:
        return self._values("weights", 1)

    def momenta(self) -> Params:
        return self._values("momenta", -1)  # Keras keeps them with the opposite sign

    def _assign(self, tensors: Params, what: str, sign: int) -> None:
        for layer in self._spec.layers:
            own = [tensors[name] for name in tensors if name.split("/")[0] == layer.name]
            for variable, value in zip(self._variables(layer, what), _weights(layer, own, self._spec) if own else ()):
                variable.assign(sign * value)

    def _values(self, what: str, sign: int) -> Params:
        names = iter([p.name for p in self._spec.parameters() if p.trainable or what == "weights"])
        return {next(names): sign * value for layer in self._spec.layers for value in _canonical(
            layer, [variable.value for variable in self._variables(layer, what)], self._spec)}

    def _variables(self, layer: Layer, what: str) -> List[keras.Variable]:
        """Of a layer, in canonical order."""
        own = self._model.get_layer(layer.name)
        if what == "weights":
            return own.weights
        optimizer = self._model.optimizer
        optimizer.build(self._model.trainable_variables)
        place = {id(variable): number for number, variable in enumerate(self._model.trainable_variables)}
        return [optimizer.momentums[place[id(variable)]] for variable in own.trainable_weights]

    def facts(self) -> Dict[str, str]:
        # Of the processor's choosing where the variable for it is not set.
        engine = "Eigen + oneDNN" if test_util.IsMklEnabled() else "Eigen"
        return {
            "framework": f"Keras {keras.__version__} on TensorFlow {tf.__version__}",
            "device": "cpu" if not tf.config.get_visible_devices("GPU") else "gpu",
            "engine": f"{engine}, XLA by Keras's choice" if self._model.jit_compile else engine,
            "layout": "NHWC",
            "precision": keras.config.floatx(),
            "threads": str(tf.config.threading.get_intra_op_parallelism_threads()),
            "training": "fit over a resident tf.data.Dataset, batches timed by a callback",
            "inference": "predict, likewise",
        }


class _Ticks(keras.callbacks.Callback):
    """Ticks when the first batch of a call begins, and when each ends."""

    def __init__(self, tick: Tick) -> None:
        super().__init__()
        self._tick = tick

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        if batch == 0:
            self._tick()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self._tick()

    on_predict_batch_begin, on_predict_batch_end = on_train_batch_begin, on_train_batch_end


def load() -> Engine:
    """Keras as an engine; importing this module has imported TensorFlow."""
    return Engine(_configure, Network)


def _configure(device: str, threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)  # as it comes, on so many cores
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not tf.config.list_physical_devices("GPU"):
        raise UserError("Keras does not find the GPU that CUDA shows; use --device cpu")
    tf.config.experimental.enable_tensor_float_32_execution(False)  # as in `tf_impl.runtime`


def _model(spec: NetworkSpec, optimizer: SGD) -> keras.Model:
    inputs = keras.Input((NUM_BINS, None))  # (N, bins, frames)
    # Loss + half the factor times the squared weights has the decay's gradient.
    decay = keras.regularizers.L2(optimizer.weight_decay / 2)
    over_time = isinstance(spec.layers[0], BinsAsChannels)
    x = inputs if over_time else keras.layers.Reshape((NUM_BINS, -1, 1))(inputs)
    for layer in spec.layers:
        for part in _BUILDERS[type(layer)](layer, decay, over_time):
            x = part(x)
    return keras.Model(inputs, x)


def _convolution(layer: Convolution, decay: keras.Regularizer, over_time: bool) -> List[keras.Layer]:
    if over_time:
        padding = [keras.layers.ZeroPadding1D(layer.pads[1])] if any(layer.pads[1]) else []
        return [*padding, keras.layers.Conv1D(
            layer.channels, layer.kernel[1], layer.stride[1], dilation_rate=layer.dilation[1],
            kernel_regularizer=decay, name=layer.name)]
    padding = [keras.layers.ZeroPadding2D(layer.pads)] if layer.padded else []
    return [*padding, keras.layers.Conv2D(
        layer.channels, layer.kernel, layer.stride, dilation_rate=layer.dilation,
        kernel_regularizer=decay, name=layer.name)]


def _statistics(layer: StatisticsPool) -> keras.Layer:
    def pool(x: tf.Tensor) -> tf.Tensor:  # (N, frames, channels) -> (N, 2 * channels)
        mean, variance = keras.ops.moments(x, axes=1)
        return keras.ops.concatenate([mean, keras.ops.sqrt(variance + layer.epsilon)], axis=1)

    return keras.layers.Lambda(pool, name=layer.name)


# layer type -> (layer, decay, whether the network convolves over time alone) -> Keras layers
_BUILDERS: Dict[type, Callable[[Layer, keras.Regularizer, bool], List[keras.Layer]]] = {
    BinsAsChannels: lambda layer, *_: [keras.layers.Permute((2, 1), name=layer.name)],
    Convolution: _convolution,
    BatchNorm: lambda layer, *_: [keras.layers.BatchNormalization(
        momentum=layer.decay, epsilon=layer.epsilon, name=layer.name)],
    Relu: lambda layer, *_: [keras.layers.ReLU(name=layer.name)],
    MaxPool: lambda layer, *_: [keras.layers.MaxPooling2D(layer.kernel, layer.stride,
                                                          name=layer.name)],
    AveragePool: lambda layer, *_: [keras.layers.GlobalAveragePooling2D(name=layer.name)],
    StatisticsPool: lambda layer, *_: [_statistics(layer)],
    Dense: lambda layer, decay, _: [keras.layers.Dense(layer.units, kernel_regularizer=decay,
                                                       name=layer.name)],
}


def _weights(layer: Layer, own: List[np.ndarray], spec: NetworkSpec) -> List[np.ndarray]:
    """A layer's canonical tensors as Keras has them: kernels (high, wide, in, out) or (wide, in, out), and (in, out)."""
    first, *others = map(to_framework, own)
    return [first[0] if _over_time(layer, spec) else first, *others]


def _canonical(layer: Layer, own: List[tf.Variable], spec: NetworkSpec) -> List[np.ndarray]:
    """The other way round."""
    if not own:
        return []
    first, *others = own
    return [to_canonical(value) for value in (first[tf.newaxis] if _over_time(layer, spec) else first, *others)]


def _over_time(layer: Layer, spec: NetworkSpec) -> bool:
    """Whether it convolves over time alone."""
    return isinstance(layer, Convolution) and isinstance(spec.layers[0], BinsAsChannels)


if __name__ == "__main__":
    serve(Bench(load))
