"""`python -m tf_impl.train` and `python -m caffe2_impl.train`: the same options, the same run."""
from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import sys
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, get_args

from common.commands.options import add_options, add_out_options, choose_device, data_or_embedded, prepare_threads
from common.commands.resuming import resumed_run
from common.commands.stopping import Stopping
from common.errors import UserError
from common.files import word
from common.network.architectures import NETWORKS
from common.network.optimizer import SCHEDULES
from common.outputs import RUNS, numbered, plain, remove_if_empty, vacate
from common.parser import Parser
from common.progress import THINGS, Progress
from common.training.config import SAVE_MINUTES, TYPES, WHAT, TrainingConfig
from common.training.recipes import DEFAULT, RECIPES, configure, described
from common.twin import MEASURE, Twin

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.data.dataset import Dataset
    from common.data.splits import Split
    from common.training.checkpoint import Checkpoint
    from common.training.events import EventFile
    from common.training.loop import Trainer
    from common.training.run_folder import EpochRecord

_DESCRIPTION = """Train a network to tell speakers apart.

  {prog} --recordings MY_RECORDINGS --network tdnn --out runs/mine    # from recordings to a model
  {prog} --data DATA --network tdnn --epochs 10 --out runs/first
  {prog} --resume runs/first
  {prog} --resume runs/first --epochs 20    # more epochs for a run that has done all of its own

The run's folder gets run.md (all about it on a page, with learning curves), config.json, split.json,
certificate.json (what it is trained with), log.jsonl, events for `tensorboard --logdir`, and after every
epoch, and every few minutes within one, last.npz; best.npz is the best epoch's: the latest that the
development side cannot tell from the most accurate one. Ctrl-C and SIGTERM save and stop; --resume goes on
as if there had been no stop, its convolutions computed as before unless --convolutions asks for another way; where
processor, libraries, --device or --threads are others it says so. Without --data and --recordings it uses the embedded synthetic voices.

A recipe gives every setting that is not given, for both frameworks the same:

{recipes}"""

_CHOICES = {"recipe": tuple(RECIPES), "network": tuple(NETWORKS), "schedule": SCHEDULES}


def run(prog: str, load: Callable[[], Twin], argv: Optional[List[str]]) -> int:
    """Train as the options say; returns the exit status."""
    options = build_parser(prog).parse_args(argv)
    if options.resume and (options.out or options.force or options.recordings or options.share is not None
                           or set(_given(options)) - {"epochs", "patience"}):
        raise UserError("--resume goes on with the run's own settings in its own folder; beside it only --data (if "
                        "the data have moved), --epochs (for more of them), --patience, --device, --threads, "
                        "--convolutions and --save-minutes make sense")
    if options.recordings and options.data:
        raise UserError("--recordings are prepared and trained on; give --data in their place for what is prepared already")
    if not options.save_minutes >= 0:
        raise UserError(f"--save-minutes must be 0 or more, not {options.save_minutes}")
    threads = prepare_threads(options.threads)
    device = choose_device(options.device, [load])
    with (resumed_run if options.resume else new_run)(options) as (checkpoint, dataset, split, folder), Stopping(
            going_on(prog, folder, options), lambda: _kept(folder)) as stopping:
        from common.speed import gate
        from common.training.loop import Trainer

        twin = gate.require(load(), checkpoint, device.device, threads, options.convolutions)
        trainer = Trainer(twin, dataset, split, checkpoint, folder, 60 * options.save_minutes)
        summary = _summary(trainer, checkpoint, dataset, split)
        now = {"epochs": f"{_left(trainer, checkpoint)}, in {trainer.model.facts()['framework']}",
               "device": f"{device}; {threads} threads", "folder": folder}
        print("\n".join(f"{name:<11} {value}" for name, value in {**summary, **now}.items()), file=sys.stderr)
        print(*[f"note: {note}\n" for note in notes(checkpoint, split, trainer.otherwise)], sep="", end="", file=sys.stderr)
        _train(prog, trainer, checkpoint, split, summary, stopping)
    return 0


def notes(checkpoint: Checkpoint, split: Split, otherwise: str) -> List[str]:
    """What whoever trains should know of the run that begins or goes on, computed `otherwise` than before."""
    found = []
    if checkpoint.config.patience and not len(split.dev):
        found.append("there is no development side to tell a better epoch by, so --patience ends nothing")
    if otherwise:
        found.append(f"after step {checkpoint.step} the run is computed otherwise than before, and so not bit for bit as if it had "
                     f"not been stopped: {otherwise}")
    return found


def _left(trainer: Trainer, checkpoint: Checkpoint) -> str:
    """Which epochs there are to train."""
    done, epochs = checkpoint.epoch, checkpoint.config.epochs
    if done == epochs or trainer.out_of_patience:
        return f"{done} of {epochs} done, none to train"
    return f"{done + 1} to {epochs}"


def _kept(folder: Path) -> str:
    from common.training.run_folder import resume, saved

    last = resume(folder) if saved(folder) else None
    if last is None or not last.step:
        return "no epoch is saved yet"
    return f"step {last.step} is saved" if last.part.steps else f"epoch {last.epoch} is saved"


def going_on(prog: str, folder: Path, options: argparse.Namespace) -> str:
    """The command that goes on with a run, on the same part of the machine and in the same way."""
    defaults = vars(build_parser(prog).parse_args([]))
    given = {**defaults, **vars(options)}  # which may be those of `compare.py`
    words = ["--resume", word(folder)]
    for name in ("device", "threads", "convolutions", "save_minutes"):
        if given[name] not in (defaults[name], MEASURE):  # what was measured is remembered
            words += [f"--{name.replace('_', '-')}", str(given[name])]
    words += ["--data", *map(word, given["data"])] if given["resume"] and given["data"] else []
    return " ".join([prog, *words])


def _train(prog: str, trainer: Trainer, checkpoint: Checkpoint, split: Split, summary: Mapping[str, str],
           stopping: Stopping) -> None:
    """The run itself, and whoever watches it: the terminal, a page in its folder, TensorBoard."""
    from common.show.run_page import RunPage
    from common.training.events import EventFile
    from common.training.run_folder import read_log

    folder = trainer.folder
    run, more = word(folder), {"identify": "RECORDING", "evaluate": "", "export": word(folder / "speaker.onnx")}
    following = {name: " ".join([prog.replace("train", name), run, rest]).rstrip() for name, rest in more.items()}
    page = RunPage(folder, summary, checkpoint.config, following)
    told = [record for record in read_log(folder) if record.epoch <= checkpoint.epoch][-1:]
    with EventFile(folder, told[0].step if told else 0) as events:
        for record in told:  # again: the run may have died before it was told
            events.epoch(record)

        def on_epoch(record: EpochRecord) -> None:
            progress.print(str(record))
            events.epoch(record)
            page.epoch()

        try:
            with Progress(THINGS) as progress:
                progress.show("before the first step", checkpoint.step, trainer.total_steps)
                trainer.run(lambda step, loss, top1, rate: progress.show(
                    f"loss {loss:.3f}  top-1 {top1:.0%}  {rate:.1f} utterances/s", step, trainer.total_steps),
                    on_epoch, stopping.asked)
            stopping.no_longer_asked()
            early = ""
            if trainer.out_of_patience:
                early = (f"stopped early: for {checkpoint.config.patience} epochs no better development accuracy; to go on all "
                         f"the same: {prog} --resume {word(folder)} --patience 0")
                print(early)
            print(f"done: {folder / 'best.npz'}")
            result = _tested(trainer, split, events)
        except BaseException:
            page.stopped()
            raise
        page.finish(result, early)
    print(result, f"next: {following['identify']}", sep="\n")


def _summary(trainer: Trainer, checkpoint: Checkpoint, dataset: Dataset, split: Split) -> Dict[str, str]:
    """What is trained on what, the whole run through."""
    config, spec = checkpoint.config, checkpoint.spec
    voices = "SYNTHETIC voices" if dataset.synthetic else "voices"
    crops = "whole utterances" if config.crop_frames is None else f"crops of {config.crop_frames} frames"
    return {
        "network": f"{config.network}, {spec.num_parameters:,} parameters",
        "data": f"{dataset.name}: {len(dataset.speakers)} {voices}, split by {split.by}",
        "utterances": f"{len(split.train)} training, {len(split.dev)} development, {len(split.test)} test",
        "steps": f"{trainer.total_steps // config.epochs} an epoch, each of {config.batch_size} {crops}"}


def _tested(trainer: Trainer, split: Split, events: EventFile) -> str:
    """How good the run's best model is on the test side."""
    from common.show.confusion import confusion_png
    from common.training.evaluation import Evaluation

    best = trainer.load_best()
    answers = trainer.predict(split.test)
    if answers is None:
        return "test side: it has no utterances"
    events.picture("test side: who was taken for whom", lambda: confusion_png(*answers[:2], best.speakers))
    return f"test side, by epoch {best.epoch}: {Evaluation.of(*answers)}"


def build_parser(prog: str) -> argparse.ArgumentParser:
    parser = Parser(prog, _DESCRIPTION.format(prog=prog, recipes=indent(described(), "  ")))
    add_options(parser, "--data")
    add_out_options(parser, "train-NETWORK-DATA", "the run")
    parser.add_argument("--recordings", type=Path, metavar="FOLDER", help="first make data of the recordings in this folder "
                        f"(or archive), SPEAKER/SESSION/*, as the recipe is for; they go to {RUNS}/FOLDER-data, "
                        "where later runs find them, or with --out X to X-data; see python -m common.prepare, which has more "
                        "options")
    parser.add_argument("--resume", type=Path, metavar="FOLDER",
                        help="go on with the run in this folder; either framework may")
    for field in dataclasses.fields(TrainingConfig):
        kind, *_ = get_args(TYPES[field.name]) or (TYPES[field.name],)  # int of Optional[int]
        default = DEFAULT if field.name == "recipe" else field.default
        default = "" if default is None else f" ({default})"
        # No defaults here: what was not given must be told from what was.
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=None,
                            choices=_CHOICES.get(field.name), help=field.metadata[WHAT] + default,
                            metavar=None if field.name in _CHOICES else kind.__name__.upper())
    parser.add_argument("--share", type=float, metavar="S",
                        help="train on this share of each speaker's training utterances, to see what more data bring; by the "
                        "same seed a smaller share is a part of a larger one (1)")
    parser.add_argument("--save-minutes", type=float, default=SAVE_MINUTES, metavar="M",
                        help=f"within an epoch, save so often what to go on from; 0: after every step ({SAVE_MINUTES:g})")
    add_options(parser, "--device", "--threads", "--convolutions")
    return parser


def _given(options: argparse.Namespace) -> dict:
    """The training settings that stand on the command line."""
    return {name: getattr(options, name) for name in TYPES if getattr(options, name) is not None}


@contextlib.contextmanager
def new_run(options: argparse.Namespace) -> Iterator[Tuple]:
    """A run that starts, its folder held: checkpoint, data, split, folder."""
    from common.data.splits import check_share
    from common.training.loop import fresh
    from common.training.run_folder import WRITES, check_free, claimed, saved, start_run

    config = configure(_given(options))
    if options.out:  # which is refused before anything is prepared, as is --share
        with claimed(options.out) if (options.out / ".lock").exists() else contextlib.nullcontext():
            check_free(options.out, options.force)
    if options.share is not None:
        check_share(options.share)
    paths = [_prepared(options.recordings, config.recipe, options.out)] if options.recordings else options.data or []
    dataset, split = _material(paths, options.share, config)
    folder = options.out or numbered(f"train-{config.network}-{dataset.name}")
    with claimed(folder):
        checkpoint = fresh(config, dataset)
        start_run(folder, checkpoint, dataset, split, paths, options.force)
        if paths:  # nobody prepared the embedded voices
            say_mismatch(config, dataset)
        try:
            yield checkpoint, dataset, split, folder
        except UserError:  # such as a framework's that does not find the card: no folder is left of it
            if not saved(folder):
                vacate(folder, (*WRITES, ".lock"), force=True)
                remove_if_empty(folder)
            raise


def _prepared(recordings: Path, recipe: str, out: Optional[Path]) -> Path:
    """Data of recordings, as the recipe is for: made, or completed, or there already, where the same command finds them."""
    from common.prepare import command
    from common.prepare.sources import is_data_folder

    if is_data_folder(recordings) or any(recordings.glob("part-*.bin")):
        raise UserError(f"{recordings}: these are data, not recordings: give them with --data")
    data = Path(f"{out.resolve()}-data") if out else RUNS / f"{plain(recordings.resolve().name)}-data"
    kept = f"what is prepared is kept in {data}"
    with Stopping("the same command", lambda: kept if data.exists() else "nothing is prepared yet"):
        try:
            command.run([*shlex.split(RECIPES[recipe].prepare), "--", str(recordings), str(data)])
        except BaseException as error:
            remove_if_empty(data)
            if isinstance(error, UserError) and str(error).startswith(str(data)):
                there = f", or train on what is there with --data {word(data)}" if (data / "dataset.json").exists() else ""
                raise UserError(f"{error}; to have data made elsewhere name another folder with --out{there}") from None
            raise
    return data


def _material(paths: List[Path], share: Optional[float], config: TrainingConfig) -> Tuple[Dataset, Split]:
    """The data to train on, and how they are split."""
    from common.data.dataset import open_dataset
    from common.data.splits import split_dataset, with_less_training
    from common.training.loop import check_batch

    dataset = open_dataset(data_or_embedded(paths))
    split = split_dataset(dataset, config.seed)
    if share is not None:
        split = with_less_training(split, dataset.records.labels, share, config.seed)
    check_batch(split, config)
    return dataset, split


def say_mismatch(config: TrainingConfig, dataset: Dataset) -> None:
    """Tell on standard error where the data were not prepared as the recipe expects them."""
    recipe = RECIPES[config.recipe]
    if recipe.mismatch(dataset.scale, dataset.normalised):
        print(f"note: {dataset.name} was not prepared for the recipe {config.recipe}: python -m common.prepare with "
              f"{recipe.prepare or 'no option'} makes the spectrograms it is for, and with others it may recognise less",
              file=sys.stderr)
