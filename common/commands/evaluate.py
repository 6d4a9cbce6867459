"""`python -m tf_impl.evaluate` and `python -m caffe2_impl.evaluate`: a saved model on record files."""
from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import io
from pathlib import Path
from typing import Callable, Iterable, List, Optional, Sequence

from common.commands.options import (
    add_machine_options,
    add_out_options,
    choose_device,
    make_parser,
    model_file,
    prepare_threads,
    say_device,
)
from common.commands.utterances import Choice, add_side_options, choose, data_for
from common.errors import UserError
from common.outputs import output
from common.twin import Twin

_DESCRIPTION = """Evaluate a saved model on records it may never have seen.

  {prog} runs/first                         # of the data it was trained on, the test side
  {prog} runs/first --side dev
  {prog} runs/first/best.npz part-7.bin     # of other data, all

Utterances that it was trained on are left out, which is told, unless --side train asks for them.
Prints top-1 with its 95 % interval, top-5 of more than five speakers, utterances per second, the most
frequent confusions and how far its probabilities are from the truth; --out writes the figures, every prediction and the whole confusion matrix. A
model trained in either framework will do."""

WRITES = ("evaluation.json", "confusion.csv", "predictions.csv")


def run(prog: str, load: Callable[[], Twin], argv: Optional[List[str]]) -> int:
    """Evaluate as the options say; returns the exit status."""
    options = _parser(prog).parse_args(argv)
    if options.batch_size < 1:
        raise UserError(f"--batch-size must be at least 1, not {options.batch_size}")
    threads = prepare_threads(options.threads)
    device = choose_device(options.device, [load])

    from common.data.batches import BatchReader
    from common.data.dataset import open_dataset
    from common.proof import gate
    from common.training.checkpoint import load_checkpoint
    from common.training.evaluation import Evaluation, predict
    from common.training.metrics import confusion_matrix

    checkpoint = load_checkpoint(options.model)
    dataset = open_dataset(data_for(options.model, options.data), speakers=checkpoint.speakers)
    checkpoint.check_data(dataset)
    choice = choose(options, dataset, {options.model: checkpoint})
    with contextlib.nullcontext() if options.out is None else output(
            options.out, "evaluate", WRITES, options.force) as folder:
        say_device(device)
        twin = gate.require(load(), checkpoint, device.device, threads)
        twin.configure(device.device, threads)
        model = twin.model(checkpoint.spec, checkpoint.params, checkpoint.config.optimizer)
        logits, speakers, rate = predict(twin, model, BatchReader.in_order(
            dataset.records, choice.indices, options.batch_size))
        evaluation = Evaluation.of(logits, speakers, rate)
        confusion = confusion_matrix(logits, speakers)
        _show(twin, checkpoint, dataset, choice.told, evaluation, confusion,
              _calibration(checkpoint.temperature, logits, speakers))
        if folder is not None:
            write_results(folder, choice, evaluation, confusion, checkpoint.speakers, speakers, logits)
            print(f"written to {folder}: {', '.join(WRITES)}")
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = make_parser(prog, _DESCRIPTION.format(prog=prog))
    parser.add_argument("model", type=model_file, help="a run's best.npz or last.npz, or its folder")
    parser.add_argument("data", nargs="*", type=Path,
                        help="record files or data folders (default: what the model's own run has)")
    add_side_options(parser)
    parser.add_argument("--batch-size", type=int, default=32, help="utterances at once (32)")
    add_out_options(parser, None, "figures and tables")
    add_machine_options(parser)
    return parser


def _show(twin: Twin, checkpoint, dataset, told: str, evaluation, confusion, calibration: str) -> None:
    voices = ", synthetic voices" if dataset.synthetic else ""
    print(f"{checkpoint.config.network} trained by {checkpoint.framework or 'nobody'} for "
          f"{checkpoint.epoch} epochs, evaluated in {twin.framework} on {dataset.name}{voices}{told and ': '}{told}")
    print(evaluation, calibration, sep="\n")
    mistakes = [(confusion[i, j], i, j) for i in range(len(confusion))
                for j in range(len(confusion)) if i != j and confusion[i, j]]
    for count, i, j in sorted(mistakes, reverse=True)[:5]:
        print(f"  {count:3d} of {confusion[i].sum()} by {checkpoint.speakers[i]} "
              f"were taken for {checkpoint.speakers[j]}")


def _calibration(temperature: Optional[float], logits, speakers) -> str:
    """How far probabilities are from the truth, in words."""
    from common.training.metrics import calibration_error

    told = f"expected calibration error {100 * calibration_error(logits, speakers):.1f} %"
    if temperature is None:
        return told
    better = calibration_error(logits / temperature, speakers)
    return f"{told}, by the temperature of its development side ({temperature:.3g}) {100 * better:.1f} %"


def write_results(folder: Path, choice: Choice, evaluation, confusion, names: Sequence[str], speakers, logits) -> None:
    from common.files import write_json, write_text

    write_json(folder / "evaluation.json", {**dataclasses.asdict(evaluation), "of": choice.told or "all"})
    write_text(folder / "confusion.csv", _table(["spoken by / taken for", *names], (
        [name, *row] for name, row in zip(names, confusion.tolist()))))
    best = logits.argmax(axis=1)
    write_text(folder / "predictions.csv", _table(["record", "speaker", "predicted", "logit"], (
        [int(index), names[speaker], names[guess], float(row[guess])]
        for index, speaker, guess, row in zip(choice.indices, speakers, best, logits))))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV."""
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    return text.getvalue()
