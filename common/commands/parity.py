"""`python compare.py parity`: both frameworks climb the parity ladder."""
from __future__ import annotations

import argparse
import itertools
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, Optional, Tuple

from common.commands.options import BATCH_SIZE, add_options, add_out_options, data_or_embedded, prepare_machine
from common.errors import UserError
from common.outputs import output
from common.parser import Parser
from common.progress import Progress
from common.twin import Twin

if TYPE_CHECKING:
    from common.data.dataset import Dataset
    from common.proof.parity import Finding
    from common.proof.recording import Trace, Trial

_DESCRIPTION = """Hold both frameworks against the float64 reference, from cause to effect.

  python compare.py parity
  python compare.py parity --networks tdnn --break nesterov
  python compare.py parity --networks tdnn --width 0.1 --steps 100 --without-relus

Start, every layer's output, loss, every gradient, one update, batch norm's running statistics, for
the first step and for the last, and the loss of every step from where the framework had got to.
Names the first rung and tensor that diverges; the exit status is 1 if there is one. Rounding that
moves a ReLU's input across zero changes whole gradients (by 6e-2 in VGG-M), wrongly in neither
framework: gradients are judged given the framework's own outputs, and how far losses drift from
the common start (within 1e-3 over 100 steps) only --without-relus."""


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Print a table a network and framework; exit status 1 if a framework leaves the ladder."""
    options = _parser().parse_args(argv)
    threads = prepare_machine(options, loads.values())

    from common.data.dataset import open_dataset
    from common.files import write_json, write_text
    from common.proof.parity import first_divergence
    from common.show.ladder import as_json, side_by_side, verdicts
    from common.speed.convolutions import planned

    dataset = open_dataset(data_or_embedded(options.data))
    trials = [_trial(network, options, dataset) for network in options.networks]
    everything, sound = {}, True
    with output(options.out, "parity", ("parity.md", "parity.json"), options.force) as folder:
        twins = {name: planned(load(), options.device, threads) for name, load in loads.items()}
        for twin in twins.values():
            twin.configure(options.device, threads)
        parts = [_head(options, dataset, twins, threads)]
        for trial, broken in trials:
            own = {name: broken if name == options.side else trial for name in twins}
            recordings, findings = _climb_all(trial, own, twins)
            title = f"## {trial.spec.name}" + (" without ReLUs" if options.without_relus else "")
            parts.append("\n\n".join([title, *verdicts(findings, twins),
                                      *(part for pair in itertools.combinations(recordings, 2)
                                        for part in side_by_side(trial, {name: recordings[name] for name in pair}))]))
            everything[trial.spec.name] = {n: [as_json(f) for f in fs] for n, fs in findings.items()}
            sound = sound and not any(first_divergence(fs) for fs in findings.values())
            print(parts[-1], flush=True)
        write_text(folder / "parity.md", "\n\n".join(parts) + "\n")
        write_json(folder / "parity.json", everything)
    print(f"\nwritten to {folder}: parity.md, parity.json")
    return 0 if sound else 1


def _parser() -> argparse.ArgumentParser:
    from common.proof.mistakes import MISTAKES

    parser = Parser("python compare.py parity", _DESCRIPTION)
    # Half the others' batch: of VGG-M the reference holds every layer in float64, in 10 GB with the whole.
    add_options(parser, "--data", "--networks", "--width", "--batch-size", "--crop-frames", "--learning-rate", "--seed",
                batch_size=BATCH_SIZE // 2)
    parser.add_argument("--without-relus", action="store_true",
                        help="leave the ReLUs out: the evidence that only they make losses drift")
    parser.add_argument("--steps", type=int, default=3, help="training steps (3)")
    parser.add_argument("--break", dest="mistake", choices=list(MISTAKES), metavar="MISTAKE",
                        help=f"seed a classic mistake: {', '.join(MISTAKES)}")
    add_options(parser, "--in")
    add_out_options(parser, "parity", "parity.md and parity.json")
    add_options(parser, "--device", "--threads")
    return parser


def _trial(network: str, options: argparse.Namespace, dataset: Dataset
           ) -> Tuple[Trial, Trial]:
    """The trial, and what --break makes of it."""
    from common.data.batches import BatchReader
    from common.data.splits import split_dataset
    from common.network.architectures import build
    from common.proof.mistakes import MISTAKES
    from common.proof.recording import first_batches, make_trial, without_relus

    if options.steps < 1 or options.batch_size < 2:
        raise UserError("--steps must be at least 1 and --batch-size at least 2")
    spec = build(network, len(dataset.speakers), options.width)
    spec.steps(options.crop_frames)  # raises when that is too short
    reader = BatchReader.shuffled(dataset.records, split_dataset(dataset, options.seed).train, options.batch_size, options.seed,
                                  options.crop_frames)
    trial = make_trial(without_relus(spec) if options.without_relus else spec,
                       first_batches(reader, options.steps), options.learning_rate,
                       seed=options.seed)
    return trial, MISTAKES[options.mistake].make(trial) if options.mistake else trial


def _climb_all(trial: Trial, own: Dict[str, Trial], twins: Dict[str, Twin]
               ) -> Tuple[Dict[str, Trace], Dict[str, List[Finding]]]:
    """What each framework made of the trial it was given, and what the ladder finds in it."""
    from common.proof.parity import Arbiter, climb
    from common.proof.recording import record

    recordings: Dict[str, Trace] = {}
    findings: Dict[str, List[Finding]] = {}
    with Progress() as progress:
        progress.show(f"{trial.spec.name}: the reference", 0, 1 + len(twins))
        arbiter = Arbiter.of(trial)
        for number, (name, twin) in enumerate(twins.items(), 1):
            progress.show(f"{trial.spec.name}: {twin.framework}", number, 1 + len(twins))
            recordings[name] = record(twin, own[name])
            findings[name] = climb(trial, recordings[name], arbiter)
    return recordings, findings


def _head(options: argparse.Namespace, dataset: Dataset, twins: Dict[str, Twin],
          threads: int) -> str:
    from common.measured import facts, told

    broken = ""
    if options.mistake:
        from common.proof.mistakes import MISTAKES
        broken = (f"\n\n**{twins[options.side].framework} is broken on purpose: "
                  f"{MISTAKES[options.mistake].story}.**")
    return (f"# Parity ladder\n\n{told(facts(threads))}\n\nData {dataset.name}, {options.crop_frames} frames, batch of "
            f"{options.batch_size}, {options.steps} steps, learning rate from "
            f"{options.learning_rate:g} to a tenth of it, width {options.width:g}.{broken}")
