"""What a saved model is scored on: never, without a word, on what it was trained on."""
from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
from tiny_data import SPEAKERS, spectrogram

from common.commands.utterances import Selection, choose, open_for
from common.data.dataset import Dataset, open_dataset
from common.data.records import RecordWriter
from common.data.splits import Split, save_split, split_dataset
from common.errors import UserError
from common.training.checkpoint import Checkpoint
from common.training.config import TrainingConfig


@pytest.fixture()
def dataset(tiny_data: Path) -> Dataset:
    return open_dataset([tiny_data])


@pytest.fixture()
def split(dataset: Dataset) -> Split:
    return split_dataset(dataset)


def trained(dataset: Dataset, split: Split) -> Checkpoint:
    marks = dataset.records.fingerprints(split.train)
    return Checkpoint(TrainingConfig(), tuple(SPEAKERS), {}, {}, epoch=3, trained_on=frozenset(marks.tolist()))


def chosen(dataset: Dataset, model: Checkpoint, path: Path, **options: Any) -> Selection:
    return choose(argparse.Namespace(**{"split": None, "side": None, "data": None, **options}), dataset, {path: model}, model)


def test_of_its_own_data_the_test_side_of_its_own_split(dataset: Dataset, split: Split, tmp_path: Path) -> None:
    model = trained(dataset, split)
    save_split(tmp_path / "split.json", split, dataset)
    for side, records, told in ((None, split.test, "test"), ("test", split.test, "test"), ("dev", split.dev, "dev")):
        choice = chosen(dataset, model, tmp_path / "best.npz", side=side)
        assert choice.indices.tolist() == records.tolist() and choice.told == f"{told} side of {tmp_path}/split.json"
    choice = chosen(dataset, model, tmp_path / "best.npz", side="train")
    assert choice.indices.tolist() == split.train.tolist() and choice.told.endswith("24 of 24 utterances are TRAINING data")


def test_a_model_that_was_moved_leaves_out_what_it_was_trained_on(dataset: Dataset, split: Split, tmp_path: Path) -> None:
    choice = chosen(dataset, trained(dataset, split), tmp_path / "best.npz")
    assert choice.indices.tolist() == sorted([*split.dev, *split.test])
    assert choice.told == "left out 24 of 48 utterances, which the model was trained on"


def test_another_split_hides_nothing(dataset: Dataset, split: Split, tmp_path: Path) -> None:
    other = split_dataset(dataset, seed=1)
    save_split(tmp_path / "other.json", other, dataset)
    choice = chosen(dataset, trained(dataset, split), tmp_path / "best.npz", split=tmp_path / "other.json")
    assert choice.indices.tolist() == sorted(set(other.test) - set(split.train)) and len(choice.indices) < len(other.test)
    assert f"test side of {tmp_path}/other.json; left out" in choice.told


def test_its_utterances_are_known_in_whatever_file(dataset: Dataset, split: Split, tmp_path: Path) -> None:
    values, labels = dataset.records.read([split.test[0], split.train[5]])
    with RecordWriter(tmp_path / "part-7.bin") as writer:
        for value, label in zip(values, labels):
            writer.append(value, label)
    mixed = open_dataset([tmp_path / "part-7.bin"], SPEAKERS)
    assert chosen(mixed, trained(dataset, split), tmp_path / "best.npz").indices.tolist() == [0]
    with pytest.raises(UserError, match="all 1 utterances are among those the model was trained on"):
        part = dataclasses.replace(trained(dataset, split), trained_on=frozenset(mixed.records.fingerprints([0, 1]).tolist()))
        save_split(tmp_path / "one.json", dataclasses.replace(split, train=np.array([], int), dev=np.array([1]),
                                                              test=np.array([0])), mixed)
        chosen(mixed, part, tmp_path / "best.npz", split=tmp_path / "one.json")


def test_new_data_need_no_word(dataset: Dataset, split: Split, tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "part-7.bin") as writer:
        writer.append(spectrogram(0, seed=7), 0)
    new = open_dataset([tmp_path / "part-7.bin"], SPEAKERS)
    save_split(tmp_path / "split.json", split, dataset)  # of other data: it does not belong to these
    choice = chosen(new, trained(dataset, split), tmp_path / "best.npz")
    assert choice.indices.tolist() == [0] and choice.told == ""
    with pytest.raises(UserError, match="--side test needs a split"):
        chosen(new, trained(dataset, split), tmp_path / "best.npz", side="test")


def test_a_model_that_does_not_know_is_told(dataset: Dataset, split: Split, tmp_path: Path) -> None:
    unknown = dataclasses.replace(trained(dataset, split), trained_on=frozenset())
    assert "NOT KNOWN which utterances" in chosen(dataset, unknown, tmp_path / "best.npz").told
    untrained = dataclasses.replace(unknown, epoch=0)
    assert chosen(dataset, untrained, tmp_path / "best.npz").told == ""


@pytest.mark.parametrize("without, told", [
    ([], []), (["dataset.json"], ["scale"]), (["classes.txt"], []), (["classes.txt", "*.sessions.csv"], ["labels"]),
    (["classes.txt", "*.sessions.csv", "dataset.json"], ["labels", "scale"])], ids=str)
def test_what_cannot_be_checked_is_told(tiny_data: Path, tmp_path: Path, without: List[str], told: List[str]) -> None:
    """Of data that are given, not of its own run's. Sidecars name the speakers, too."""
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    for pattern in without:
        for path in data.glob(pattern):
            path.unlink()
    model = Checkpoint(TrainingConfig(), tuple(SPEAKERS), {}, {}, scale="magnitude", normalised=True)
    (tmp_path / "data.json").write_text(json.dumps([str(data)]))
    for given in ([data], None):
        dataset = open_for(tmp_path / "best.npz", given, model)
        said = chosen(dataset, model, tmp_path / "best.npz", data=given).told
        assert [word for word in ("labels", "scale") if word in said] == (told if given else [])
        assert ("it is NOT KNOWN" in said) == bool(told and given)
