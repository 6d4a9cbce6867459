"""Every engine gives the same logits and embeddings, and ONNX Runtime knows all that a checkpoint does."""
from __future__ import annotations

import importlib
from pathlib import Path
from typing import Dict

import numpy as np
import onnx
import pytest
from commands import WorkerHere
from onnx import TensorProto, helper
from small_networks import drawn_batch, drawn_params, relative_errors

from common.errors import UserError
from common.identify.engines import Engine, OnnxEngine, TwinEngine
from common.network import params as parameters
from common.network.architectures import NETWORKS, build
from common.speed.worker import Worker
from common.training.checkpoint import Checkpoint, model_of
from common.training.config import TrainingConfig
from common.training.trained import Trained

SPEAKERS = ("Ada", "Bea", "Cleo", "Zoë, the \"third\"")
WIDTH = 0.05
TWINS = ("tf_impl", "caffe2_impl")


def checkpoint(network: str = "tdnn") -> Checkpoint:
    """Random parameters of every role."""
    spec = build(network, len(SPEAKERS), WIDTH)
    return Checkpoint(TrainingConfig(network=network, width=WIDTH), SPEAKERS, drawn_params(spec), parameters.zeros(spec),
                      epoch=3, framework="Caffe2", scale="log", normalised=False, synthetic=True)


@pytest.mark.parametrize("network", NETWORKS)
def test_all_engines_say_the_same(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "of", WorkerHere.of)
    trained = checkpoint(network)
    engines: Dict[str, Engine] = {}
    for package in TWINS:
        load = importlib.import_module(package).load
        load().configure("cpu", 1)
        engines[package] = TwinEngine(load, trained, "cpu", 1)
        path = tmp_path / f"{package}.onnx"
        model_of(load(), trained).export_onnx(path, Trained.of(trained).metadata())
        engines[f"{package}'s export"] = OnnxEngine(path, 1)
    assert [engine.name for engine in engines.values()] == ["TensorFlow", "ONNX Runtime", "Caffe2", "ONNX Runtime"]
    assert all(engine.trained == Trained.of(trained) for engine in engines.values())
    for ask in ("logits", "embeddings"):
        for frames in (100, 300):
            spectrograms, _ = drawn_batch(3, frames)
            said = {name: getattr(engine, ask)(spectrograms) for name, engine in engines.items()}
            expected = said["tf_impl"]
            assert expected.shape[0] == 3 and np.ptp(expected, axis=0).max() > 0.01
            errors = relative_errors(said, {name: expected for name in said})
            assert max(errors.values()) < 1e-5, (ask, frames, errors)


@pytest.mark.parametrize("changed", [{}, {"scale": None, "normalised": None, "synthetic": False}, {"normalised": True}])
def test_what_is_known_of_a_model_comes_back_from_its_metadata(changed: Dict[str, object]) -> None:
    trained = Trained(**{**vars(Trained.of(checkpoint())), **changed})
    assert Trained.read(trained.metadata(), "x.onnx") == trained


@pytest.mark.parametrize("name, value", [
    ("speakers", None), ("speakers", "Ada"), ("speakers", "[1, 2]"), ("speakers", '["Ada"]'), ("speakers", "3"),
    ("preprocessing", None), ("preprocessing", "[]"), ("preprocessing", '{"scale": "mel", "normalised": true}'),
    ("preprocessing", '{"scale": "log", "normalised": "yes"}'), ("voices", "many"), ("parameters", None)])
def test_damaged_metadata_are_refused(name: str, value: object) -> None:
    damaged = {**Trained.of(checkpoint()).metadata(), name: value}
    with pytest.raises(UserError, match="x.onnx does not say which speakers"):
        Trained.read({key: text for key, text in damaged.items() if text is not None}, "x.onnx")


def test_files_that_are_no_exports_of_this_project_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(UserError, match="x.onnx is no ONNX file"):
        OnnxEngine(path, 1)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4)) for name in ("spectrograms", "logits")]
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["spectrograms"], ["logits"])], "net", ends[:1],
                                                ends[1:]), opset_imports=[helper.make_opsetid("", 9)], ir_version=4)
    onnx.save(model, str(path))
    with pytest.raises(UserError, match="does not say which speakers"):
        OnnxEngine(path, 1)
    helper.set_model_props(model, Trained.of(checkpoint()).metadata())
    onnx.save(model, str(path))
    with pytest.raises(UserError, match="no outputs logits and embedding, only logits; export the model again"):
        OnnxEngine(path, 1)
