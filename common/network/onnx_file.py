"""What the frameworks' ONNX exporters leave undone, mended in one place.

    save(exported_model, path, Trained.of(checkpoint).metadata())       # of common.training.trained
"""
from __future__ import annotations

import math
from pathlib import Path
from types import MappingProxyType
from typing import Mapping

import numpy as np
import onnx

from common.files import replacing
from common.network.layers import EMBEDDING, OUTPUT, NetworkSpec
from common.network.params import Params, check, halved


def save(model: onnx.ModelProto, path: Path, facts: Mapping[str, str] = MappingProxyType({}), half: bool = False) -> None:
    """Give `model` the names, free axes and second output that this project promises, check it and write it.

    facts: its metadata (speaker names, preprocessing, ...); half: whether weights are kept in half precision.

    tf2onnx names the output after the function's result; Caffe2's exporter fixes every size to its
    example's and lists weights as inputs, which keeps ONNX Runtime from optimising.
    """
    graph = model.graph
    _rename(graph, graph.output[0].name, OUTPUT)
    graph.output[0].name = OUTPUT
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    nodes = [node for node in graph.node
             if node.op_type != "Constant" or used.intersection(node.output)]
    del graph.input[:], graph.initializer[:], graph.node[:]
    graph.input.extend(inputs)
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    del graph.value_info[:]  # sizes of inner tensors, true for the example's sizes only
    # Weights that are no inputs exist from intermediate representation 4 on; opset 9 goes with it.
    model.ir_version = max(model.ir_version, 4)
    _free_axes(graph.input[0], {0: "utterances", 2: "frames"})
    _free_axes(graph.output[0], {0: "utterances"})
    _add_embedding(graph)
    if half:
        _halve(graph)
    onnx.helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model)
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def read_parameters(path: Path, spec: NetworkSpec) -> Params:
    """The parameters of `spec` out of an ONNX file that holds them by their canonical names.

    Caffe2's exporter keeps them; tf2onnx folds batch norm into weights, so its files do not.
    """
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor)
               for tensor in onnx.load(str(path)).graph.initializer}
    wanted = spec.parameters()
    return check({p.name: tensors[p.name] for p in wanted if p.name in tensors}, wanted, str(path))


def _halve(graph: onnx.GraphProto) -> None:
    """Keep weights in half precision; what computes with them gets float32 as before."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    casts = []
    for name, half in halved({name: onnx.numpy_helper.to_array(tensor) for name, tensor in tensors.items()}).items():
        if half.dtype == np.float16:
            tensors[name].CopyFrom(onnx.numpy_helper.from_array(half, f"{name}:half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}:half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _add_embedding(graph: onnx.GraphProto) -> None:
    """Make the input of the last dense layer an output too. Who does not ask for it does not pay for it."""
    made_by = {name: node for node in graph.node for name in node.output}
    dense = made_by[OUTPUT]
    while dense.op_type not in ("Gemm", "MatMul"):
        dense = made_by[dense.input[0]]
    _rename(graph, dense.input[0], EMBEDDING)
    weight = next(tensor for tensor in graph.initializer if tensor.name == dense.input[1])
    speakers = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    graph.output.append(onnx.helper.make_tensor_value_info(
        EMBEDDING, onnx.TensorProto.FLOAT, ["utterances", math.prod(weight.dims) // speakers]))


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]


def _free_axes(value: onnx.ValueInfoProto, names: Mapping[int, str]) -> None:
    for axis, name in names.items():
        value.type.tensor_type.shape.dim[axis].Clear()
        value.type.tensor_type.shape.dim[axis].dim_param = name
