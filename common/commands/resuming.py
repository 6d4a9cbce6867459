"""A training run that goes on: from what, and with what settings.

    with resumed_run(options) as (checkpoint, dataset, split, folder): ...
"""
from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Optional, Tuple

from common.commands.options import data_or_embedded
from common.errors import UserError
from common.files import word

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.data.dataset import Dataset
    from common.data.splits import Split
    from common.training.checkpoint import Checkpoint


@contextlib.contextmanager
def resumed_run(options: argparse.Namespace) -> Iterator[Tuple[Checkpoint, Dataset, Split, Path]]:
    """A run that goes on, its folder held: checkpoint, data, split, folder."""
    from common.data.dataset import open_dataset
    from common.training.config import load_config
    from common.training.loop import fresh
    from common.training.run_folder import check_best, claimed, record_data, resume, run_data

    folder = options.resume
    resume(folder)  # before the folder is touched: there may be no run
    with claimed(folder):
        data = options.data or run_data(folder)
        moved = [] if options.data else [path for path in data if not path.exists()]
        if moved:
            raise UserError(f"{moved[0]}: the data of {folder} are there no more; say with --data where they are now")
        dataset = open_dataset(data_or_embedded(data))
        checkpoint = resume(folder) or fresh(load_config(folder / "config.json"), dataset)
        split = _split(folder, dataset, checkpoint.config.seed)
        check_best(folder, checkpoint)
        checkpoint = _as_asked(folder, checkpoint, options.epochs, options.patience)
        if options.data:
            record_data(folder, options.data)
        yield checkpoint, dataset, split, folder


def _split(folder: Path, dataset: Dataset, seed: int) -> Split:
    """The run's. Raises UserError, with how to come by it again: it is drawn by the seed."""
    from common.data.splits import load_split

    try:
        return load_split(folder / "split.json", dataset)
    except UserError as error:
        raise UserError(f"{error}. If it is lost: a new run of the same data with --seed {seed}, and --share if this had one, "
                        f"draws the same; copy its split.json to {word(folder)}") from None


def _as_asked(folder: Path, checkpoint: Checkpoint, epochs: Optional[int], patience: Optional[int]) -> Checkpoint:
    """The checkpoint with a patience and, where the run is finished, epochs of its own choice; its folder says so, too.

    A finished run that is asked for no more is tested again: it may have been stopped before that. Raises UserError for
    epochs that it cannot have.
    """
    from common.training.run_folder import reconfigure

    done, planned, quoted = checkpoint.epoch, checkpoint.config.epochs, word(folder)
    if done < planned and epochs not in (None, planned):
        raise UserError(f"{folder} has done {done} of its {planned} epochs, and its learning rate is made for these: go on "
                        f"with --resume {quoted} (and --patience 0, if it stopped early), and give it more when it is done")
    if epochs is not None and epochs < planned:
        raise UserError(f"{folder} has done all its {planned} epochs; for more of them say how many in all: --resume {quoted} "
                        f"--epochs {2 * planned}; its best model is {folder / 'best.npz'}")
    if done == planned and epochs in (None, planned):
        print(f"{folder} has done all its {planned} epochs; for more of them say how many in all: --resume {quoted} "
              f"--epochs {2 * planned}", file=sys.stderr)
    settings = {"epochs": planned if epochs is None else epochs,
                "patience": checkpoint.config.patience if patience is None else patience}
    changed = reconfigure(folder, checkpoint, **settings)
    if changed.config.epochs == planned:
        return changed
    schedule = changed.config.schedule_over(checkpoint.step // done * epochs)
    print(f"{folder}: from {planned} to {epochs} epochs; the learning rate goes on at {schedule(checkpoint.step):.2g}, where "
          f"a schedule over {epochs} epochs is by now")
    return changed
