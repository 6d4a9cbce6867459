"""Each framework's own input queue when one of its ends stops; what comes out of it is in the model contract."""
from __future__ import annotations

import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest
from small_networks import SPECS, drawn_batch, drawn_params

from common.data.augment import Augmentation
from common.data.batches import Batch, BatchReader
from common.data.records import RecordError, RecordSet
from common.network.optimizer import SGD
from common.twin import Model, Twin

SPEC = SPECS["over_time"]


@pytest.fixture()
def model(twin: Twin) -> Model:
    return twin.model(SPEC, drawn_params(SPEC), SGD())


def batches(number: int, taken: List[int]) -> Iterator[Batch]:
    for i in range(number):
        taken.append(i)
        yield Batch(*drawn_batch(size=2 + i % 2, frames=20 + i, seed=i))


def test_an_error_while_reading_arrives_after_the_batches_before_it(twin: Twin, model: Model) -> None:
    def bad() -> Iterator[Batch]:
        yield from batches(2, [])
        raise RecordError("part-1.bin: record 7 is bad")

    arrived = []
    with pytest.raises(RecordError, match="^part-1.bin: record 7 is bad$"):
        for speakers in twin.staged(model, bad()):
            arrived.append(speakers)
    assert len(arrived) == 2


def test_it_reads_ahead_but_not_far(twin: Twin, model: Model) -> None:
    taken: List[int] = []
    queue = twin.staged(model, batches(50, taken))
    next(queue)
    queue.close()
    assert 1 <= len(taken) <= 12


def test_stopping_early_leaves_a_queue_that_works_and_no_thread(twin: Twin, model: Model) -> None:
    for _ in twin.staged(model, batches(2, [])):  # what the framework starts once for good
        pass
    before = threading.active_count()
    for _ in range(3):
        for speakers in twin.staged(model, batches(50, [])):
            break
    assert threading.active_count() <= before
    assert len(list(twin.staged(model, batches(4, [])))) == 4


@pytest.mark.parametrize("options", [{}, {"crop_frames": 100}, {"augmentation": Augmentation(time_mask=9)}],
                         ids=["whole", "crops", "masks"])
@pytest.mark.usefixtures("tensorflow")
def test_tensorflow_takes_batches_over_without_a_copy(options: Dict[str, Any], tiny_data: Path) -> None:
    """By the address: the tensor that arrives lies where the reader wrote it."""
    from tf_impl import feeding

    reader = BatchReader(RecordSet.open(sorted(tiny_data.glob("*.bin"))), np.arange(12), 4, 0, True, True, **options)
    written, arrived = [], []

    def noted() -> Iterator[Batch]:
        for batch in reader.epoch(0):
            written.append(batch.spectrograms.ctypes.data)
            yield batch

    model = SimpleNamespace(stage_tensors=lambda spectrograms, _: arrived.append(
        np.asarray(memoryview(spectrograms)).ctypes.data))
    for _ in feeding.staged(model, noted()):
        pass
    assert arrived == written and len(written) == 3


@pytest.mark.usefixtures("tensorflow")
def test_tensorflows_queue_is_not_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """For which the end of an epoch would wait, up to a minute."""
    import tensorflow as tf

    from tf_impl import feeding

    asked, honest = [], tf.data.Dataset.with_options
    monkeypatch.setattr(tf.data.Dataset, "with_options", lambda data, options: [asked.append(options), honest(data, options)][1])
    list(feeding.staged(SimpleNamespace(stage_tensors=lambda *_: None), batches(2, [])))
    assert [options.autotune.enabled for options in asked] == [False]


def test_memory_does_not_grow_from_queue_to_queue(twin: Twin, model: Model) -> None:
    """Of a whole training each epoch has two: what Caffe2's workspace kept of them came to gigabytes."""
    spectrograms, speakers = drawn_batch(size=16, frames=300)
    held = []
    for _ in range(10):
        for _ in twin.staged(model, iter([Batch(spectrograms + number, speakers) for number in range(3)])):
            model.predict_staged()
        held.append(int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]))
    assert held[-1] - held[2] < 4 * spectrograms.nbytes / 1024, held
