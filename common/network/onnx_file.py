"""What the frameworks' ONNX exporters leave undone, mended in one place.

    save(exported_model, path)
    annotate(path, metadata_of(checkpoint))
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Mapping

import onnx

from common.files import replacing
from common.network.layers import NetworkSpec
from common.network.params import Params, check
from common.prepare.features import FFT_POINTS, NUM_BINS, SAMPLE_RATE, STEP_SAMPLES, WINDOW_SAMPLES
from common.training.checkpoint import Checkpoint

INPUT, OUTPUT = "spectrograms", "logits"  # (N, 512, frames) -> (N, num_speakers)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Give `model` the names and free axes that this project promises, check it and write it.

    tf2onnx names the output after the function's result; Caffe2's exporter fixes every size to its
    example's and lists weights as inputs, which keeps ONNX Runtime from optimising.
    """
    graph = model.graph
    _rename_output(graph)
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
    onnx.checker.check_model(model)
    _write(model, path)


def annotate(path: Path, facts: Mapping[str, str]) -> None:
    """Add metadata (speaker names, preprocessing, ...) to the ONNX file at `path`."""
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {**metadata(model), **facts})
    _write(model, path)


def _write(model: onnx.ModelProto, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def metadata_of(checkpoint: Checkpoint) -> Dict[str, str]:
    """What a user of the file must know: the speakers by label, and how to make its input."""
    unknown = "unknown"
    return {
        "network": checkpoint.config.network,
        "speakers": json.dumps(list(checkpoint.speakers), ensure_ascii=False),
        "trained_by": f"{checkpoint.framework or 'nobody'}, {checkpoint.epoch} epochs",
        "voices": "synthetic" if checkpoint.synthetic else "recorded",
        "preprocessing": json.dumps({
            "sampling_rate": SAMPLE_RATE, "window": f"Hamming, {WINDOW_SAMPLES} samples",
            "step": STEP_SAMPLES, "fft": FFT_POINTS, "bins": f"0 to {NUM_BINS - 1}",
            "scale": checkpoint.scale or unknown,
            "normalised": unknown if checkpoint.normalised is None else checkpoint.normalised}),
    }


def metadata(model: onnx.ModelProto) -> Dict[str, str]:
    """The metadata that a model carries."""
    return {entry.key: entry.value for entry in model.metadata_props}


def read_parameters(path: Path, spec: NetworkSpec) -> Params:
    """The parameters of `spec` out of an ONNX file that holds them by their canonical names.

    Caffe2's exporter keeps them; tf2onnx folds batch norm into weights, so its files do not.
    """
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor)
               for tensor in onnx.load(str(path)).graph.initializer}
    wanted = spec.parameters()
    return check({p.name: tensors[p.name] for p in wanted if p.name in tensors}, wanted, str(path))


def _rename_output(graph: onnx.GraphProto) -> None:
    old = graph.output[0].name
    for node in graph.node:
        node.output[:] = [OUTPUT if name == old else name for name in node.output]
        node.input[:] = [OUTPUT if name == old else name for name in node.input]
    graph.output[0].name = OUTPUT


def _free_axes(value: onnx.ValueInfoProto, names: Mapping[int, str]) -> None:
    for axis, name in names.items():
        value.type.tensor_type.shape.dim[axis].Clear()
        value.type.tensor_type.shape.dim[axis].dim_param = name
