"""An ONNX file as `export` writes it, made without a framework: it knows speakers by their mean spectrum."""
from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from common.network import onnx_file
from common.training.trained import Trained

NAMES = ("Ada", "Bea", "Cleo")
TEMPERATURE = 2.0


def mean_model(path: Path, speakers: Tuple[str, ...] = NAMES, seed: int = 0, **known: object) -> Trained:
    """Write it: logits are the mean spectrum (512,) times a random matrix. Returns what is known of it."""
    weight = np.random.default_rng(seed).standard_normal((512, len(speakers))).astype(np.float32)
    nodes = [helper.make_node("ReduceMean", ["spectrograms"], ["mean"], axes=[2], keepdims=0),
             helper.make_node("MatMul", ["mean", "weight"], ["product"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("spectrograms", (1, 512, 300)), ("product", (1, len(speakers))))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [numpy_helper.from_array(weight, "weight")])
    trained = Trained(**{**dict(network="tdnn", speakers=speakers, trained_by="nobody, 0 epochs", parameters=f"{seed:016x}",
                                scale="log", normalised=False, temperature=TEMPERATURE), **known})
    onnx_file.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)]), path, trained.metadata())
    return trained
