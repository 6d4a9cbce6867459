"""TensorFlow's own timing of every operation of a step.

    operators = profile(model, training=True, steps=3)
"""
from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import DefaultDict, Dict, List, Tuple

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from common.errors import UserError
from common.speed.engine import BACKWARD, FORWARD
from common.speed.profile import COPIES, LOSS, OTHER, UPDATE, layer_of, weighted_layer
from common.twin import OpTime
from tf_impl.model import Model

_LOSS = ("SoftmaxCrossEntropyWithLogits", "OneHot", "ArgMax", "Equal")
_COPIES = ("_MklToTf", "_Copy", "_HostSend", "_HostRecv", "_Send", "_Recv")
_WEIGHTED = ("Conv2D", "MatMul")
_KERNEL = re.compile(r"([^:\s]+):([^:\s]+)")


def profile(model: Model, training: bool, steps: int) -> List[OpTime]:
    """Seconds of each operation in a training step at rate 0, or in a prediction; the mean of `steps`."""

    def step() -> None:
        if training:
            model.train_staged(0.0)
        else:
            model.predict_staged()

    step()  # builds what is built once
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder, options):
            for _ in range(steps):
                step()
        space = xplane_pb2.XSpace()
        for file in Path(folder).rglob("*.xplane.pb"):
            space.MergeFromString(file.read_bytes())
    return [OpTime(kind, *_place(name, kind, model), seconds / steps)
            for (name, kind), seconds in _operations(space).items()]


def _operations(space: xplane_pb2.XSpace) -> Dict[Tuple[str, str], float]:
    """(name, type) of every operation -> seconds in all, out of the profiler's traces."""
    seconds: DefaultDict[Tuple[str, str], float] = defaultdict(float)
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # Kernels appear as "conv1/BiasAdd:_FusedConv2D"; what they call has other forms.
                found = _KERNEL.fullmatch(plane.event_metadata[event.metadata_id].name)
                if found:
                    seconds[found.groups()] += event.duration_ps / 1e12
    if not seconds:
        raise UserError("TensorFlow's profiler recorded no operation; is another profiler running?")
    return dict(seconds)


def _place(name: str, kind: str, model: Model) -> Tuple[str, str]:
    """Row and phase of an operation, by the name scopes it was built in."""
    phase, scope = FORWARD, name
    for prefix, its_phase in (("gradient_tape/", BACKWARD), ("update/", UPDATE)):
        if name.startswith(prefix):
            phase, scope = its_phase, name[len(prefix):]
    if kind.startswith(_COPIES):
        return COPIES, phase
    if scope.startswith(_LOSS):
        return LOSS, phase
    layer = layer_of(scope.split("/")[0], [layer.name for layer in model.spec.layers])
    if layer is None:
        return OTHER, phase
    # One kernel for convolution, bias and ReLU has the name of the last of them.
    return weighted_layer(layer, model.spec) if any(w in kind for w in _WEIGHTED) else layer, phase
