"""ONNX Runtime on a network that a twin exported: a baseline for inference.

    python -m common.speed.onnx_baseline FILE   # as a worker of `compare.py`
"""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable, Dict, Optional

import numpy as np

from common.network.layers import INPUT, OUTPUT, NetworkSpec
from common.network.onnx_session import open_session
from common.network.optimizer import SGD
from common.network.params import Params
from common.speed.bench import Bench
from common.speed.engine import INFERENCE, Engine
from common.speed.blocks import Tick, repeat
from common.speed.worker import serve


class Network:
    """See `common.speed.engine.Runner`; the file at `path`, as ONNX Runtime optimises it."""

    kinds = (INFERENCE,)

    def __init__(self, path: Path, threads: int) -> None:
        self._path, self._threads = path, threads
        self.load({})

    def stage(self, spectrograms: np.ndarray, speakers: np.ndarray) -> None:
        self._spectrograms = spectrograms

    def run(self, kind: str, steps: int, tick: Tick) -> object:
        return repeat(lambda: self.answer(self._spectrograms), steps, tick)

    def loss(self, learning_rate: float) -> float:
        raise NotImplementedError("ONNX Runtime does not train")

    def answer(self, spectrograms: np.ndarray) -> np.ndarray:
        return self._session.run([OUTPUT], {INPUT: spectrograms})[0]

    def load(self, params: Params, momenta: Optional[Params] = None) -> None:
        """Those that the file has now: whoever calls has exported them to it."""
        self._session = open_session(self._path, self._threads)

    def facts(self) -> Dict[str, str]:
        import onnxruntime

        return {"framework": f"ONNX Runtime {onnxruntime.__version__}", "device": "cpu",
                "engine": "MLAS", "layout": "NCHW", "precision": "float32",
                "threads": str(self._threads), "inference": "run, all its optimisations"}


def engine(path: Path) -> Engine:
    """An engine whose every network is the file at `path`; that it is the one asked for is proved
    by its answers (`Bench.evidence`)."""
    chosen = {"threads": 1}

    def configure(device: str, threads: int) -> None:
        chosen["threads"] = threads

    def matmul(size: int) -> Callable[[], object]:
        import onnx
        from onnx import TensorProto, helper

        def matrix(name: str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, (size, size))

        graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [matrix("a"), matrix("b")], [matrix("c")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        session = open_session(model.SerializeToString(), chosen["threads"])
        generator = np.random.default_rng(0)
        factors = {name: generator.standard_normal((size, size), np.float32) for name in "ab"}
        return lambda: session.run(["c"], factors)

    def runner(spec: NetworkSpec, params: Params, optimizer: SGD) -> Network:
        return Network(path, chosen["threads"])

    return Engine(configure, runner, matmul)


if __name__ == "__main__":
    serve(Bench(lambda: engine(Path(sys.argv[1]))))
