"""The GPU path as far as it goes without a card: every operator has an implementation for it.

Caffe2 looks an operator's implementation up before it touches the card, so that an operator which has
none fails differently from one that merely finds no driver. TensorFlow lists its kernels.
"""
from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Iterator, List

import pytest

from common.network.architectures import build
from common.network.layers import NetworkSpec
from common.network.optimizer import SGD
from common.network.params import initialise

SPECS = {name: build(name, 4, width=0.05, label_smoothing=0.1) for name in ("vgg_m", "tdnn")}


@pytest.fixture(params=list(SPECS))
def spec(request: pytest.FixtureRequest) -> NetworkSpec:
    return SPECS[request.param]


@pytest.fixture()
def caffe2_operators(spec: NetworkSpec, monkeypatch: pytest.MonkeyPatch) -> List:
    """The operators of training and testing net as they are built for a card."""
    from caffe2_impl import construction, model, runtime

    if "caffe2.python.caffe2_pybind11_state_gpu" not in sys.modules:
        pytest.skip("this PyTorch wheel is one for CPUs only: its Caffe2 has no CUDA part to ask")
    nothing = SimpleNamespace(**{name: lambda *_, **__: None for name in ("CreateBlob", "FeedBlob", "CreateNet")},
                              C=SimpleNamespace(nets=list), Blobs=list)
    for module in (model, construction):  # blobs on a card need a card; nets are only built
        monkeypatch.setattr(module, "workspace", nothing)
    monkeypatch.setattr(runtime, "device", lambda: runtime.CUDA)
    monkeypatch.setattr(runtime, "on_gpu", lambda: True)
    nets = model.Model(spec, initialise(spec), SGD()).nets
    return [operator for net in nets for operator in net.Proto().op]


def has_implementation(operator) -> bool:
    """Whether Caffe2 can make this operator on the device it names. Raises what else is wrong."""
    from caffe2.proto import caffe2_pb2
    from caffe2.python import workspace

    net = caffe2_pb2.NetDef(name="one operator", op=[operator], external_input=operator.input)
    try:
        workspace.C.Workspace().create_net(net.SerializeToString(), True)
    except RuntimeError as error:
        if "Cannot create operator" in str(error):
            return False
        if "CUDA" not in str(error):
            raise
    return True


def test_caffe2_has_every_operator_of_a_net_on_cuda(caffe2_operators: List) -> None:
    from caffe2_impl import runtime

    assert len(caffe2_operators) > 50
    assert {operator.device_option.device_type for operator in caffe2_operators} == {runtime.CUDA.device_type}
    missing = sorted({operator.type for operator in caffe2_operators if not has_implementation(operator)})
    assert not missing


@pytest.mark.usefixtures("caffe2_operators")
def test_an_operator_without_a_cuda_implementation_is_seen() -> None:
    from caffe2.python import core

    from caffe2_impl import runtime

    for operator, expected in (("CopyIDEEPToCPU", False), ("NoSuchOperator", False), ("Relu", True)):
        made = core.CreateOperator(operator, ["x"], ["y"], device_option=runtime.CUDA)
        assert has_implementation(made) is expected


def nodes(spec: NetworkSpec) -> Iterator:
    """Every node of the graphs of a training step and a prediction, those of inner functions too."""
    from tf_impl.model import Model

    model = Model(spec, initialise(spec), SGD(), plan={})  # as on a card
    for function in model.nets:
        graph = function.graph.as_graph_def(add_shapes=False)
        yield from graph.node
        for inner in graph.library.function:
            yield from inner.node_def


def has_gpu_kernel(node) -> bool:
    """Whether a kernel for GPUs takes this node's types."""
    from tensorflow.python.framework.kernels import get_registered_kernels_for_op

    return any(kernel.device_type in ("GPU", "DEFAULT") and all(  # DEFAULT: any but the CPU
        node.attr[limit.name].type in limit.allowed_values.list.type for limit in kernel.constraint)
        for kernel in get_registered_kernels_for_op(node.op).kernel)


@pytest.mark.usefixtures("tensorflow")
def test_tensorflow_has_every_operation_of_a_step_on_gpus(spec: NetworkSpec) -> None:
    import tensorflow as tf

    if not tf.test.is_built_with_cuda():
        pytest.skip("this TensorFlow is built without CUDA: it has no kernels for GPUs to list")
    found = list(nodes(spec))
    assert len(found) > 100
    missing = sorted({node.op for node in found if not has_gpu_kernel(node)})
    assert not missing


def test_an_operation_without_a_gpu_kernel_is_seen() -> None:
    from tensorflow.core.framework import node_def_pb2

    assert not has_gpu_kernel(node_def_pb2.NodeDef(op="DecodeWav"))
