"""A network with its parameters and optimiser state in TensorFlow.

    from tf_impl.model import Model
    model = Model(spec, initialise(spec), SGD())
    model.stage(spectrograms, speakers)
    result = model.train_staged(learning_rate=0.01)

Methods and their contract: `common.twin.Model`.
"""
from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from types import MappingProxyType
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from common.data.form import NUM_BINS, NUM_FRAMES
from common.network import onnx_file
from common.network import params as parameters
from common.network.folding import fold_batch_norm
from common.network.layers import NetworkSpec, Parameter
from common.network.optimizer import SGD
from common.network.params import Params
from common.network.tiles import network_tables
from common.network.winograd import DIRECT, Plan, algorithm, default_plan, places
from common.twin import Inspection, StepResult
from tf_impl import layers, runtime, to_onnx, winograd
from tf_impl.construction import Statistics, output_to_canonical, to_canonical, to_framework

_SPECTROGRAMS = tf.TensorSpec((None, NUM_BINS, None), tf.float32)
_SPEAKERS = tf.TensorSpec((None,), tf.int32)
_SCALAR = tf.TensorSpec((), tf.float32)

_Tables = Dict[str, tf.Tensor]  # see `tf_impl.construction.Context`


class Model:
    """See `common.twin.Model`; plain variables and traced functions, no Keras.

    `plan`: which convolutions `tf_impl.winograd` computes; by default those of `default_plan`.
    """

    def __init__(self, spec: NetworkSpec, params: Params, optimizer: SGD, momenta: Optional[Params] = None,
                 plan: Optional[Plan] = None) -> None:
        self.spec = spec
        self.optimizer = optimizer
        self._plan = DIRECT if runtime.on_gpu() else default_plan(spec) if plan is None else plan
        self._parameters = spec.parameters()
        params, momenta = parameters.state(spec, params, momenta)
        with tf.device(runtime.device()):
            self._variables = {p.name: tf.Variable(to_framework(params[p.name]), trainable=p.trainable, name=p.name)
                               for p in self._parameters}
            self._momenta = {name: tf.Variable(to_framework(-value)) for name, value in momenta.items()}
        self._tables: Dict[bool, Tuple[Tuple[int, ...], _Tables]] = {}  # training -> last size and its
        batch = _SPECTROGRAMS, _SPEAKERS, self._table_specs(training=True)
        self._train = _traced(self._train_step, (*batch, _SCALAR))
        self._inspect = _traced(lambda *staged: self._backward(*staged)[:3], batch)
        self._parts = {"forward": _traced(lambda *staged: self._forward(*staged)[:1], batch),
                       "backward": _traced(self._gradients_alone, batch)}
        self._predict: Optional[tf.types.experimental.ConcreteFunction] = None
        self._batch: Tuple[tf.Tensor, Optional[tf.Tensor]]

    @property
    def nets(self) -> Tuple[tf.types.experimental.ConcreteFunction, tf.types.experimental.ConcreteFunction]:
        """What runs in a training step and in a prediction."""
        return self._train.get_concrete_function(), self._folded()

    def stage(self, spectrograms: np.ndarray, speakers: Optional[np.ndarray] = None) -> None:
        with tf.device(runtime.device()):
            self.stage_tensors(tf.constant(spectrograms, tf.float32),
                               None if speakers is None else tf.constant(speakers, tf.int32))

    def stage_tensors(self, spectrograms: tf.Tensor, speakers: Optional[tf.Tensor]) -> None:
        """Stage what already is in TensorFlow (tf.data delivers tensors)."""
        self._batch = (spectrograms, speakers)

    def train_staged(self, learning_rate: float) -> StepResult:
        self._predict = None  # its folded weights are about to be outdated
        spectrograms, speakers = self._batch
        loss, correct = self._train(spectrograms, speakers, self._tables_of(spectrograms, training=True),
                                    np.float32(learning_rate))
        return StepResult(float(loss), int(correct))

    def predict_staged(self) -> np.ndarray:
        spectrograms, _ = self._batch
        if self._predict is None:
            self._predict = self._folded()
        tables = self._tables_of(spectrograms, training=False)
        with _rewritten_once():
            return self._predict(spectrograms, tables).numpy()

    def run_staged(self, until: str) -> None:
        tables = self._tables_of(self._batch[0], training=True)
        self._parts[until](*self._batch, tables)[0].numpy()

    def inspect(self, spectrograms: np.ndarray, speakers: np.ndarray) -> Inspection:
        with tf.device(runtime.device()):
            tables = self._tables_of(spectrograms, training=True)
            loss, outputs, gradients = self._inspect(spectrograms, speakers, tables)
        return Inspection(
            {name: output_to_canonical(value.numpy()) for name, value in outputs.items()},
            float(loss), {name: to_canonical(value)
                          for name, value in gradients.items()})

    def params(self) -> Params:
        return {name: to_canonical(variable)
                for name, variable in self._variables.items()}

    def momenta(self) -> Params:
        # TensorFlow's fused update keeps the buffer with the opposite sign.
        return {name: -to_canonical(variable)
                for name, variable in self._momenta.items()}

    def load(self, params: Params, momenta: Optional[Params] = None) -> None:
        params, momenta = parameters.state(self.spec, params, momenta)
        for name, value in params.items():
            self._variables[name].assign(to_framework(value))
        for name, value in momenta.items():
            self._momenta[name].assign(to_framework(-value))
        self._predict = None

    def export_onnx(self, path: Path, facts: Mapping[str, str] = MappingProxyType({}), half: bool = False) -> None:
        onnx_file.save(to_onnx.export(self.spec, self.params()), path, facts, half)

    def facts(self) -> Dict[str, str]:
        return {**runtime.facts(), "algorithm": algorithm(self.spec, self._plan)}

    def _folded(self) -> tf.types.experimental.ConcreteFunction:
        """Testing network with batch norm folded into weights, made again when they change."""
        spec, params = fold_batch_norm(self.spec, self.params())
        values = {name: to_framework(value) for name, value in params.items()}
        prepared = {}  # no constants: of so large ones TensorFlow keeps several copies
        for layer, axes, _ in places(spec, self._plan):
            weight = values.pop(f"{layer.name}/weight")
            prepared[f"{layer.name}/kernels"] = winograd.kernels(layer, axes, weight)

        def logits(spectrograms: tf.Tensor, tables: _Tables) -> tf.Tensor:
            # Constants of the graph, so that TensorFlow may fuse and reorder them beforehand.
            constants = {name: tf.constant(value) for name, value in values.items()}
            return _logits(layers.forward(
                spec, self._plan, spectrograms, {**constants, **prepared}, False, tables)[0])

        # Concrete, because TensorFlow warns about a function that is made anew after each epoch.
        return _traced(logits, (_SPECTROGRAMS, self._table_specs(False))).get_concrete_function()

    def _table_specs(self, training: bool) -> Dict[str, tf.TensorSpec]:
        """Of the tables of any size."""
        return {name: tf.TensorSpec((None,) * table.ndim, tf.int32)
                for name, table in self._new_tables((1, NUM_FRAMES), training).items()}

    def _tables_of(self, spectrograms: np.ndarray, training: bool) -> _Tables:
        """Tables for the size of a batch, made when it is not that of the last one."""
        size = spectrograms.shape[0], spectrograms.shape[2]
        if training not in self._tables or self._tables[training][0] != size:
            tables = self._new_tables(size, training)
            self._tables[training] = size, {name: tf.constant(table) for name, table in tables.items()}
        return self._tables[training][1]

    def _new_tables(self, size: Tuple[int, int], training: bool) -> Dict[str, np.ndarray]:
        return network_tables(self.spec, self._plan, *size, training)

    def _gradients_alone(self, spectrograms: tf.Tensor, speakers: tf.Tensor, tables: _Tables
                         ) -> List[tf.Tensor]:
        """The loss and every gradient: a result of the function, or TensorFlow would leave it out."""
        loss, _, gradients, _ = self._backward(spectrograms, speakers, tables)
        return [loss, *gradients.values()]

    def _forward(self, spectrograms: tf.Tensor, speakers: tf.Tensor, tables: _Tables
                 ) -> Tuple[tf.Tensor, Dict[str, tf.Tensor], List[Statistics]]:
        outputs, statistics = layers.forward(
            self.spec, self._plan, spectrograms, self._variables, True, tables)
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(
            tf.one_hot(speakers, self.spec.num_speakers, self.spec.own_target, self.spec.other_target), _logits(outputs)))
        return loss, outputs, statistics

    def _backward(self, spectrograms: tf.Tensor, speakers: tf.Tensor, tables: _Tables
                  ) -> Tuple[tf.Tensor, Dict[str, tf.Tensor], Dict[str, tf.Tensor],
                             List[Statistics]]:
        trainable = {name: self._variables[name] for name in self._momenta}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trainable.values())
            loss, outputs, statistics = self._forward(spectrograms, speakers, tables)
        # A bias that batch norm takes away again is not there, see `tf_impl.layers`: its gradient is zero.
        zero = tf.UnconnectedGradients.ZERO
        return loss, outputs, tape.gradient(loss, trainable, unconnected_gradients=zero), statistics

    def _train_step(self, spectrograms: tf.Tensor, speakers: tf.Tensor, tables: _Tables,
                    learning_rate: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        loss, outputs, gradients, statistics = self._backward(spectrograms, speakers, tables)
        right = tf.equal(tf.argmax(_logits(outputs), axis=1, output_type=tf.int32), speakers)
        for p in self._parameters:
            if p.trainable:
                with tf.name_scope(f"update/{p.name}"):  # the profiler shows it
                    self._update(p, gradients[p.name], learning_rate)
        for layer, mean, variance in statistics:
            with tf.name_scope(f"update/{layer.name}"):
                self._average(f"{layer.name}/running_mean", layer.decay, mean)
                self._average(f"{layer.name}/running_variance", layer.decay, variance)
        return loss, tf.reduce_sum(tf.cast(right, tf.int32))

    def _update(self, parameter: Parameter, gradient: tf.Tensor, learning_rate: tf.Tensor) -> None:
        """One parameter's step by the formula of `common.network.optimizer`."""
        variable, decay = self._variables[parameter.name], self.optimizer.decay(parameter)
        if decay:
            gradient = gradient + decay * variable
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle, accum=self._momenta[parameter.name].handle, lr=learning_rate,
            grad=gradient, momentum=self.optimizer.momentum,
            use_nesterov=self.optimizer.nesterov)

    def _average(self, name: str, decay: float, batch: tf.Tensor) -> None:
        running = self._variables[name]
        running.assign(decay * running + (1 - decay) * batch)


def _traced(function: Callable, signature: Sequence) -> tf.types.experimental.PolymorphicFunction:
    """A graph of `function`. As it stands: rewriting its Python for tensors in its conditions, of which there
    are none, costs seconds and leaves source files in the system's folder for temporary ones."""
    return tf.function(function, signature, autograph=False)


@contextlib.contextmanager
def _rewritten_once() -> Iterator[None]:
    """Have a testing network's graph rewritten once, by the passes that find something: they fuse operations.

    TensorFlow's others change nothing in it and copy all weights each time, again whenever these are others: for
    VGG-M a second and more. Not on GPUs, where one of them chooses the layout.
    """
    eager = context.context()
    before = eager.function_call_options
    if not runtime.on_gpu():
        eager.function_call_options = _fusing()
    try:
        yield
    finally:
        eager.function_call_options = before


@functools.lru_cache(maxsize=None)
def _fusing() -> context.FunctionCallOptions:
    """Kept, because making it takes a good part of a small prediction."""
    config = context.context().config
    config.allow_soft_placement = True  # as TensorFlow itself has it for functions
    rewriting = config.graph_options.rewrite_options
    rewriting.optimizers.extend(("pruning", "remap"))  # the first takes away what stands between two operations
    rewriting.meta_optimizer_iterations = rewriting.ONE
    rewriting.disable_tfg_optimizer = True
    return context.FunctionCallOptions(config_proto=config)


def _logits(outputs: Dict[str, tf.Tensor]) -> tf.Tensor:
    return list(outputs.values())[-1]
