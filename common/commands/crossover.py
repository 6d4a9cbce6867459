"""`python compare.py crossover`: half the training in one framework, half in the other."""
from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional, Sequence

from common.commands.options import add_options, add_out_options, data_or_embedded, prepare_machine
from common.outputs import output
from common.parser import Parser, number
from common.twin import Twin

if TYPE_CHECKING:
    from common.training.config import TrainingConfig
    from common.training.crossover import CrossoverStudy

_DESCRIPTION = """Switch the framework in the middle of a training run and see whether the loss notices.

  python compare.py crossover --network tdnn

A checkpoint goes from TensorFlow to Caffe2 and from Caffe2 to TensorFlow after --steps steps; each
run is held against one that stays. Fails if any later loss differs by more than 1e-3 of itself."""

_WRITES = ("crossover.md", "crossover.json", "crossover.png", "half.npz")


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Print the differences and draw the curves; exit status 1 if the loss noticed."""
    options = _parser().parse_args(argv)
    threads = prepare_machine(options, loads.values())

    from common.data.dataset import open_dataset
    from common.data.splits import split_dataset
    from common.measured import facts
    from common.proof.recording import first_batches
    from common.speed import gate
    from common.training.crossover import CROSSING_TOLERANCE, CrossoverStudy, cross
    from common.training.loop import course, fresh

    dataset = open_dataset(data_or_embedded(options.data))
    config = _config(options)
    reader, _ = course(config, dataset, split_dataset(dataset, config.seed))
    batches = first_batches(reader, 2 * options.steps)
    start = fresh(config, dataset)
    with output(options.out, f"crossover-{config.network}", _WRITES, options.force) as folder:
        twins = {name: gate.require(load(), start, options.device, threads) for name, load in loads.items()}
        half = folder / "half.npz"
        crossings = [cross(twins[a], twins[b], start, batches, options.steps, half)
                     for a, b in itertools.permutations(twins, 2)]
        half.unlink()
        study = CrossoverStudy(facts(threads), config.network, crossings)
        lines = [f"{c.first} to {c.second}: largest difference of the loss over {options.steps} steps "
                 f"after the switch {c.largest_difference:.1e} of itself" for c in crossings]
        _write(folder, study, lines, f"{config.network}, batch of {config.batch_size}, data {dataset.name}")
    print("\n".join([*lines, f"written to {folder}: crossover.md, crossover.json, crossover.png"]))
    return 0 if max(c.largest_difference for c in crossings) < CROSSING_TOLERANCE else 1


def _write(folder: Path, study: CrossoverStudy, lines: Sequence[str], of_what: str) -> None:
    from common.files import write_json, write_text
    from common.measured import told
    from common.show.crossing_curves import draw_crossings
    from common.typed import plain

    draw_crossings(study, folder)
    write_json(folder / "crossover.json", plain(study))
    write_text(folder / "crossover.md", "\n".join([f"{told(study.measured)}\n\n{of_what}\n", *(f"- {line}" for line in lines), ""]))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py crossover", _DESCRIPTION)
    add_options(parser, "--data", "--network", "--width", "--batch-size", "--learning-rate", learning_rate=1e-3)
    parser.add_argument("--steps", type=number, default=20, help="before and after the switch (20)")
    add_out_options(parser, "crossover-NETWORK", "crossover.md, crossover.json and crossover.png")
    add_options(parser, "--device", "--threads")
    return parser


def _config(options: argparse.Namespace) -> TrainingConfig:
    from common.training.config import TrainingConfig

    return TrainingConfig(network=options.network, width=options.width,
                          batch_size=options.batch_size, learning_rate=options.learning_rate,
                          final_learning_rate=options.learning_rate / 10)
