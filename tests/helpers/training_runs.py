"""Runs of the training loop over the NumPy twin, whole and stopped, and whether two of them are the same."""
from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Callable, List, Optional

import numpy_twin
import pytest
from small_networks import relative_errors

from common.data.dataset import open_dataset
from common.data.splits import Split, load_split, split_dataset
from common.training.checkpoint import load_checkpoint
from common.training.config import TrainingConfig
from common.training.loop import Trainer, fresh
from common.training.run_folder import EpochRecord, claimed, read_log, resume, start_run

CONFIG = TrainingConfig(network="tdnn", width=0.02, epochs=3, batch_size=4, learning_rate=0.02, crop_frames=60,
                        time_mask=5)
STEPS = 6  # an epoch: 24 training records, 4 a step


class Stop(Exception):
    """Stands for a process that is killed."""


def ignore(*_: Any) -> None:
    pass


def stop_at_once(*_: Any) -> None:
    raise Stop


def train(folder: Path, data: Path, config: TrainingConfig = CONFIG, on_step: Callable[..., None] = ignore,
          split: Optional[Split] = None, stopping: Callable[[], bool] = lambda: False,
          save_seconds: float = math.inf) -> List[EpochRecord]:
    """A whole run from the start, or what is left of the one in `folder`; returns its log."""
    dataset = open_dataset([data])
    with claimed(folder):
        if any(folder.glob("*.npz")):
            checkpoint, split = resume(folder), load_split(folder / "split.json", dataset)
        else:
            checkpoint, split = fresh(config, dataset), split or split_dataset(dataset, config.seed)
            start_run(folder, checkpoint, dataset, split, [data])
        Trainer(numpy_twin.load(), dataset, split, checkpoint, folder, save_seconds).run(on_step, ignore, stopping)
    return read_log(folder)


def results(log: List[EpochRecord]) -> List[EpochRecord]:
    """Without what depends on the clock."""
    return [dataclasses.replace(record, seconds=0.0, utterances_per_second=0.0) for record in log]


def assert_same_run(log: List[EpochRecord], folder: Path, whole: Path) -> None:
    """To rounding: a resumed run starts from float32, where the NumPy twin goes on in float64."""
    for record, expected in zip(results(log), results(read_log(whole))):
        assert dataclasses.astuple(record) == pytest.approx(dataclasses.astuple(expected), rel=1e-5)
    assert len(log) == CONFIG.epochs
    last, expected = load_checkpoint(folder / "last.npz"), load_checkpoint(whole / "last.npz")
    assert max(relative_errors(last.params, expected.params).values()) < 1e-5
    assert (folder / "best.npz").exists()
