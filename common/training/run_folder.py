"""What a run of `train` leaves in its folder, and how it is found there again.

    with claimed(folder):
        checkpoint = resume(folder)     # None: before its first checkpoint
    for record in read_log(folder): ...

config.json, data.json, split.json, certificate.json (what it was trained with), log.jsonl (one line an
epoch), last.npz (to go on from), previous.npz (the one before it, if last.npz should be damaged), best.npz
(the best epoch: the latest that the development side cannot tell from the most accurate one), and to look at
run.md, learning-curves.png and events for TensorBoard. One process at a time works in it.
"""
from __future__ import annotations

import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ContextManager, List, Optional, Sequence

from common.data.dataset import Dataset
from common.data.splits import Split, save_split
from common.errors import UserError
from common.files import locked, read_json, word, write_json, write_text
from common.outputs import check_vacant, vacate
from common.training import config as configuration
from common.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

LAST, PREVIOUS, BEST = "last.npz", "previous.npz", "best.npz"
# To go on from, the latest first. Of an epoch that is the best, best.npz is written before last.npz.
_CHECKPOINTS = (LAST, PREVIOUS, BEST)
PAGE, CURVES = "run.md", "learning-curves.png"
EVENTS = "events.out.tfevents."  # how names of files begin by which TensorBoard knows them
# All that a run writes into its folder.
WRITES = (*_CHECKPOINTS, "config.json", "data.json", "split.json", "certificate.json", "log.jsonl", PAGE, CURVES,
          f"{EVENTS}*")


@dataclass(frozen=True)
class EpochRecord:
    """One line of log.jsonl; accuracies are shares from 0 to 1, None where there is no dev side."""

    epoch: int  # counted from 1
    step: int
    learning_rate: float
    train_loss: float  # mean over the epoch's steps, each before its update; against smoothed targets, where so trained
    train_top1: float
    dev_loss: Optional[float]  # plain cross entropy
    dev_top1: Optional[float]
    utterances_per_second: float  # of training, evaluation and checkpoints left out
    seconds: float  # of training

    def __str__(self) -> str:
        dev = "" if self.dev_top1 is None else f"  dev top-1 {100 * self.dev_top1:5.1f} %"
        return (f"epoch {self.epoch:3d}  loss {self.train_loss:.4f}  train top-1 {100 * self.train_top1:5.1f} %{dev}  "
                f"{self.utterances_per_second:.1f} utterances/s  {self.seconds:.0f} s")


def claimed(folder: Path) -> ContextManager[None]:
    """Hold a run's folder, made if need be, against a second process. Raises UserError where one has it."""
    return locked(folder / ".lock", f"{folder}: another process is training in this folder; wait for it, or name another "
                  "folder with --out")


def saved(folder: Path) -> bool:
    """Whether there is a run in the folder that can be gone on with from where it was."""
    return any((folder / name).exists() for name in _CHECKPOINTS) or len(read_log(folder)) > 1


def start_run(folder: Path, checkpoint: Checkpoint, dataset: Dataset, split: Split,
              data: Sequence[Path], force: bool = False) -> None:
    """Write what a run starts from; refuses a folder as `check_free` does. With `force` a run is replaced."""
    check_free(folder, force)
    vacate(folder, WRITES, force=True)
    record_data(folder, data)
    save_split(folder / "split.json", split, dataset)
    configuration.save_config(folder / "config.json", checkpoint.config)  # last: with it the start is complete


def check_free(folder: Path, force: bool = False) -> None:
    """Raise UserError for a folder that holds a run or anything else, unless `force`, and for what is no folder.

    A run that was stopped before its first epoch was saved is no loss, and is started again.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: cannot write here: it is no folder; name another with --out")
    if saved(folder) and not force:
        raise UserError(f"{folder} already holds a run; go on with --resume {word(folder)}, name another folder "
                        "with --out, or have the run replaced with --force")
    if not force and folder.exists() and not _only_begun(folder):
        check_vacant(folder)


def _only_begun(folder: Path) -> bool:
    """Whether nothing is in the folder but what a run writes before its first checkpoint, and not somebody's own by its name."""
    if not all(any(path.match(pattern) for pattern in WRITES) for path in folder.iterdir() if not path.name.startswith(".")):
        return False
    try:
        run_data(folder)  # what is written first
        if (folder / "config.json").exists():
            configuration.load_config(folder / "config.json")
    except UserError:
        return False
    return True


def record_data(folder: Path, data: Sequence[Path]) -> None:
    """Note what a run trains on; also where that has moved to."""
    write_json(folder / "data.json", [str(path.resolve()) for path in data])


def run_data(folder: Path) -> List[Path]:
    """The data that a run trains on, as it was given; empty for the embedded corpus."""
    try:
        paths = read_json(folder / "data.json", "list of a run's data")
    except UserError as error:
        raise UserError(f"{error}; name the data with --data") from None
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise UserError(f"{folder / 'data.json'} is no list of paths; name the data with --data")
    return [Path(path) for path in paths]


def read_log(folder: Path) -> List[EpochRecord]:
    """The epochs of a run whose lines are sound; a damaged one is told, but for a last one, which a crash may have cut."""
    records = []
    path = folder / "log.jsonl"
    try:
        lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    except OSError as error:
        raise UserError(f"{path}: cannot read this log: {error.strerror}; take it away") from None
    for number, line in enumerate(lines, start=1):
        record = _record(line)
        if record is not None:
            records.append(record)
        elif any(lines[number:]):
            say_once(f"{path}: line {number} is damaged, and the epoch that it was of is left out")
    return records


def _record(line: str) -> Optional[EpochRecord]:
    """None if that is not what it is."""
    try:
        record = EpochRecord(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    return record if all(value is None or type(value) in (int, float) for value in dataclasses.astuple(record)) else None


@lru_cache(maxsize=None)
def say_once(note: str) -> None:
    """On standard error: a log is read again with every epoch, and a page is written."""
    print(f"note: {note}", file=sys.stderr)


def resume(folder: Path) -> Optional[Checkpoint]:
    """Where a run stopped, None if that was before its first checkpoint. Raises UserError if there is no run.

    A damaged checkpoint is refused, with word of the one before it.
    """
    there = [folder / name for name in _CHECKPOINTS if (folder / name).exists()]
    for path, before in zip(there, [*there[1:], None]):
        try:
            return load_checkpoint(path)
        except UserError as error:
            way_out = "" if before is None else (f"\nTo go on from the one before it, {before}, take {path} away and ask "
                                                 "again; what was trained since then is trained again")
            raise UserError(f"{error}{way_out}") from None
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} has no last.npz to resume from, nor a config.json to start with; start the run with "
                        f"--out {word(folder)}")
    return None


def check_best(folder: Path, checkpoint: Checkpoint) -> None:
    """Raise UserError where a run that goes on from `checkpoint` has lost its best epoch, or could not read it in the end."""
    if not checkpoint.epoch:
        return
    try:
        load_checkpoint(folder / BEST)
    except UserError as error:
        instead = next(folder / name for name in _CHECKPOINTS if (folder / name).exists())
        raise UserError(f"{error}. The best of the {checkpoint.epoch} epochs before is lost with it. To have what was saved last "
                        f"count in its place: cp {word(instead)} {word(folder / BEST)}") from None


def reconfigure(folder: Path, checkpoint: Checkpoint, **settings: int) -> Checkpoint:
    """A run with another number of epochs or another patience; its folder says so from now on, also if it had lost that."""
    changed = dataclasses.replace(checkpoint, config=dataclasses.replace(checkpoint.config, **settings))
    if changed.step and changed.config != checkpoint.config:
        save_last(folder, changed)
    configuration.save_config(folder / "config.json", changed.config)
    if changed.stretches:
        write_certificate(folder, changed)
    return changed


def write_certificate(folder: Path, checkpoint: Checkpoint) -> None:
    """What the run is trained with, to be read by people."""
    write_json(folder / "certificate.json", [dataclasses.asdict(stretch) for stretch in checkpoint.stretches])


def save_last(folder: Path, checkpoint: Checkpoint) -> None:
    """Write last.npz; the one that was there is previous.npz from now on."""
    try:
        if (folder / LAST).exists():
            os.replace(folder / LAST, folder / PREVIOUS)
    except OSError as error:
        raise UserError(f"{folder / PREVIOUS}: cannot be replaced: {error.strerror}; take it away, and go on with --resume "
                        f"{word(folder)}") from None
    save_checkpoint(folder / LAST, checkpoint)


def write_log(folder: Path, last: EpochRecord) -> None:
    """Write the log anew up to `last`: a run that died before its checkpoint repeats an epoch."""
    records = [record for record in read_log(folder) if record.epoch < last.epoch] + [last]
    write_text(folder / "log.jsonl",
               "".join(json.dumps(dataclasses.asdict(record)) + "\n" for record in records))
