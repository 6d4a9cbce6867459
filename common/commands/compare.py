"""`python compare.py`: the benchmark and the cross-check of both frameworks."""
from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, Optional, Tuple

from common.commands.options import (
    BATCH_SIZE,
    Names,
    add_options,
    add_out_options,
    choose_device,
    data_or_embedded,
    num_threads,
    prepare_threads,
    say_device,
)
from common.contenders import BASELINES, CONTENDERS, FRAMEWORKS
from common.errors import UserError
from common.files import word
from common.network.architectures import NETWORKS
from common.outputs import output
from common.parser import Parser
from common.progress import Progress
from common.training.recipes import RECIPES
from common.twin import CLOCKS, RESIDENT, Twin

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.compare.comparison import ComparisonPlan
    from common.compare.report import Report
    from common.compare.results import NetworkResult
    from common.data.dataset import Dataset
    from common.data.splits import Split
    from common.device import Decision
    from common.speed.rounds import TimingPlan
    from common.training.config import TrainingConfig

_DESCRIPTION = """Compare TensorFlow and Caffe2 on who is speaking: speed, accuracy, and whether they agree.

  python compare.py                       # both networks on the embedded synthetic voices, 5 minutes the first time
  python compare.py --data DATA --epochs 10 --out runs/mine
  python compare.py --data DATA --recipe robust --baselines none --out runs/accuracy   # as long as `train` takes, in both
  python compare.py --baselines keras,onnxruntime,torch --blocks 8 --epochs 0   # speed alone, beside others
  python compare.py --baselines keras,keras-onednn --budget 300   # ... and until ratios are known to 5 %
  python compare.py --version
  python compare.py selfcheck             # another command, see the end

Each framework runs in a process of its own and they take turns, from the same parameters, on the
same batches. Tables go to the terminal; the same as Markdown, CSV and JSON, plots, and what each predicted
for every test utterance (for `compare.py predictions`), to --out.

In every run predictions and losses of all are held against each other and ONNX Runtime. Exit status:
0 every check passed; 1 a check failed: the report begins with it, is marked INVALID, and withholds
ratios; 2 the options, the data or this machine do not allow a run."""

_PREDICTIONS = "predictions-*.csv"
_NONE = "none"  # of the baselines
# What pays within five minutes on two cores. VGG-M learns the few default voices by heart in them, and
# still does not know them in another session: it has no learning run unless it is asked for. The quick one first.
_DEFAULT_EPOCHS = {**dict.fromkeys(["tdnn", *NETWORKS], 0), "tdnn": 6}
_SHORT_RUN = {"learning_rate": 2e-2, "crop_frames": 100}  # without a recipe


def run(loads: Mapping[str, Callable[[], Twin]], others: Mapping[str, Tuple[str, str]],
        argv: Optional[List[str]]) -> int:
    """Compare as the options say; returns the exit status. `others`: commands -> what for, how long."""
    options = parse(others, argv)
    if options.version:
        return _show_versions(loads, options.threads)
    threads = prepare_threads(options.threads)  # before NumPy's BLAS is loaded
    packages = {CONTENDERS[name].implementation for name in (*options.frameworks, *options.baselines)}
    decision = choose_device(options.device, [load for load in loads.values() if load.__module__ in packages])

    from common.compare import accuracy
    from common.compare.verdict import FAILED, verdict
    from common.show.learning_curves import draw_learning
    from common.show.speed_bars import draw_speed
    from common.tables import terminal_width

    plan, dataset, split = _plan(options, decision.device, threads)
    if options.out is not None:
        _check_runs(options.out, options)
    with output(options.out, f"compare-{dataset.name}", _writes(), options.force) as folder:
        say_device(decision)
        width = terminal_width()
        results = _results(plan, dataset, split, folder, width, options)
        report = _report(plan, decision, dataset, split, results)
        closing = verdict(results) if len(results) > 1 else []
        print("\n".join([*closing, "", accuracy.told(results, width=width), "", report.notes(), ""]).lstrip())
        report.write(folder)
        drawn = [path.name for path in (draw_learning(report, folder), draw_speed(report, folder)) if path]
    kept = [path.name for path in (*sorted(folder.glob(_PREDICTIONS)), *_runs(folder))]
    print(f"written to {folder}: {', '.join(['report.md', 'report.csv', 'report.json', *drawn, *kept])}")
    if all(result.valid for result in results):
        for run, package in _runs(folder).items():
            print(f"next: python -m {package}.identify {word(run)} RECORDING")
        return 0
    print("\n".join(verdict(results)), file=sys.stderr)  # the report's beginning has scrolled away
    return FAILED


def _results(plan: ComparisonPlan, dataset: Dataset, split: Split, folder: Path, width: Optional[int],
             options: argparse.Namespace) -> List[NetworkResult]:
    """Compare, and show each network's result once it is there. Who stops it is told what of it is kept."""
    from common.compare.comparison import Comparison
    from common.compare.report import section
    from common.compare.verdict import verdict

    results = []
    try:
        # What the workers hand each other, gone with them; by its whole path, as their current folder is another.
        with tempfile.TemporaryDirectory(dir=folder.resolve(), prefix="work-") as work, Progress() as progress:
            for result in Comparison(plan, dataset, split, Path(work), folder, progress.time).run():
                results.append(result)
                progress.print("\n".join([*verdict([result]), "", section(result, width=width), ""]))
    except KeyboardInterrupt as stop:
        runs = _runs(folder)
        if runs:
            stop.args = (f"what was timed is lost, what was learned is kept; go on with: {_going_on(runs, options)}",)
        raise
    return results


def _runs(folder: Path) -> Dict[Path, str]:
    """The learning runs with checkpoints in a comparison's folder, each with the package that goes on with it."""
    from common.training.run_folder import saved

    found = {folder / f"{network}-{name}": CONTENDERS[name].implementation
             for network in NETWORKS for name in FRAMEWORKS}
    return {run: package for run, package in found.items() if saved(run)}


def _going_on(runs: Mapping[Path, str], options: argparse.Namespace) -> str:
    from common.commands.train import going_on

    return "; ".join(going_on(f"python -m {package}.train", run, options) for run, package in runs.items())


def _check_runs(folder: Path, options: argparse.Namespace) -> None:
    """Tell which learning runs are replaced in a comparison's folder; raises UserError without --force."""
    runs = _runs(folder)
    if runs and not options.force:
        raise UserError(f"{folder} holds learning runs of a comparison; go on with them by: {_going_on(runs, options)}; or "
                        "name another folder with --out, or have all that a comparison wrote there replaced with --force, checkpoints too")
    if runs:
        print(f"note: --force deletes the checkpoints in {', '.join(map(str, runs))}", file=sys.stderr)


def parse(others: Mapping[str, Tuple[str, str]], argv: Optional[List[str]]) -> argparse.Namespace:
    """The options; who is timed beside the frameworks goes by these."""
    options = _parser(others).parse_args(argv)
    own = [name for name in BASELINES if CONTENDERS[name].own_of in options.frameworks]
    options.baselines = [name for name in options.baselines or own if name != _NONE]
    return options


def _parser(others: Mapping[str, Tuple[str, str]]) -> argparse.ArgumentParser:
    parser = Parser("python compare.py", _DESCRIPTION)
    parser.epilog = "Other commands, each with --help:\n" + "\n".join(
        f"  {name:<12} {what} ({takes})" for name, (what, takes) in others.items())
    parser.add_argument("--version", action="store_true",
                        help="show framework versions, where Caffe2 came from, devices; then stop")
    add_options(parser, "--data", "--networks", "--frameworks")
    parser.set_defaults(networks=list(_DEFAULT_EPOCHS))
    parser.add_argument("--baselines", action=Names, among=[*BASELINES, _NONE], default=[], help="time these beside them: of "
                        f"{', '.join([*BASELINES, _NONE])} (each framework's own convolutions, beside ours)")
    parser.add_argument("--recipe", choices=tuple(RECIPES),
                        help="learn as `train` does by this recipe, and keep checkpoints, log and split: "
                        "a run that is stopped can go on by `train --resume` (default: a short run, by the values in "
                        "brackets, which is not kept)")
    parser.add_argument("--epochs", type=int, help="of the learning run, for every network "
                        f"({', '.join(f'{n}: {e}' for n, e in _DEFAULT_EPOCHS.items())}); 0: "
                        "measure speed alone, learn nothing")
    add_options(parser, "--batch-size", "--learning-rate", "--crop-frames", "--width", "--seed",
                batch_size=f"{BATCH_SIZE}; a recipe's learning has its own",
                learning_rate=f"{_SHORT_RUN['learning_rate']}, and a hundredth at the end",
                crop_frames=f"{_SHORT_RUN['crop_frames']}")
    _add_timing_options(parser.add_argument_group("timing"))
    add_out_options(parser, "compare-DATA", "the report")
    add_options(parser, "--device", "--threads", "--convolutions")
    return parser


def _add_timing_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--blocks", type=int, default=5,
                       help="timed blocks of each figure: so many rounds at the least, 2 or more (%(default)g)")
    group.add_argument("--budget", type=float, default=30.0, metavar="S",
                       help="seconds of timing a network: more rounds until every ratio is known to 5 %%, or "
                       "so long (%(default)g)")
    group.add_argument("--steps", type=int, default=1, help="timed training steps in a block, at least (%(default)g)")
    group.add_argument("--block-seconds", type=float, default=0.3, metavar="S",
                       help="add steps until a block takes about so long (%(default)g)")
    group.add_argument("--calls", type=int, default=10,
                       help="of one utterance in a block, for latency (%(default)g)")
    group.add_argument("--clocks", action=Names, among=CLOCKS, default=[RESIDENT], help="where the input of a step comes "
                       f"from: of {', '.join(CLOCKS)} (resident, which is always timed)")
    group.add_argument("--parts", action="store_true",
                       help="time forward, backward and update as well")


def _writes() -> List[str]:
    from common.training.run_folder import WRITES

    return ["report.md", "report.csv", "report.json", "learning-curves.png", "speed.png", _PREDICTIONS,
            *(f"{network}-{framework}/{name}" for network in NETWORKS for framework in FRAMEWORKS for name in WRITES)]


def _timing_plan(options: argparse.Namespace) -> TimingPlan:
    from common.speed.rounds import TimingPlan

    for name, least in (("blocks", 2), ("steps", 1), ("calls", 1), ("block_seconds", 0), ("budget", 0)):
        if not least <= getattr(options, name) < math.inf:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least}, and a number")
    for name in options.baselines:
        package = CONTENDERS[name].package
        if importlib.util.find_spec(package) is None:
            raise UserError(f"the baseline {name} is not installed here: pip install {package}")
    clocks = [clock for clock in CLOCKS if clock == RESIDENT or clock in options.clocks]
    return TimingPlan(options.frameworks, options.baselines, options.blocks,
                      options.budget, options.steps, options.block_seconds, options.calls, clocks, options.parts)


def _plan(options: argparse.Namespace, device: str, threads: int) -> Tuple[ComparisonPlan, Dataset, Split]:
    from common.commands.train import say_mismatch
    from common.compare.comparison import ComparisonPlan
    from common.data.dataset import open_dataset
    from common.data.splits import split_dataset
    from common.training.loop import check_batch

    timing = _timing_plan(options)
    if options.epochs is not None and options.epochs < 0:
        raise UserError(f"--epochs must be 0 (learn nothing) or more, not {options.epochs}")
    configs = [_config(options, name) for name in options.networks]
    learning = [config.network for config in configs
                if options.recipe or options.epochs is not None or _DEFAULT_EPOCHS[config.network]] if options.epochs != 0 else []
    data = data_or_embedded(options.data)
    dataset = open_dataset(data)
    if options.recipe and options.data:  # nobody prepared the embedded voices
        say_mismatch(configs[0], dataset)
    split = split_dataset(dataset, options.seed)
    for config in configs:
        check_batch(split, config)  # where nothing is learned, the first steps are of its batches all the same
    if not len(split.test):
        raise UserError(f"{dataset.name} leaves nothing to test on: no speaker has more than one "
                        "recording; use more data")
    plan = ComparisonPlan([str(path.resolve()) for path in data], configs, timing, options.batch_size or BATCH_SIZE,
                          device, threads, learning, options.convolutions, options.recipe)
    return plan, dataset, split


def _config(options: argparse.Namespace, network: str) -> TrainingConfig:
    """Of a network's learning run: the recipe's or the short one's, with what is given in place of theirs."""
    from common.training.config import TrainingConfig
    from common.training.recipes import configure

    given = {name: getattr(options, name) for name in ("epochs", "batch_size", "learning_rate", "crop_frames")
             if getattr(options, name) is not None}
    if options.epochs == 0:  # which is nothing that a configuration can say
        del given["epochs"]
    own = {"network": network, "seed": options.seed, "width": options.width}
    if options.recipe:
        return configure({"recipe": options.recipe, **own, **given})
    short = {"epochs": max(1, _DEFAULT_EPOCHS[network]), "batch_size": BATCH_SIZE, **_SHORT_RUN, **given}
    return TrainingConfig(schedule="cosine", final_learning_rate=short["learning_rate"] / 100, **own, **short)


def _report(plan: ComparisonPlan, decision: Decision, dataset: Dataset, split: Split, results: List[NetworkResult]) -> Report:
    from common.compare.report import Report
    from common.measured import facts

    versions = {name: own.facts["framework"] for result in results
                for name, own in {**result.frameworks, **result.baselines}.items()}
    data = {"name": dataset.name, "synthetic": dataset.synthetic, "by": split.by,
            "speakers": len(dataset.speakers), "train": len(split.train), "dev": len(split.dev),
            "test": len(split.test), "fingerprint": dataset.fingerprint()}
    machine = facts(plan.threads)
    return Report(machine.pop("date"), machine, versions, data, settings_of(plan, str(decision)), results)


def settings_of(plan: ComparisonPlan, device: str) -> Dict[str, object]:
    """What all networks have in common; batches of what is timed, and of what learns where these are others."""
    import dataclasses

    first, *others = map(dataclasses.asdict, plan.configs)
    settings = {name: value for name, value in first.items() if all(other[name] == value for other in others)}
    learning = dict.fromkeys(str(config.batch_size) for config in plan.configs if config.network in plan.learning)
    if set(learning) - {str(plan.batch_size)}:
        settings["learning_batch_size"] = " and ".join(learning)
    settings.update({"threads": plan.threads, "device": device, **dataclasses.asdict(plan.timing),
                     "batch_size": plan.batch_size})
    for name in ("network", "recipe", "epochs", "frameworks", "baselines"):  # of one network, none, or columns
        settings.pop(name, None)
    return settings


def _show_versions(loads: Mapping[str, Callable[[], Twin]], threads: int) -> int:
    """Each framework is asked in this process; they live side by side."""
    from common.device import decide
    from common.measured import facts
    from common.tables import table

    told = facts(num_threads(threads))
    for load in loads.values():
        told.update(load().about())
    told["--device auto"] = str(decide("auto", [load.__module__ for load in loads.values()]))
    print(table(list(told.items()), (), "plain"))
    return 0
