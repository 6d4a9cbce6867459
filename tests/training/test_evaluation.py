"""What is predicted is of the utterances that were asked for."""
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy_twin
import pytest

from common.data.batches import BatchReader
from common.data.dataset import open_dataset
from common.errors import UserError
from common.network.architectures import build
from common.network.optimizer import SGD
from common.network.params import initialise
from common.training.evaluation import predict


def test_a_queue_that_names_other_speakers_is_an_error(tiny_data: Path) -> None:
    dataset, twin = open_dataset([tiny_data]), numpy_twin.load()
    spec = build("tdnn", len(dataset.speakers), 0.02)
    model, reader = twin.model(spec, initialise(spec), SGD()), BatchReader.in_order(dataset.records, np.arange(0, 48, 6))
    logits, speakers, _ = predict(twin, model, reader)
    assert len(logits) == 8 and speakers.tolist() == dataset.records.labels[::6].tolist()
    rolled = dataclasses.replace(twin, staged=lambda *both: (np.roll(each, 1) for each in twin.staged(*both)))
    with pytest.raises(UserError, match="NumPy's input queue does not hand on the speakers"):
        predict(rolled, model, reader)
