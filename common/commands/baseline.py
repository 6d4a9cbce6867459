"""`python compare.py baseline`: how far statistics of cepstra and a linear discriminant get on the same data."""
from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional, Tuple

from common.commands.options import add_options, add_out_options, data_or_embedded
from common.commands.utterances import Selection, add_side_options, side_of
from common.outputs import output
from common.parser import Parser
from common.twin import Twin

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.data.dataset import Dataset
    from common.data.splits import Split

_DESCRIPTION = """What a method of the 1990s makes of the same data: the least that a network has to beat.

  python compare.py baseline DATA
  python compare.py baseline DATA --split runs/first/split.json --out runs/baseline
  python compare.py predictions runs/baseline/predictions.csv runs/evaluation/predictions.csv

Trains a linear discriminant on mean, deviation and step deviation of 20 cepstra of every training
utterance, and scores it on the test side of the same split that training a network uses. Without
normalisation per utterance (python -m common.prepare --scale log --raw) it hears the recording channel
too. --out writes what `evaluate --out` writes."""


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Print the baseline's accuracy; returns the exit status."""
    options = _parser().parse_args(argv)

    import numpy as np

    from common.commands.evaluate import WRITES, write_results
    from common.data.dataset import open_dataset
    from common.training import cepstral
    from common.training.evaluation import Evaluation
    from common.training.metrics import confusion_matrix

    dataset = open_dataset(data_or_embedded(options.data))
    split, source = _split(options, dataset)
    side, indices = side_of(options, split, source)
    with contextlib.nullcontext() if options.out is None else output(
            options.out, "baseline", WRITES, options.force) as folder:
        logits = cepstral.fit(dataset, split.train).logits(dataset, indices)
        speakers = dataset.records.labels[indices]
        evaluation = Evaluation.of(logits, speakers, None)
        told = f"{side} side of {source}"
        print(f"cepstral statistics and a linear discriminant, trained on {len(split.train)} utterances of {dataset.name}"
              f"{', synthetic voices' if dataset.synthetic else ''}: {told}\n{evaluation}")
        single = int((np.bincount(dataset.records.labels[split.train]) == 1).sum())
        if single:
            print(f"note: {single} of {len(dataset.speakers)} speakers have one training utterance, which does not tell how "
                  "theirs vary", file=sys.stderr)
        if folder is not None:
            write_results(folder, Selection(indices, told), evaluation, confusion_matrix(logits, speakers),
                          dataset.speakers, speakers, logits)
            print(f"written to {folder}: {', '.join(WRITES)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py baseline", _DESCRIPTION)
    add_options(parser, "data", "--seed")
    add_side_options(parser, "default: what training a network with --seed makes")
    add_out_options(parser, None, "figures and tables")
    return parser


def _split(options: argparse.Namespace, dataset: Dataset) -> Tuple[Split, str]:
    """The split and what it is called."""
    from common.data.splits import load_split, split_dataset

    if options.split:
        return load_split(options.split, dataset), str(options.split)
    split = split_dataset(dataset, options.seed)
    return split, "the official split" if split.by == "official" else f"the split by {split.by}, seed {split.seed}"
