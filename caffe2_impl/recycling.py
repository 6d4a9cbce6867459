"""Memory that blobs of a net share: those that nobody needs at the same time get one name.

    rename(net, shared_names(net, sizes, kept={"logits"}, owner="test/"))     # a NetDef, before it is created

Caffe2 keeps whatever an operator wrote until it writes it again. Most of a training step's maps are dead
long before its end, and a testing net's before its next layer but one.
"""
from __future__ import annotations

from typing import AbstractSet, Dict, Hashable, List, Mapping, NamedTuple, Optional, Tuple

from caffe2.proto import caffe2_pb2

# What is added to a layer's name for maps of its size: on their way, and in the backward pass.
_VARIANTS = ("_cpu", "_ideep", "_nhwc", "_nchw", "_sign", "_grad")


class _Life(NamedTuple):
    """From the operator that writes a blob to the last that needs it."""

    start: int
    end: int


def shared_names(net: caffe2_pb2.NetDef, sizes: Mapping[str, Tuple[int, ...]], kept: AbstractSet[str],
                 owner: str) -> Dict[str, str]:
    """New names for the maps of `net`, so that few are there; none for those in `kept` or from outside.

    sizes: blob of a layer's output -> its size. Only blobs of one size and one kind of device share a
    name, so that nothing is ever allocated anew. All nets of a process share the names of plain maps.
    Not those of oneDNN's, which begin with `owner`: a tensor keeps the layout that another net gave it,
    and an operator that finds the size it needs does not set its own.
    """
    lives = _lives(net)
    names: Dict[str, str] = {}
    free: Dict[Hashable, List[str]] = {}
    count: Dict[Hashable, int] = {}
    ending: Dict[int, List[Tuple[Hashable, str]]] = {}
    for number, op in enumerate(net.op):
        for blob in op.output:
            kind = _kind(op, blob, sizes)
            if kind is None or blob in names or blob in kept or lives.get(blob, (-1,))[0] != number:
                continue
            if not free.get(kind):
                count[kind] = count.get(kind, 0) + 1
                whose = owner if kind[0] == "ideep" else ""
                free[kind] = [f"maps/{whose}{'_'.join(map(str, kind))}/{count[kind]}"]
            names[blob] = free[kind].pop()
            ending.setdefault(lives[blob].end, []).append((kind, names[blob]))
        for kind, name in ending.pop(number, ()):
            free[kind].append(name)
    return names


def rename(net: caffe2_pb2.NetDef, names: Mapping[str, str]) -> None:
    """Put the new names in."""
    for op in net.op:
        for blobs in (op.input, op.output):
            blobs[:] = [names.get(blob, blob) for blob in blobs]


def _lives(net: caffe2_pb2.NetDef) -> Dict[str, _Life]:
    """Of every blob that the net itself makes."""
    start: Dict[str, int] = {}
    end: Dict[str, int] = {}
    views: Dict[str, str] = {}  # another name for the same memory -> the blob
    for number, op in enumerate(net.op):
        if op.type == "Alias":
            views[op.output[0]] = op.input[0]
        for blob in (*op.input, *op.output):
            start.setdefault(blob, number if blob not in op.input else -1)
            while blob:
                end[blob] = number
                blob = views.get(blob, "")
    return {blob: _Life(number, end[blob]) for blob, number in start.items()
            if number >= 0 and blob not in views}


def _kind(op: caffe2_pb2.OperatorDef, blob: str, sizes: Mapping[str, Tuple[int, ...]]) -> Optional[Tuple]:
    """What a blob that `op` writes can share memory with; None: with nothing."""
    base = blob
    while base not in sizes:
        variant = next((variant for variant in _VARIANTS if base.endswith(variant)), None)
        if variant is None:
            return None
        base = base[:-len(variant)]
    device = caffe2_pb2.CPU if op.type == "CopyIDEEPToCPU" else op.device_option.device_type
    return (caffe2_pb2.DeviceTypeProto.Name(device)[len("PROTO_"):].lower(), *sizes[base])
