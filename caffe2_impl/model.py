"""A network with its parameters and optimiser state in Caffe2.

    from caffe2_impl.model import Model
    model = Model(spec, initialise(spec), SGD())
    model.stage(spectrograms, speakers)
    result = model.train_staged(learning_rate=0.01)

Methods and their contract: `common.twin.Model`.
"""
from __future__ import annotations

import itertools
import weakref
from pathlib import Path
from types import MappingProxyType
from typing import Dict, Mapping, Optional, Tuple

import numpy as np
from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace

from caffe2_impl import layers, runtime, to_onnx, winograd
from caffe2_impl.construction import (
    Construction,
    create,
    declare_inputs,
    edge,
    finish,
    found_layouts,
    give_back,
    net_of,
    to_plain,
)
from common.network import onnx_file
from common.network import params as parameters
from common.network.folding import fold_batch_norm, folded_spec
from common.network.layers import NetworkSpec
from common.network.optimizer import SGD
from common.network.params import Params
from common.network.winograd import DIRECT, Plan, algorithm, default_plan
from common.twin import Inspection, StepResult

_numbers = itertools.count()


class Model:
    """See `common.twin.Model`; a training net and a separate testing net with folded weights.

    `plan`: which convolutions `caffe2_impl.winograd` computes; by default those of `default_plan`.
    """

    def __init__(self, spec: NetworkSpec, params: Params, optimizer: SGD, momenta: Optional[Params] = None,
                 plan: Optional[Plan] = None) -> None:
        self.spec = spec
        self.optimizer = optimizer
        self._plan = DIRECT if runtime.on_gpu() else default_plan(spec) if plan is None else plan
        self._parameters = spec.parameters()
        self._scope = f"model_{next(_numbers)}/"
        self._test_scope = f"{self._scope}folded/"
        weakref.finalize(self, give_back, self._scope).atexit = False
        # What is to be computed: a training step, with two nets that are its beginnings, and a prediction.
        self.training = self._build("train", spec, self._scope, training=True)
        self._forward, self._backward = self._add_training_step()
        self.testing = self._build_testing({})
        # What it is computed from. What depends on the shape of a batch is fed with the first of that shape.
        self._feed_constants()
        self.load(params, momenta)
        self._sizes: Dict[str, Tuple[int, ...]] = {}  # scope -> shape of input that its nets know of
        self._layouts: Dict[Tuple[int, ...], Dict[str, str]] = {}  # shape of input -> what oneDNN chose
        # What Caffe2 makes of it; of the testing net with the first prediction, of the other with the first inspection.
        self._create_training_nets()
        self._size_net = net_of(f"{self._scope}size", core.CreateOperator(  # tells the input's shape without a copy of the input
            "Shape", [self.input_blobs[0]], [f"{self._scope}size"], device_option=edge()))
        self._inspecting: Optional[core.Net] = None

    @property
    def input_blobs(self) -> Tuple[str, str]:
        """The blobs that hold the staged spectrograms (N, 1, 512, frames) and speakers (N,)."""
        return f"{self._scope}spectrograms", f"{self._scope}speakers"

    @property
    def nets(self) -> Tuple[core.Net, core.Net]:
        """What runs in a training step and in a prediction."""
        return self.training.net, self.testing.net

    def stage(self, spectrograms: np.ndarray, speakers: Optional[np.ndarray] = None) -> None:
        blobs, device = self.input_blobs, edge()
        workspace.FeedBlob(blobs[0], np.ascontiguousarray(spectrograms[:, np.newaxis], np.float32),
                           device_option=device)
        if speakers is not None:
            workspace.FeedBlob(blobs[1], speakers.astype(np.int32), device_option=device)

    def train_staged(self, learning_rate: float) -> StepResult:
        self._folded_is_current = False
        self._feed_learning_rate(learning_rate)
        self._adapt(self._scope)
        workspace.RunNet(self.training.net)
        fraction = float(workspace.FetchBlob(f"{self._scope}accuracy"))
        num = workspace.blobs[self.input_blobs[1]].shape[0]
        return StepResult(float(workspace.FetchBlob(f"{self._scope}loss")), round(fraction * num))

    def predict_staged(self) -> np.ndarray:
        if not self._folded_is_current:
            self._feed_folded()
        shape = self._adapt(self._test_scope)
        if shape in self._layouts:
            self._read_as(self._layouts[shape])
            workspace.RunNet(self.testing.net)
        else:
            workspace.RunNet(self.testing.net)
            self._layouts[shape] = self._found_layouts(shape)
            if self._read_as(self._layouts[shape]):
                workspace.RunNet(self.testing.net)
        *_, logits = self.testing.outputs.values()
        return workspace.FetchBlob(logits)

    def run_staged(self, until: str) -> None:
        self._folded_is_current = False
        self._adapt(self._scope)
        workspace.RunNet({"forward": self._forward, "backward": self._backward}[until])

    def inspect(self, spectrograms: np.ndarray, speakers: np.ndarray) -> Inspection:
        running = {p.name: workspace.FetchBlob(self._scope + p.name) for p in self._parameters if not p.trainable}
        self.stage(spectrograms, speakers)
        self._adapt(self._scope)
        workspace.RunNet(self._inspection())
        outputs = {name: self._output(name) for name in self.training.outputs}
        gradients = {p.name: workspace.FetchBlob(f"{self._scope}{p.name}_grad")
                     for p in self._parameters if p.trainable}
        loss = float(workspace.FetchBlob(f"{self._scope}loss"))
        # Caffe2's batch norm moves its running statistics in the forward pass already.
        self._feed(running)
        return Inspection(outputs, loss, gradients)

    def params(self) -> Params:
        return {p.name: workspace.FetchBlob(self._scope + p.name) for p in self._parameters}

    def momenta(self) -> Params:
        return {p.name: workspace.FetchBlob(f"{self._scope}{p.name}_momentum")
                for p in self._parameters if p.trainable}

    def load(self, params: Params, momenta: Optional[Params] = None) -> None:
        params, momenta = parameters.state(self.spec, params, momenta)
        self._feed(params)
        self._feed(momenta, suffix="_momentum")
        self._folded_is_current = False

    def export_onnx(self, path: Path, facts: Mapping[str, str] = MappingProxyType({}), half: bool = False) -> None:
        onnx_file.save(to_onnx.export(self.spec, self.params()), path, facts, half)

    def facts(self) -> Dict[str, str]:
        facts = runtime.facts()
        layout = facts["layout"] + (", Winograd NHWC" if self._plan else "")
        return {**facts, "layout": layout, "algorithm": algorithm(self.spec, self._plan)}

    def _build(self, name: str, spec: NetworkSpec, scope: str, training: bool,
               layouts: Mapping[str, str] = MappingProxyType({})) -> Construction:
        """The layers of `spec`. `layouts`: in which oneDNN leaves maps, see `caffe2_impl.construction`."""
        network = Construction(core.Net(f"{self._scope}{name}"), runtime.device(), training, self._plan, scope=scope,
                               layouts=layouts)
        layers.forward(network, spec, self.input_blobs[0])
        declare_inputs(network.net)
        return network

    def _build_testing(self, layouts: Mapping[str, str]) -> Construction:
        return self._build("test", folded_spec(self.spec), self._test_scope, training=False, layouts=layouts)

    def _add_training_step(self) -> Tuple[core.Net, core.Net]:
        """Append loss, gradients and update to the training net; returns copies that end after the first two of them."""
        network = self.training
        loss = layers.loss(network, self.spec, self.input_blobs[1])
        forward = network.net.Clone(f"{self._scope}forward")
        with core.DeviceScope(network.device):  # where the gradient of the loss, a 1, is made
            network.net.AddGradientOperators([loss])
        backward = network.net.Clone(f"{self._scope}backward")
        self._add_update(network.net)
        return forward, backward

    def _output(self, layer: str) -> np.ndarray:
        """A layer's output in the canonical layout."""
        value = workspace.FetchBlob(self.training.outputs[layer])
        if layer in self.training.channels_last:
            return np.ascontiguousarray(value.transpose(0, 3, 1, 2))
        return value

    def _inspection(self) -> core.Net:
        """The backward net that keeps every layer's output; made when it is first wanted."""
        if self._inspecting is None:
            self._inspecting = self._backward.Clone(f"{self._scope}inspect")
            create(self._inspecting, self.training, self.training.outputs.values(), f"{self._scope}inspect/")
        return self._inspecting

    def _add_update(self, net: core.Net) -> None:
        """Append the formula of `common.network.optimizer` for every parameter."""
        for p in self._parameters:
            if not p.trainable:
                continue
            device = self.training.devices[p.name]
            place = _place(device)
            blob, gradient = self._scope + p.name, f"{self._scope}{p.name}_grad"
            if len(p.shape) == 4 and place:
                gradient = to_plain(net, gradient)
            with core.DeviceScope(device):
                if self.optimizer.decay(p):
                    net.WeightedSum([gradient, f"{self._scope}one{place}", blob,
                                     f"{self._scope}weight_decay{place}"], gradient)
                net.MomentumSGDUpdate(
                    [gradient, f"{blob}_momentum", f"{self._scope}learning_rate", blob],
                    [gradient, f"{blob}_momentum", blob],
                    momentum=self.optimizer.momentum, nesterov=int(self.optimizer.nesterov))
        for c in self.training.corrections:
            with core.DeviceScope(runtime.IDEEP):
                net.WeightedSum([c.running, f"{self._scope}one_ideep", c.batch, c.factor], c.running)

    def _feed_folded(self) -> None:
        _, params = fold_batch_norm(self.spec, self.params())
        for name in list(params):  # each goes as soon as it is fed
            workspace.FeedBlob(self._test_scope + name, params.pop(name), device_option=self.testing.devices[name])
        for operator in self.testing.preparation:
            workspace.RunOperatorOnce(operator)
        # A new net, because IDEEP convolutions keep the reordered weights of their first run.
        self._create_test_net()
        self._folded_is_current = True

    def _create_test_net(self) -> None:
        *_, logits = self.testing.outputs.values()
        create(self.testing.net, self.testing, [logits, *(each.blob for each in self.testing.exits)], self._test_scope)

    def _found_layouts(self, shape: Tuple[int, ...]) -> Dict[str, str]:
        """What oneDNN chose for the testing net's maps when it ran on an input of `shape`."""
        return found_layouts(self.testing, {step.layer.name: step.output_shape
                                             for step in self.spec.steps(int(shape[-1]))})

    def _read_as(self, layouts: Mapping[str, str]) -> bool:
        """Have the testing net read maps in these layouts; returns whether it had to be made anew."""
        if all(layouts[each.blob] == each.layout for each in self.testing.exits):
            return False
        workspace.C.delete_net(self.testing.net.Name())
        self.testing = self._build_testing(layouts)
        self._create_test_net()
        return True

    def _feed(self, values: Params, suffix: str = "") -> None:
        for name, value in values.items():
            workspace.FeedBlob(self._scope + name + suffix, value, device_option=self.training.devices[name])

    def _feed_learning_rate(self, value: float) -> None:
        # IDEEP's update, too, wants it as a plain CPU tensor.
        workspace.FeedBlob(f"{self._scope}learning_rate", np.full(1, value, np.float32),
                           device_option=edge())

    def _feed_constants(self) -> None:
        for scope in (self._scope, self._test_scope):
            for name, value in {**layers.constants(self.spec), **layers.loss_constants(self.spec)}.items():
                workspace.FeedBlob(scope + name, value, device_option=edge())
            for name, value in winograd.constants(self.spec, self._plan).items():
                workspace.FeedBlob(scope + name, value)
        # What the update reads, on each device on which parameters live.
        for device in {d.SerializeToString(): d for d in self.training.devices.values()}.values():
            for name, number in (("one", 1.0), ("weight_decay", self.optimizer.weight_decay)):
                workspace.FeedBlob(self._scope + name + _place(device), np.full(1, number, np.float32), device_option=device)

    def _create_training_nets(self) -> None:
        names = None
        for net in (self.training.net, self._backward, self._forward):  # each the beginning of the one before
            finish(net, self.training)
            names = create(net, self.training, (), self._scope, names)

    def _adapt(self, scope: str) -> Tuple[int, ...]:
        """Feed what the nets of a scope have to know about the shape of the staged batch; returns it."""
        workspace.RunNet(self._size_net)
        shape = tuple(workspace.FetchBlob(f"{self._scope}size"))
        if shape == self._sizes.get(scope):
            return shape
        training = scope == self._scope
        tables = winograd.size_tables(self.spec, self._plan, shape[0], shape[-1], training)
        for name, value in tables.items():
            workspace.FeedBlob(scope + name, value)
        if training:
            self._feed_corrections(shape)
        self._sizes[scope] = shape
        return shape

    def _feed_corrections(self, shape: Tuple[int, ...]) -> None:
        """Tell the running variances how many values a batch has per channel."""
        positions = {step.layer.name: int(np.prod(step.output_shape[1:]))
                     for step in self.spec.steps(int(shape[-1]))}
        for c in self.training.corrections:
            count = shape[0] * positions[c.layer.name]
            factor = (1 - c.layer.decay) / max(1, count - 1)
            workspace.FeedBlob(c.factor, np.full(1, factor, np.float32), device_option=runtime.IDEEP)


def _place(device: caffe2_pb2.DeviceOption) -> str:
    return "_ideep" if device.device_type == caffe2_pb2.IDEEP else ""
