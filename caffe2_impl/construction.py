"""A Caffe2 net under construction: its blobs, where its maps are and how they get elsewhere.

Feature maps are NCHW, (N, channels, height = frequency, width = time), which is the canonical layout,
and on IDEEP: oneDNN's kernels, in layouts of their own. Around convolutions that `caffe2_impl.winograd`
does they are NHWC, on Caffe2's CPU operators. A map goes where its next layer computes; layers without
preference stay where they are. From the layer that pools over all positions on all is flat, on the CPU.
"""
from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, Optional, Set, Tuple

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace

from caffe2_impl import runtime, winograd
from caffe2_impl.recycling import rename, shared_names
from caffe2_impl.runtime import CPU, IDEEP
from common.network.layers import BatchNorm
from common.network.winograd import Plan


@dataclass
class Construction:
    """What is built, and what its later parts need to know about it."""

    net: core.Net
    home: caffe2_pb2.DeviceOption  # where convolutions run as one operator each
    training: bool
    plan: Plan  # which do not
    places: Dict[str, winograd.Place] = field(default_factory=dict)  # of those, by layer
    device: caffe2_pb2.DeviceOption = CPU  # where the next layer runs
    layout: str = "NCHW"  # of its input
    channels: int = 1  # of its input
    layer: str = ""  # that made its input
    flat: bool = False  # whether its input is (N, features)
    scope: str = ""  # prefix of every blob
    outputs: Dict[str, str] = field(default_factory=dict)  # layer name -> blob
    sizes: Dict[str, Tuple[int, ...]] = field(default_factory=dict)  # that blob -> of an utterance of 3 s
    channels_last: Set[str] = field(default_factory=set)  # those whose blob is NHWC
    devices: Dict[str, caffe2_pb2.DeviceOption] = field(default_factory=dict)  # parameter -> where it is kept
    # What oneDNN leaves behind in a blob that is copied to the CPU: "NHWC", or "NCHW" if not told.
    layouts: Mapping[str, str] = field(default_factory=dict)
    exits: List[Exit] = field(default_factory=list)  # all such blobs
    corrections: List[Correction] = field(default_factory=list)
    # When testing: what depends on parameters alone, to be run once for new ones.
    preparation: List[caffe2_pb2.OperatorDef] = field(default_factory=list)

    def blob(self, name: str) -> str:
        return self.scope + name

    def parameter(self, name: str) -> str:
        self.devices[name] = self.device
        return self.blob(name)

    def add(self, operator: str, inputs: List[str], outputs: List[str], **arguments: object) -> str:
        """Append an operator on the current device; returns its first output.

        Through CreateOperator, because the copies between IDEEP and CPU exist in C++ only and
        `net.Operator()` does not know them.
        """
        self.net.Proto().op.extend([core.CreateOperator(
            operator, inputs, outputs, device_option=self.device, **arguments)])
        return outputs[0]

    @property
    def on_ideep(self) -> bool:
        return self.device.device_type == caffe2_pb2.IDEEP


@dataclass(frozen=True)
class Exit:
    """A map that leaves IDEEP, and how the layers behind it read it."""

    blob: str  # on IDEEP
    layer: str  # that made it
    layout: str


@dataclass(frozen=True)
class Correction:
    """IDEEP averages the biased variance; `running += share / (n - 1) * batch variance` mends it."""

    layer: BatchNorm
    running: str
    batch: str
    factor: str  # blob that holds share / (n - 1), n = values per channel in a batch


@core.GradientRegistry.RegisterGradient("CopyCPUToIDEEP")
@core.GradientRegistry.RegisterGradient("CopyIDEEPToCPU")
def _copy_gradient(operator: caffe2_pb2.OperatorDef, gradients: List[str]) -> Tuple[List[caffe2_pb2.OperatorDef], List[str]]:
    """Caffe2 knows no gradient for these copies; it is the copy the other way."""
    back = "CopyCPUToIDEEP" if operator.type == "CopyIDEEPToCPU" else "CopyIDEEPToCPU"
    gradient = operator.input[0] + "_grad"
    return [core.CreateOperator(back, [gradients[0]], [gradient], device_option=IDEEP)], [gradient]


def to_rows(network: Construction, x: str) -> str:
    """Bring a map to the CPU in NHWC, for `caffe2_impl.winograd`, which does not look at its sizes."""
    x = to_cpu(network, x)
    if network.layout == "NCHW":
        network.layout = "NHWC"
        x = network.add("NCHW2NHWC", [x], [x + "_nhwc"])
    return x


def to_planes(network: Construction, x: str) -> str:
    """Bring a map to NCHW, where it is."""
    if network.layout == "NHWC":
        network.layout = "NCHW"
        x = network.add("NHWC2NCHW", [x], [x + "_nchw"])
    return x


def to_home(network: Construction, x: str) -> str:
    """Bring a map to where convolutions are single operators."""
    x = to_planes(network, x)
    if network.home.device_type == caffe2_pb2.IDEEP and not network.on_ideep:
        network.device = IDEEP
        x = network.add("CopyCPUToIDEEP", [x], [x + "_ideep"])
    return x


def to_cpu(network: Construction, x: str) -> str:
    """Leave IDEEP: the layers that follow run on Caffe2's CPU operators."""
    if network.on_ideep:
        # The copy keeps the order of memory, which oneDNN chooses by processor, shape and operator,
        # though the copy's sizes say NCHW. `found_layouts` tells what it was.
        network.layout = network.layouts.get(x, "NCHW")
        network.exits.append(Exit(x, network.layer, network.layout))
        x = network.add("CopyIDEEPToCPU", [x], [x + "_cpu"])
        network.device = CPU
    return x


def to_plain(net: core.Net, gradient: str) -> str:
    """A convolution's gradient out of oneDNN's blocked layout, by way of the CPU.

    IDEEP's update walks through gradient, buffer and weight as flat arrays without a look at their
    layouts, and would add each gradient to some other weight.
    """
    net.Proto().op.extend([
        core.CreateOperator("CopyIDEEPToCPU", [gradient], [f"{gradient}_cpu"], device_option=IDEEP),
        core.CreateOperator("CopyCPUToIDEEP", [f"{gradient}_cpu"], [f"{gradient}_plain"], device_option=IDEEP)])
    return f"{gradient}_plain"


def found_layouts(network: Construction, shapes: Mapping[str, Tuple[int, ...]]) -> Dict[str, str]:
    """The layout of every map that left IDEEP when `network` last ran, by blob.

    `shapes`: of each layer's output, (channels, height, width). Asked of Caffe2, which hands out a blob
    with its sizes in the order of memory: (N, height, width, channels) if that is how it lies.

    Raises RuntimeError if the blob lies in neither order.
    """
    layouts = {}
    for each in network.exits:
        channels, height, width = shapes[each.layer]
        sizes = workspace.FetchBlob(each.blob).shape[1:]
        names = {(channels, height, width): "NCHW", (height, width, channels): "NHWC"}
        if sizes not in names or (len(names) == 1 and channels > 1):  # a cube looks the same either way
            raise RuntimeError(f"cannot tell how oneDNN laid out {each.blob}: its sizes are {sizes}, the "
                               f"map's (channels, height, width) {(channels, height, width)}")
        layouts[each.blob] = names[sizes]
    return layouts


def create(net: core.Net, network: Construction, kept: Iterable[str], owner: str,
           names: Optional[Mapping[str, str]] = None) -> Mapping[str, str]:
    """Have Caffe2 run `net`, of which `network` is the forward part, with no more memory than it needs.

    kept: outputs of layers, and gradients of them, that are asked for after a run. What runs has other
    names for the rest, which are returned; in `net` they stay as they are. names: those of a net of
    which this one is the beginning.
    """
    for blob in net.Proto().external_input:  # tables come with the first batch
        workspace.CreateBlob(blob)
    proto = caffe2_pb2.NetDef.FromString(net.Proto().SerializeToString())
    names = shared_names(proto, network.sizes, set(kept), owner) if names is None else names
    rename(proto, names)
    workspace.CreateNet(proto, overwrite=True)
    return names


def finish(net: core.Net, network: Construction) -> None:
    """Make of a net, of which `network` is the forward part, what Caffe2 runs, gradients being there."""
    winograd.expand(net.Proto(), network.places)
    operators = [caffe2_pb2.OperatorDef.FromString(op.SerializeToString()) for op in net.Proto().op]
    del net.Proto().op[:]
    net.Proto().op.extend(itertools.chain.from_iterable(map(_quick, operators)))
    declare_inputs(net)


def _quick(op: caffe2_pb2.OperatorDef) -> List[caffe2_pb2.OperatorDef]:
    """Operators that take less time than `op`, or `op` itself.

    A ReLU's output is 0 or more: its sign times the gradient is four times as quick on the CPU.
    """
    if op.type != "ReluGradient" or op.device_option.device_type != caffe2_pb2.CPU:
        return [op]
    output, gradient = op.input
    sign = output + "_sign"
    operators = [core.CreateOperator("Sign", [output], [sign], device_option=CPU),
                 core.CreateOperator("Mul", [gradient, sign], list(op.output), device_option=CPU)]
    for operator in operators:
        operator.is_gradient_op = True
    return operators


def edge() -> caffe2_pb2.DeviceOption:
    """The device on which a network's input arrives and its logits leave."""
    return runtime.CUDA if runtime.on_gpu() else CPU


def net_of(name: str, operator: caffe2_pb2.OperatorDef) -> core.Net:
    """A net of one operator, ready to run."""
    net = core.Net(name)
    net.Proto().op.extend([operator])
    workspace.CreateNet(net)
    return net


def give_back(scope: str) -> None:
    """Empty the workspace of what begins with `scope`: the nets and blobs of what nobody holds; it would keep them all."""
    for net in workspace.C.nets():
        if net.startswith(scope):
            workspace.C.delete_net(net)
    for blob in workspace.Blobs():
        if blob.startswith(scope):
            workspace.C.Workspace.current._remove_blob(blob)


def declare_inputs(net: core.Net) -> None:
    """List every blob that `net` reads before it writes as an external input, as Caffe2 demands."""
    written = set()
    proto = net.Proto()
    wanted: Dict[str, None] = {}  # a set that keeps its order
    for operator in proto.op:
        wanted.update((blob, None) for blob in operator.input if blob not in written)
        written.update(operator.output)
    proto.external_input[:] = list(wanted)
