"""Convolutions with fewer multiplications out of Caffe2's operators, on the CPU, in NHWC.

Tiles are cut out of the input, `common.network.winograd`'s matrices applied, and all points of all tiles
multiplied with the kernel's in one batched matrix product:

    Gather -> MatMul (inputs) -> BatchMatMul -> MatMul (outputs) -> Gather

In a training net the whole of it is one operator at first, of which Caffe2's automatic differentiation
learns from this file that it has one gradient operator; `expand` then puts real ones in their places.
"""
from __future__ import annotations

import itertools
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from caffe2.proto import caffe2_pb2
from caffe2.python import core

from caffe2_impl.runtime import CPU
from common.network.layers import Convolution, NetworkSpec
from common.network.tiles import network_tables
from common.network.winograd import Plan, axes, matrices, places

_FORWARD, _BACKWARD = "Winograd", "WinogradGradient"  # no operators that Caffe2 has
# What the layers of all nets use one after the other, so that it is there once: blob -> its name there.
_SCRATCH = {
    **dict.fromkeys(("tiles", "d_output_tiles", "d_tiles"), "tiles"),
    **dict.fromkeys(("products", "d_products", "d_input_products"), "products"),
    **dict.fromkeys(("output_tiles", "d_input_tiles"), "output_tiles"),
    "d_points": "points",  # but a training net keeps its "points" for the weight's gradient
    **{name: name for name in ("alias_in", "alias_out", "rows_in", "rows_out", "d_kernels", "ohwi", "split",
                               "old_shape")},
}

Operators = List[caffe2_pb2.OperatorDef]


class Place(NamedTuple):
    """A layer that is computed so."""

    layer: Convolution
    points: int
    channels: int  # of its input
    scope: str  # begins the names of its blobs


def operator(place: Place, inputs: Sequence[str], output: str, input_gradient: bool) -> caffe2_pb2.OperatorDef:
    """One operator for all of `parts` in a training net, which `expand` knows by the layer's name."""
    return core.CreateOperator(_FORWARD, list(inputs), [output], place.layer.name, device_option=CPU,
                               input_gradient=int(input_gradient))


def parts(place: Place, inputs: Sequence[str], output: str, training: bool) -> Tuple[Operators, Operators]:
    """What computes a place: what depends on the weight alone, and the rest of it.

    `inputs`: a blob (N, h, w, channels), the weight in OIHW, the bias.
    """
    given = place, inputs, [output], training
    return _Parts(*given).kernels(), _Parts(*given).product()


def expand(net: caffe2_pb2.NetDef, layers: Mapping[str, Place]) -> None:
    """Put real operators in the places of what `operator` made, and of its gradients; `layers`: by name."""
    before = caffe2_pb2.NetDef()
    before.CopyFrom(net)
    del net.op[:]
    for op in before.op:
        if op.type == _FORWARD:
            net.op.extend(itertools.chain(*parts(layers[op.name], op.input, op.output[0], training=True)))
        elif op.type == _BACKWARD:
            net.op.extend(_Parts(layers[op.name], op.input, op.output, training=True, is_gradient=True).gradients())
        else:
            net.op.extend([op])


@core.GradientRegistry.RegisterGradient(_FORWARD)
def _gradient(op: caffe2_pb2.OperatorDef, gradients: List[str]
              ) -> Tuple[Operators, List[Optional[str]]]:
    back = caffe2_pb2.OperatorDef()
    back.CopyFrom(op)
    back.type = _BACKWARD
    back.input.append(gradients[0])
    x, weight, bias = (f"{name}_grad" for name in op.input)
    wanted = [x, weight, bias] if op.arg[0].i else [weight, bias]
    back.output[:] = wanted
    return [back], [x if x in wanted else None, weight, bias]


def constants(spec: NetworkSpec, plan: Plan) -> Dict[str, np.ndarray]:
    """Blobs that every size of input needs, by name without the scope."""
    blobs = {}
    for layer, found, (channels, *_) in places(spec, plan):
        blobs.update({_name(layer, f"matrix_{name}"): value
                      for name, value in matrices(layer, found)._asdict().items()})
        for name, width in (("zeros_in", channels), ("zeros_out", layer.channels)):
            blobs[_name(layer, name)] = np.zeros((1, width), np.float32)
    return blobs


def size_tables(spec: NetworkSpec, plan: Plan, batch: int, frames: int, training: bool
                ) -> Dict[str, np.ndarray]:
    """Blobs for one size of the network's input, by name without the scope."""
    blobs: Dict[str, np.ndarray] = dict(network_tables(spec, plan, batch, frames, training))
    for layer, *_ in places(spec, plan) if training else ():
        blobs[_name(layer, "ones")] = np.ones((1, blobs[_name(layer, "join")].size + 1), np.float32)
    return blobs


def _name(layer: Convolution, name: str) -> str:
    return f"{layer.name}/{name}"


class _Parts:
    """The operators of a place, a list of them at a time."""

    def __init__(self, place: Place, inputs: Sequence[str], outputs: Sequence[str], training: bool,
                 is_gradient: bool = False) -> None:
        self._layer, points, self._channels, self._scope = place
        height, width = axes(self._layer, points)
        self._points = height.points * width.points
        self._inputs = height.stride * width.stride * self._channels  # of one point
        self._given, self._wanted, self._is_gradient = list(inputs), list(outputs), is_gradient
        self._scratch = {**_SCRATCH, **({} if training else {"points": "points"})}
        self._ops: Operators = []

    def kernels(self) -> Operators:
        """The weight at every point, which does not depend on the input."""
        # OIHW -> OHWI -> HWIO: ten times as quick as one Transpose over four axes.
        ohwi = self._add("NCHW2NHWC", [self._given[1]], "ohwi")
        positions = int(np.prod(self._layer.kernel))
        self._reshape(ohwi, [self._layer.channels, -1])
        hwio = self._reshape(self._add("Transpose", [ohwi], "hwio"), [positions, -1])
        self._matrix("kernel", hwio, "kernels", [self._points, self._inputs, self._layer.channels])
        return self._ops

    def product(self) -> Operators:
        """The rest: input -> output."""
        outputs = self._layer.channels
        (x, _, bias), (y,) = self._given, self._wanted
        rows = self._rows(x, self._channels, "in", with_zeros=self._layer.padded)
        tiles = self._add("Gather", [rows, self._blob("cut")], "tiles")
        points = self._matrix("inputs", tiles, "points", [self._points, -1, self._inputs])
        products = self._add("BatchMatMul", [points, self._blob("kernels")], "products")
        tiles = self._matrix("outputs", products, "output_tiles", [-1, outputs])
        self._add("Gather", [tiles, self._blob("join")], y)
        self._add("Add", [y, bias], y, broadcast=1)
        return self._ops

    def gradients(self) -> Operators:
        """Those of input (if wanted), weight and bias, from the output's, which is given last."""
        *of_input, of_weight, of_bias = self._wanted
        rows = self._rows(self._given[-1], self._layer.channels, "out", with_zeros=True)
        self._add("MatMul", [self._blob("ones"), rows], of_bias)
        self._reshape(of_bias, [-1])
        self._weight_gradient(rows, of_weight)
        if of_input:
            self._input_gradient(rows, of_input[0])
        return self._ops

    def _weight_gradient(self, rows: str, gradient: str) -> None:
        tiles = self._add("Gather", [rows, self._blob("back_cut_outputs")], "d_output_tiles")
        products = self._matrix("outputs", tiles, "d_products", [self._points, -1, self._layer.channels],
                                trans_a=1)
        kernels = self._add("BatchMatMul", [self._blob("points"), products], "d_kernels", trans_a=1)
        self._reshape(kernels, [self._points * self._inputs // self._channels, -1])
        hwio = self._matrix("kernel", kernels, "d_hwio", [-1, self._layer.channels], trans_a=1)
        ohwi = self._reshape(self._add("Transpose", [hwio], "d_ohwi"),
                             [self._layer.channels, *self._layer.kernel, self._channels])
        self._add("NHWC2NCHW", [ohwi], gradient)

    def _input_gradient(self, rows: str, gradient: str) -> None:
        """A convolution of the output's gradient with the taps in reverse order."""
        outputs = self._layer.channels
        tiles = self._add("Gather", [rows, self._blob("back_cut")], "d_tiles")
        points = self._matrix("inputs", tiles, "d_points", [self._points, -1, outputs])
        kernels = self._matrix("turned", self._blob("hwio"), "turned",
                               [self._points, self._inputs, outputs])
        products = self._add("BatchMatMul", [points, kernels], "d_input_products", trans_b=1)
        tiles = self._matrix("outputs", products, "d_input_tiles", [-1, self._channels])
        self._add("Gather", [tiles, self._blob("back_join")], gradient)

    def _rows(self, x: str, channels: int, side: str, with_zeros: bool) -> str:
        """x as rows, with one of zeros behind the last where tables ask for it."""
        rows = self._reshape(self._add("Alias", [x], f"alias_{side}"), [-1, channels])
        if not with_zeros:
            return rows
        both, split = self._blob(f"rows_{side}"), self._blob("split")
        self._append("Concat", [rows, self._blob(f"zeros_{side}")], [both, split], axis=0)
        return both

    def _matrix(self, matrix: str, tiles: str, output: str, shape: Sequence[int], trans_a: int = 0
                ) -> str:
        """One of `common.network.winograd.Matrices` times the first axis of blob `tiles`."""
        product = self._add("MatMul", [self._blob(f"matrix_{matrix}"), tiles], output, axis_b=1,
                            trans_a=trans_a)
        return self._reshape(product, shape)

    def _reshape(self, blob: str, shape: Sequence[int]) -> str:
        self._append("Reshape", [blob], [blob, self._blob("old_shape")], shape=list(shape))
        return blob

    def _add(self, kind: str, inputs: List[str], output: str, **arguments: object) -> str:
        """Append an operator; an output without a scope is one of this file's blobs."""
        output = output if "/" in output else self._blob(output)
        self._append(kind, inputs, [output], **arguments)
        return output

    def _append(self, kind: str, inputs: List[str], outputs: List[str], **arguments: object) -> None:
        op = core.CreateOperator(kind, inputs, outputs, device_option=CPU, **arguments)
        op.is_gradient_op = self._is_gradient
        self._ops.append(op)

    def _blob(self, name: str) -> str:
        shared = self._scratch.get(name)
        return f"winograd/{shared}" if shared else self._scope + _name(self._layer, name)
