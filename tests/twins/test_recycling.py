"""Blobs that share memory are never needed at the same time."""
from typing import Dict, List, Tuple

import pytest

from common.network import params as parameters
from common.network.architectures import NETWORKS, build
from common.network.optimizer import SGD

Values = List[Tuple]  # of every operator's inputs, as who wrote them


def reads(net) -> Values:
    """For each operator, which operator's which output each of its inputs is (-1: from outside)."""
    writer: Dict[str, Tuple[int, int]] = {}
    shared: Dict[str, str] = {}  # a view -> what it shows
    found = []
    for number, op in enumerate(net.op):
        found.append(tuple((writer.get(blob, (-1, 0)), writer.get(shared.get(blob, ""), None))
                           for blob in op.input))
        for place, blob in enumerate(op.output):
            if blob not in op.input:
                shared.pop(blob, None)
            writer[blob] = number, place
        if op.type == "Alias":
            shared[op.output[0]] = op.input[0]
    return found


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    from caffe2_impl import load

    load().configure("cpu", 1)
    from caffe2_impl.model import Model

    spec = build(request.param, 3, width=0.1)
    return Model(spec, parameters.initialise(spec), SGD())


@pytest.mark.parametrize("training", [True, False])
def test_every_operator_reads_what_it_read_before(model, training: bool) -> None:
    from caffe2.proto import caffe2_pb2

    from caffe2_impl.recycling import rename, shared_names

    net = model.nets[0 if training else 1].Proto()
    network = model.training if training else model.testing
    recycled = caffe2_pb2.NetDef.FromString(net.SerializeToString())
    rename(recycled, shared_names(net, network.sizes, set(), ""))
    before, after = ({blob for op in each.op for blob in op.output} for each in (net, recycled))
    assert len(after) < len(before)
    assert reads(recycled) == reads(net)


def net_of(*operators: Tuple[str, List[str], List[str]]):
    from caffe2.proto import caffe2_pb2

    return caffe2_pb2.NetDef(op=[caffe2_pb2.OperatorDef(type=kind, input=inputs, output=outputs)
                                 for kind, inputs, outputs in operators])


CHAIN = [("Relu", ["x"], ["a"]), ("Relu", ["a"], ["b"]), ("Relu", ["b"], ["c"]), ("Relu", ["c"], ["d"])]
SIZES = dict.fromkeys("abcd", (3, 4, 5))


def test_a_chain_needs_two() -> None:
    from caffe2_impl.recycling import rename, shared_names

    net = net_of(*CHAIN)
    rename(net, shared_names(net, SIZES, set(), ""))
    a, b, c, d = (op.output[0] for op in net.op)
    assert (a, b) == (c, d) and a != b and net.op[0].input[0] == "x"


def test_another_size_shares_nothing() -> None:
    from caffe2_impl.recycling import rename, shared_names

    net = net_of(*CHAIN)
    rename(net, shared_names(net, {**SIZES, "c": (1, 2, 3)}, set(), ""))
    names = [op.output[0] for op in net.op]
    assert names.count(names[2]) == 1 and len(set(names)) == 3


def test_what_is_asked_for_afterwards_keeps_its_name_and_its_memory() -> None:
    from caffe2_impl.recycling import rename, shared_names

    net = net_of(*CHAIN)
    rename(net, shared_names(net, SIZES, {"a"}, ""))
    names = [op.output[0] for op in net.op]
    assert names.count("a") == 1 and names[0] == "a"


def test_a_view_keeps_alive_what_it_shows() -> None:
    from caffe2_impl.recycling import rename, shared_names

    net = net_of(("Relu", ["x"], ["a"]), ("Alias", ["a"], ["view"]), ("Relu", ["x"], ["b"]),
                 ("Add", ["view", "b"], ["c"]))
    rename(net, shared_names(net, SIZES, set(), ""))
    assert net.op[0].output[0] != net.op[2].output[0]


@pytest.mark.parametrize("width", [0.05, 0.3])
def test_what_runs_in_between_leaves_nothing_behind_for_a_training_step(width: float) -> None:
    """A tensor of oneDNN's keeps its layout, and at 0.05 testing convolutions leave another than training ones."""
    import numpy as np

    from caffe2_impl import load

    load().configure("cpu", 1)
    from caffe2_impl.model import Model

    spec = build("vgg_m", 3, width)
    random = np.random.default_rng(0)
    batch = random.standard_normal((4, 512, 120), np.float32), random.integers(0, 3, 4).astype(np.int32)
    losses = []
    for between in (False, True):
        model = Model(spec, parameters.initialise(spec), SGD())
        model.stage(*batch)
        losses.append([])
        for _ in range(4):
            if between:
                model.predict_staged()
                model.run_staged("forward")
                model.run_staged("backward")
            losses[-1].append(model.train_staged(1e-3).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
