"""What an ONNX file promises whatever exporter wrote it; on files written by hand, run by ONNX Runtime."""
from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from common.errors import UserError
from common.network import onnx_file
from common.network.architectures import build
from common.network.layers import EMBEDDING, INPUT, OUTPUT

WEIGHT = np.random.default_rng(0).standard_normal((512, 3)).astype(np.float32)


def exported() -> onnx.ModelProto:
    """Mean over frames, then a dense layer, with every bad habit of the two exporters.

    Sizes fixed to an example's, weights listed as inputs, a weight and a constant that nothing
    uses, sizes of inner tensors noted, another name for the output.
    """
    nodes = [
        helper.make_node("Constant", [], ["unused"], value=numpy_helper.from_array(np.zeros(4, np.float32))),
        helper.make_node("Constant", [], ["offset"], value=numpy_helper.from_array(np.ones(3, np.float32))),
        helper.make_node("ReduceMean", ["spectrograms"], ["pooled"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["pooled", "weight"], ["product"]),
        helper.make_node("Add", ["product", "offset"], ["Identity:0"]),
    ]
    weights = [numpy_helper.from_array(WEIGHT, "weight"), numpy_helper.from_array(np.zeros(9, np.float32), "unused_too")]
    inputs = [_value("spectrograms", (1, 512, 300)), *(_value(w.name, w.dims) for w in weights)]
    graph = helper.make_graph(nodes, "net", inputs, [_value("Identity:0", (1, 3))], weights,
                              value_info=[_value("pooled", (1, 512))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)])
    model.ir_version = 3
    return model


def _value(name: str, shape: Tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def names(values: List) -> List[str]:
    return [value.name for value in values]


@pytest.fixture()
def path(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx_file.save(exported(), path)
    return path


def test_names_and_free_axes(path: Path) -> None:
    graph = onnx.load(str(path)).graph
    assert names(graph.input) == ["spectrograms"] and names(graph.output) == ["logits", "embedding"]
    sizes = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
             for value in (graph.input[0], *graph.output)]
    assert sizes == [["utterances", 512, "frames"], ["utterances", 3], ["utterances", 512]]


def test_only_what_is_used_is_kept(path: Path) -> None:
    graph = onnx.load(str(path)).graph
    assert names(graph.initializer) == ["weight"]
    assert [node.op_type for node in graph.node] == ["Constant", "ReduceMean", "MatMul", "Add"]
    assert not graph.value_info


@pytest.mark.parametrize("size, frames", [(1, 300), (5, 120)])
def test_onnx_runtime_takes_any_number_and_length(path: Path, size: int, frames: int) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    spectrograms = np.random.default_rng(1).standard_normal((size, 512, frames)).astype(np.float32)
    logits, embedding = session.run([OUTPUT, EMBEDDING], {INPUT: spectrograms})
    np.testing.assert_allclose(logits, spectrograms.mean(axis=2) @ WEIGHT + 1, atol=1e-5)
    np.testing.assert_allclose(embedding, spectrograms.mean(axis=2), atol=1e-6)


def test_an_output_that_other_nodes_read_is_renamed_for_them_too(tmp_path: Path) -> None:
    model = exported()
    model.graph.node.append(helper.make_node("Relu", ["Identity:0"], ["beside"]))
    onnx_file.save(model, tmp_path / "net.onnx")
    assert onnx.load(str(tmp_path / "net.onnx")).graph.node[-1].input == ["logits"]


def test_a_graph_that_does_not_hold_together_is_refused(tmp_path: Path) -> None:
    model = exported()
    del model.graph.node[2]
    with pytest.raises(onnx.checker.ValidationError):
        onnx_file.save(model, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def metadata(path: Path) -> Dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}


def test_a_file_carries_what_is_to_be_known_of_it(path: Path, tmp_path: Path) -> None:
    assert metadata(path) == {}
    facts = {"speakers": '["Zoë"]', "scale": "magnitude"}
    onnx_file.save(exported(), tmp_path / "known.onnx", facts)
    assert metadata(tmp_path / "known.onnx") == facts
    onnxruntime.InferenceSession(str(tmp_path / "known.onnx"), providers=["CPUExecutionProvider"])


def test_halved_weights_compute_as_float32(path: Path) -> None:
    whole = path.stat().st_size
    onnx_file.save(exported(), path, {"speakers": "[]"}, half=True)
    assert path.stat().st_size < 0.7 * whole and metadata(path) == {"speakers": "[]"}
    spectrograms = np.random.default_rng(1).standard_normal((2, 512, 100)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits, = session.run([OUTPUT], {INPUT: spectrograms})
    rounded = WEIGHT.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(logits, spectrograms.mean(axis=2) @ rounded + 1, atol=1e-5)
    assert np.abs(logits - (spectrograms.mean(axis=2) @ WEIGHT + 1)).max() > 1e-5


def test_parameters_are_read_back_by_their_names(tmp_path: Path) -> None:
    spec = build("tdnn", 3, 0.02)
    wanted = {p.name: np.random.default_rng(0).random(p.shape, np.float32) for p in spec.parameters()}
    graph = helper.make_graph([], "net", [], [], [numpy_helper.from_array(v, n) for n, v in wanted.items()])
    onnx.save(helper.make_model(graph), str(tmp_path / "net.onnx"))
    read = onnx_file.read_parameters(tmp_path / "net.onnx", spec)
    assert list(read) == list(wanted)
    assert all(np.array_equal(read[name], value) for name, value in wanted.items())


def test_a_file_without_the_parameters_says_which(path: Path) -> None:
    with pytest.raises(UserError, match="net.onnx.*frame1/weight"):
        onnx_file.read_parameters(path, build("tdnn", 3, 0.02))
