"""Batches into Caffe2: a blobs queue that a thread fills while the model computes."""
from __future__ import annotations

import itertools
import threading
from typing import Iterator, List, Tuple

import numpy as np
from caffe2.python import core, workspace

from caffe2_impl import runtime
from caffe2_impl.model import Model
from common.data.batches import Batch

_AHEAD = 3  # batches; enough to hide a slow read, little memory
_numbers = itertools.count()


def staged(model: Model, batches: Iterator[Batch]) -> Iterator[np.ndarray]:
    """Stage batch after batch through a blobs queue; yields the speakers (N,) of each once staged."""
    queue = f"queue_{next(_numbers)}"
    workspace.RunOperatorOnce(core.CreateOperator(
        "CreateBlobsQueue", [], [queue], num_blobs=2, capacity=_AHEAD, enforce_unique_name=True))
    failures: List[BaseException] = []
    feeder = threading.Thread(target=_feed, args=(queue, batches, failures), daemon=True)
    feeder.start()
    spectrograms, speakers = model.input_blobs
    dequeue = _net(f"{queue}_dequeue", "SafeDequeueBlobs", [queue],
                   [spectrograms, speakers, f"{queue}_empty"])
    try:
        while True:
            workspace.RunNet(dequeue)
            if workspace.FetchBlob(f"{queue}_empty"):
                break
            yield workspace.FetchBlob(speakers)
    finally:
        workspace.RunOperatorOnce(core.CreateOperator("CloseBlobsQueue", [queue], []))
        feeder.join()
        _remove(queue)
    if failures:
        raise failures[0]


def _feed(queue: str, batches: Iterator[Batch], failures: List[BaseException]) -> None:
    blobs = [f"{queue}_spectrograms", f"{queue}_speakers"]
    for blob in blobs:
        workspace.CreateBlob(blob)
    enqueue = _net(f"{queue}_enqueue", "SafeEnqueueBlobs", [queue, *blobs], [*blobs, f"{queue}_full"])
    device = runtime.CUDA if runtime.on_gpu() else runtime.CPU  # where the net looks for its input
    try:
        for batch in batches:
            for blob, value in zip(blobs, _arrays(batch)):
                workspace.FeedBlob(blob, value, device_option=device)
            workspace.RunNet(enqueue)
            if workspace.FetchBlob(f"{queue}_full"):  # closed: the consumer has gone
                return
    except BaseException as error:  # handed to the consumer, which raises it
        failures.append(error)
    finally:
        workspace.RunOperatorOnce(core.CreateOperator("CloseBlobsQueue", [queue], []))


def _remove(queue: str) -> None:
    """Take its nets and blobs out of the workspace, which keeps everything else: a hundred MB an epoch."""
    for net in workspace.C.nets():
        if net.startswith(f"{queue}_"):
            workspace.C.delete_net(net)
    for blob in workspace.Blobs():
        if blob == queue or blob.startswith(f"{queue}_"):
            workspace.C.Workspace.current._remove_blob(blob)


def _arrays(batch: Batch) -> Tuple[np.ndarray, np.ndarray]:
    return batch.spectrograms[:, np.newaxis], batch.speakers  # (N, 1, bins, frames), (N,)


def _net(name: str, operator: str, inputs: List[str], outputs: List[str]) -> str:
    net = core.Net(name)
    net.Proto().op.extend([core.CreateOperator(operator, inputs, outputs)])
    workspace.CreateNet(net)
    return net.Proto().name
