"""Batches into Caffe2: a blobs queue that a thread fills while the model computes."""
from __future__ import annotations

import itertools
import threading
from typing import Iterator, List, Tuple

import numpy as np
from caffe2.python import core, workspace

from caffe2_impl.construction import edge, give_back, net_of
from caffe2_impl.model import Model
from common.data.batches import Batch

_AHEAD = 3  # batches; enough to hide a slow read, little memory
_numbers = itertools.count()


def staged(model: Model, batches: Iterator[Batch]) -> Iterator[np.ndarray]:
    """Stage batch after batch through a blobs queue; yields the speakers (N,) of each once staged."""
    queue = f"queue_{next(_numbers)}/"  # what the names of all that belongs to it begin with
    workspace.RunOperatorOnce(core.CreateOperator(
        "CreateBlobsQueue", [], [queue], num_blobs=2, capacity=_AHEAD, enforce_unique_name=True))
    failures: List[BaseException] = []
    feeder = threading.Thread(target=_feed, args=(queue, batches, failures), daemon=True)
    feeder.start()
    spectrograms, speakers = model.input_blobs
    dequeue = net_of(f"{queue}dequeue", core.CreateOperator(
        "SafeDequeueBlobs", [queue], [spectrograms, speakers, f"{queue}empty"]))
    try:
        while True:
            workspace.RunNet(dequeue)
            if workspace.FetchBlob(f"{queue}empty"):
                break
            yield workspace.FetchBlob(speakers)
    finally:
        workspace.RunOperatorOnce(core.CreateOperator("CloseBlobsQueue", [queue], []))
        feeder.join()
        give_back(queue)  # else a hundred MB an epoch
    if failures:
        raise failures[0]


def _feed(queue: str, batches: Iterator[Batch], failures: List[BaseException]) -> None:
    blobs = [f"{queue}spectrograms", f"{queue}speakers"]
    for blob in blobs:
        workspace.CreateBlob(blob)
    enqueue = net_of(f"{queue}enqueue", core.CreateOperator("SafeEnqueueBlobs", [queue, *blobs], [*blobs, f"{queue}full"]))
    try:
        for batch in batches:
            for blob, value in zip(blobs, _arrays(batch)):
                workspace.FeedBlob(blob, value, device_option=edge())
            workspace.RunNet(enqueue)
            if workspace.FetchBlob(f"{queue}full"):  # closed: the consumer has gone
                return
    except BaseException as error:  # handed to the consumer, which raises it
        failures.append(error)
    finally:
        workspace.RunOperatorOnce(core.CreateOperator("CloseBlobsQueue", [queue], []))


def _arrays(batch: Batch) -> Tuple[np.ndarray, np.ndarray]:
    return batch.spectrograms[:, np.newaxis], batch.speakers  # (N, 1, bins, frames), (N,)
