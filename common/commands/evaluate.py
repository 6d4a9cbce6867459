"""`python -m tf_impl.evaluate` and `python -m caffe2_impl.evaluate`: a saved model on record files."""
from __future__ import annotations

import argparse
import csv
import dataclasses
from pathlib import Path
from typing import Callable, List, Optional, Sequence

from common.commands.options import (
    add_machine_options,
    add_side_options,
    choose_device,
    existing,
    make_parser,
    prepare_threads,
    say_device,
    side_indices,
)
from common.errors import UserError
from common.twin import Twin

_DESCRIPTION = """Evaluate a saved model on records it may never have seen.

  {prog} runs/first/best.npz part-7.bin
  {prog} runs/first/best.npz DATA --split runs/first/split.json --side test

Prints top-1 with its 95 % interval, top-5, utterances per second and the most frequent confusions;
--out writes the figures, every prediction and the whole confusion matrix. A model trained in
either framework will do."""


def run(prog: str, load: Callable[[], Twin], argv: Optional[List[str]]) -> int:
    """Evaluate as the options say; returns the exit status."""
    options = _parser(prog).parse_args(argv)
    if options.batch_size < 1:
        raise UserError(f"--batch-size must be at least 1, not {options.batch_size}")
    threads = prepare_threads(options.threads)
    device = choose_device(options.device, [load])

    from common.data.batches import BatchReader
    from common.data.dataset import open_dataset
    from common.files import make_folder
    from common.proof import gate
    from common.training.checkpoint import load_checkpoint
    from common.training.evaluation import Evaluation, predict
    from common.training.metrics import confusion_matrix

    checkpoint = load_checkpoint(options.model)
    dataset = open_dataset(options.data, speakers=checkpoint.speakers)
    checkpoint.check_data(dataset)
    indices = side_indices(options, dataset)
    if options.out:
        make_folder(options.out)
    say_device(device)
    twin = load()
    gate.require(twin, checkpoint, device.device, threads)
    twin.configure(device.device, threads)
    model = twin.model(checkpoint.spec, checkpoint.params, checkpoint.config.optimizer)
    reader = BatchReader(dataset.records, indices, options.batch_size, 0, shuffle=False,
                         drop_remainder=False)
    logits, speakers, rate = predict(twin, model, reader)
    evaluation = Evaluation.of(logits, speakers, rate)
    confusion = confusion_matrix(logits, speakers)
    _show(twin, checkpoint, dataset, evaluation, confusion)
    if options.out:
        _write(options.out, evaluation, confusion, checkpoint.speakers, indices, speakers, logits)
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = make_parser(prog, _DESCRIPTION.format(prog=prog))
    parser.add_argument("model", type=existing("model"), help="a run's best.npz or last.npz")
    parser.add_argument("data", nargs="+", type=Path, help="record files or data folders")
    add_side_options(parser)
    parser.add_argument("--batch-size", type=int, default=32, help="utterances at once (32)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write figures and tables here")
    add_machine_options(parser)
    return parser


def _show(twin: Twin, checkpoint, dataset, evaluation, confusion) -> None:
    voices = ", synthetic voices" if dataset.synthetic else ""
    print(f"{checkpoint.config.network} trained by {checkpoint.framework or 'nobody'} for "
          f"{checkpoint.epoch} epochs, evaluated in {twin.framework} on {dataset.name}{voices}")
    print(evaluation)
    mistakes = [(confusion[i, j], i, j) for i in range(len(confusion))
                for j in range(len(confusion)) if i != j and confusion[i, j]]
    for count, i, j in sorted(mistakes, reverse=True)[:5]:
        print(f"  {count:3d} of {confusion[i].sum()} by {checkpoint.speakers[i]} "
              f"were taken for {checkpoint.speakers[j]}")


def _write(folder: Path, evaluation, confusion, names: Sequence[str], indices, speakers,
           logits) -> None:
    from common.files import write_json

    write_json(folder / "evaluation.json", dataclasses.asdict(evaluation))
    with open(folder / "confusion.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["spoken by / taken for", *names])
        writer.writerows([name, *row] for name, row in zip(names, confusion.tolist()))
    with open(folder / "predictions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["record", "speaker", "predicted", "logit"])
        best = logits.argmax(axis=1)
        writer.writerows([int(index), names[speaker], names[choice], float(row[choice])]
                         for index, speaker, choice, row in zip(indices, speakers, best, logits))
