"""Which utterances a saved model is judged by: one side of a split, and no training data without a word.

    choice = choose(options, dataset, {path: checkpoint}, checkpoint)
    print(choice.told, len(choice.indices))
"""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Iterable, Mapping, Optional, Sequence, Tuple, Union

from common.commands.options import data_or_embedded, existing
from common.errors import UserError

if TYPE_CHECKING:  # slow to import, and only named in annotations
    import numpy as np

    from common.data.dataset import Dataset
    from common.data.splits import Split
    from common.training.checkpoint import Checkpoint
    from common.training.trained import Trained


@dataclass(frozen=True)
class Selection:
    """Record numbers (n,), and in words which they are; "" for all there are, where that needs no word."""

    indices: np.ndarray
    told: str


def open_for(model: Path, given: Optional[Sequence[Path]], trained: Union[Trained, Checkpoint]) -> Dataset:
    """The data that are given, or else those of the model's own run. Raises UserError where it lies in none, or they do not fit it."""
    from common.data.dataset import open_dataset
    from common.training.run_folder import run_data

    if not given and not (model.parent / "data.json").exists():
        raise UserError(f"{model} lies in no run's folder, which would tell what data it is of: name data folders or "
                        "record files")
    dataset = open_dataset(given or data_or_embedded(run_data(model.parent)), speakers=trained.speakers)
    dataset.check_form(trained.scale, trained.normalised)
    return dataset


def add_side_options(parser: argparse.ArgumentParser, default: str = "default: for the data of its own run, that run's split"
                     ) -> None:
    """--split and --side: which records of the data given are meant."""
    parser.add_argument("--split", type=existing("split"), metavar="FILE",
                        help=f"a run's split.json; with it only one side of the data is used ({default})")
    parser.add_argument("--side", choices=("train", "dev", "test"),
                        help="which side of the split (test)")


def choose(options: argparse.Namespace, dataset: Dataset, models: Mapping[Path, Optional[Checkpoint]],
           trained: Union[Trained, Checkpoint]) -> Selection:
    """What --split and --side choose, without what a model was trained on unless that side is asked for.

    models: None for one whose file does not say what it was trained on; trained: what one of them is made for
    Raises UserError where nothing is left, and for --side where there is no split.
    """
    import numpy as np

    split, source = _split(options, dataset, models)
    if split is None and options.side:
        raise UserError(f"--side {options.side} needs a split: name it with --split, as {dataset.name} is not what "
                        "the model's run has split")
    if split is None:
        side, indices, told = "", np.arange(len(dataset.records)), []
    else:
        side, indices = side_of(options, split, source)
        told = [f"{side} side of {source}"]
    if any(model is None or model.epoch and not model.trained_on for model in models.values()):
        told.append("it is NOT KNOWN which utterances the model was trained on, these may be among them")
    unknown = dataset.unknown(trained.scale, trained.normalised) if options.data else ""  # its own run's are what they were
    if unknown:
        told.append(f"it is NOT KNOWN {unknown}, and where they differ these figures mean nothing")
    trained_on = frozenset().union(*(model.trained_on for model in models.values() if model))
    known = np.array([mark in trained_on for mark in dataset.records.fingerprints(indices).tolist()])
    if side == "train":
        told.append(f"{known.sum()} of {len(indices)} utterances are TRAINING data")
    elif known.all():
        raise UserError(f"all {len(indices)} utterances are among those the model was trained on, and say nothing about "
                        "others; give other data, or ask for them with --split FILE --side train")
    elif known.any():
        told.append(f"left out {known.sum()} of {len(indices)} utterances, which the model was trained on")
        indices = indices[~known]
    return Selection(indices, "; ".join(told))


def side_of(options: argparse.Namespace, split: Split, source: str) -> Tuple[str, np.ndarray]:
    """The side that --side names, and its record numbers. Raises UserError where there are none."""
    side = options.side or "test"
    indices = getattr(split, side)
    if not len(indices):
        raise UserError(f"{source} has no utterances on its {side} side; choose another --side")
    return side, indices


def _split(options: argparse.Namespace, dataset: Dataset, models: Iterable[Path]
           ) -> Tuple[Optional[Split], str]:
    """The split that is named, or that a model's run has made of these data; and where it stands."""
    from common.data.splits import load_split, splits_data

    paths = [options.split] if options.split else [path.parent / "split.json" for path in models]
    for path in paths:
        if options.split or splits_data(path, dataset):
            return load_split(path, dataset), str(path)
    return None, ""
