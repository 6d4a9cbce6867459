"""Every way through ONNX on one set of weights, in both frameworks, and what a wrong one looks like."""
import itertools

import numpy as np
import pytest

import caffe2_impl
import tf_impl
from common.data.records import RecordSet, RecordWriter
from common.errors import UserError
from common.network import architectures
from common.network import params as parameters
from common.network.onnx_file import read_parameters
from common.proof.crosscheck import CrossCheck, every_way, run_onnx
from common.training.checkpoint import Checkpoint, model_of
from common.training.config import TrainingConfig

SPEAKERS = 5
WIDTH = 0.05


@pytest.fixture(scope="module")
def twins():
    loaded = {"tensorflow": tf_impl.load(), "caffe2": caffe2_impl.load()}
    for twin in loaded.values():
        twin.configure("cpu", 1)
    return loaded


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> RecordSet:
    path, random = tmp_path_factory.mktemp("records") / "part-1.bin", np.random.default_rng(0)
    with RecordWriter(path) as writer:
        for label in range(SPEAKERS):
            writer.append(random.standard_normal((512, 300), np.float32), label)
    return RecordSet.open([path])


@pytest.fixture(params=list(architectures.NETWORKS))
def checkpoint(request) -> Checkpoint:
    """A network whose running statistics are not the neutral ones of a start."""
    config = TrainingConfig(network=request.param, width=WIDTH)
    spec = architectures.build(config.network, SPEAKERS, config.width)
    params, random = parameters.initialise(spec), np.random.default_rng(1)
    for p in spec.parameters():
        if p.role in ("scale", "running_variance"):
            params[p.name] = random.uniform(0.5, 2, p.shape).astype(np.float32)
        elif p.role != "weight":
            params[p.name] = random.normal(0, 0.3, p.shape).astype(np.float32)
    return Checkpoint(config, tuple("abcde"), params, parameters.zeros(spec))


def test_every_way_gives_the_same_logits(twins, checkpoint, records, tmp_path):
    ways = every_way(twins, checkpoint, records, np.arange(SPEAKERS), 1, tmp_path)
    assert set(ways) == {"tensorflow native", "caffe2 native", "tensorflow > ONNX Runtime",
                         "caffe2 > ONNX Runtime", "tensorflow > ONNX > caffe2",
                         "caffe2 > ONNX > tensorflow"}
    scale = max(np.abs(logits).max() for logits in ways.values())
    for pair in itertools.combinations(ways, 2):
        check = CrossCheck.of(*(ways[way] for way in pair))
        assert check.agrees and check.largest_difference < 1e-5 * max(1, scale), pair


def test_crosscheck_fails_for_other_weights(twins, checkpoint, records, tmp_path):
    everyone = np.arange(SPEAKERS)
    ways = every_way(twins, checkpoint, records, everyone, 1, tmp_path)
    export = tmp_path / f"{checkpoint.config.network}-caffe2.onnx"
    native = ways["caffe2 native"]
    assert CrossCheck.of(run_onnx(export, records, everyone, 1), native).agrees
    moved, turned = (CrossCheck.of(run_onnx(export, records, everyone, 1), logits) for logits in (native + np.float32(2e-3), -native))
    assert not moved.agrees and moved.largest_difference > 1e-3 and moved.same_answer == 1
    assert not turned.agrees and turned.same_answer < 1


def test_weights_come_back_bit_for_bit_from_caffe2s_export(twins, checkpoint, tmp_path):
    model_of(twins["caffe2"], checkpoint).export_onnx(tmp_path / "network.onnx")
    back = read_parameters(tmp_path / "network.onnx", checkpoint.spec)
    assert parameters.fingerprint(back) == parameters.fingerprint(checkpoint.params)


def test_an_export_without_canonical_names_is_refused(twins, checkpoint, tmp_path):
    model_of(twins["tensorflow"], checkpoint).export_onnx(tmp_path / "network.onnx")
    with pytest.raises(UserError, match="does not fit the network: missing"):
        read_parameters(tmp_path / "network.onnx", checkpoint.spec)
