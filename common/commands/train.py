"""`python -m tf_impl.train` and `python -m caffe2_impl.train`: the same options, the same run."""
from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from common.commands.options import (
    add_machine_options,
    choose_device,
    data_or_embedded,
    make_parser,
    prepare_threads,
    say_device,
)
from common.errors import UserError
from common.network.networks import NETWORKS
from common.network.optimizer import SCHEDULES
from common.training.config import TrainingConfig
from common.twin import Twin

_DESCRIPTION = """Train a network to tell speakers apart.

  {prog} --data DATA --network tdnn --epochs 10 --out runs/first
  {prog} --resume runs/first

The run's folder gets config.json, split.json, certificate.json (what it is trained with), log.jsonl,
and after every epoch last.npz and, if it is the best so far, best.npz.
Without --data it uses the embedded synthetic voices."""

# Options that make up TrainingConfig, with their help; types and defaults are the dataclass's.
_SETTINGS = {
    "network": "which network",
    "width": "factor on every number of channels, for smaller or larger networks",
    "epochs": "passes over the training side",
    "batch_size": "utterances a step",
    "learning_rate": "at the first step",
    "final_learning_rate": "at the last step",
    "schedule": "how the learning rate goes from the first to the last",
    "momentum": "of SGD",
    "weight_decay": "on weights; not on biases, not on batch normalisation",
    "seed": "of the first parameters, the split, the order, crops and masks",
    "crop_frames": "train on random windows of so many of the 300 frames",
    "time_mask": "augmentation: blank up to so many frames",
    "frequency_mask": "augmentation: blank up to so many frequency bins",
}
_CHOICES = {"network": tuple(NETWORKS), "schedule": SCHEDULES}


def run(prog: str, load: Callable[[], Twin], argv: Optional[List[str]]) -> int:
    """Train as the options say; returns the exit status."""
    options = _parser(prog).parse_args(argv)
    if options.resume and (options.out or _given(options)):
        raise UserError("--resume goes on with the run's own settings in its own folder; beside it "
                        "only --data (if the data have moved), --device and --threads make sense")
    threads = prepare_threads(options.threads)
    device = choose_device(options.device, [load])
    checkpoint, dataset, split, folder = _resumed(options) if options.resume else _new(options)

    from common.proof import gate
    from common.training.loop import Trainer
    from common.training.progress import TrainingProgress

    say_device(device)
    twin = load()
    gate.require(twin, checkpoint, device.device, threads)
    twin.configure(device.device, threads)
    trainer = Trainer(twin, dataset, split, checkpoint, folder)
    with TrainingProgress(f"{twin.framework} {checkpoint.config.network}", checkpoint.step,
                          trainer.total_steps) as progress:
        trainer.run(progress.on_step, progress.on_epoch)
    print(f"done: {folder / 'best.npz'}")
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = make_parser(prog, _DESCRIPTION.format(prog=prog))
    parser.add_argument("--data", nargs="+", type=Path, metavar="PATH",
                        help="data folders or record files (default: embedded synthetic voices)")
    parser.add_argument("--out", type=Path, metavar="FOLDER",
                        help="the run's folder (default: runs/NETWORK-DATA)")
    parser.add_argument("--resume", type=Path, metavar="FOLDER",
                        help="go on with the run in this folder; either framework may")
    for field in dataclasses.fields(TrainingConfig):
        kind = {"int": int, "Optional[int]": int, "float": float, "str": str}[field.type]
        default = "" if field.default is None else f" ({field.default})"
        # No defaults here: what was not given must be told from what was.
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=None,
                            choices=_CHOICES.get(field.name), help=_SETTINGS[field.name] + default,
                            metavar=None if field.name in _CHOICES else kind.__name__.upper())
    add_machine_options(parser)
    return parser


def _given(options: argparse.Namespace) -> dict:
    """The training settings that stand on the command line."""
    return {name: getattr(options, name) for name in _SETTINGS
            if getattr(options, name) is not None}


def _new(options: argparse.Namespace) -> Tuple:
    from common.data.splits import split_dataset
    from common.training.loop import fresh, start_run

    config = TrainingConfig(**_given(options))
    dataset = _open(options.data)
    split = split_dataset(dataset, config.seed)
    folder = options.out or Path("runs") / f"{config.network}-{dataset.name}"
    checkpoint = fresh(config, dataset)
    start_run(folder, checkpoint, dataset, split, options.data or [])
    return checkpoint, dataset, split, folder


def _resumed(options: argparse.Namespace) -> Tuple:
    from common.data.splits import load_split
    from common.training.loop import resume, run_data

    checkpoint = resume(options.resume)
    if checkpoint.epoch >= checkpoint.config.epochs:
        raise UserError(f"{options.resume} has done all its {checkpoint.config.epochs} epochs")
    dataset = _open(options.data or run_data(options.resume))
    return (checkpoint, dataset, load_split(options.resume / "split.json", dataset),
            options.resume)


def _open(paths: Optional[List[Path]]):
    from common.data.dataset import open_dataset

    return open_dataset(data_or_embedded(paths))
