"""`python -m tf_impl.evaluate`, `caffe2_impl.evaluate` and `common.evaluate`: a saved model on record files."""
from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence

from common.commands import breakdown
from common.commands.options import Load, add_engine_options, add_options, add_out_options, model_of_kind, open_engine
from common.commands.utterances import Selection, add_side_options, choose, open_for
from common.outputs import output
from common.parser import Parser

if TYPE_CHECKING:  # slow to import, and only named in annotations
    import numpy as np

    from common.data.dataset import Dataset
    from common.identify.engines import Engine
    from common.training.evaluation import Evaluation

_RUN = """  {prog} runs/first                         # of the data it was trained on, the test side
  {prog} runs/first --side dev
  {prog} runs/first --breakdown --out runs/evaluation
  {prog} runs/first/best.npz part-7.bin     # of other data, all

Utterances that it was trained on are left out, which is told, unless --side train asks for them. A model
trained in either framework will do."""
_FILE = """  {prog} speaker.onnx part-7.bin
  {prog} speaker.onnx data --split runs/first/split.json

An ONNX file does not say which utterances the model was trained on: choose others."""
_DESCRIPTION = """Evaluate a saved model on records it may never have seen.

{examples}

Prints top-1 with its 95 % interval, top-5 of more than five speakers, how far its probabilities are from
the truth, utterances per second and the most frequent confusions; --out writes the figures, every
prediction and the whole confusion matrix. --breakdown tells what the accuracy consists of."""

WRITES = ("evaluation.json", "confusion.csv", "predictions.csv")


def run(prog: str, load: Load, argv: Optional[List[str]]) -> int:
    """Evaluate as the options say; returns the exit status."""
    options = _parser(prog, load).parse_args(argv)
    options.model = model_of_kind(prog, load, options.model)
    engine = open_engine(prog, load, options)

    from common.data.batches import BatchReader
    from common.training.evaluation import Evaluation
    from common.training.metrics import confusion_matrix

    trained = engine.trained
    dataset = open_for(options.model, options.data, trained)
    groups = breakdown.groups_of(options, trained.speakers)
    choice = choose(options, dataset, {options.model: engine.checkpoint}, trained)
    with contextlib.nullcontext() if options.out is None else output(
            options.out, "evaluate", [*WRITES, *breakdown.WRITES], options.force) as folder:
        logits, speakers, rate = engine.predict(BatchReader.in_order(dataset.records, choice.indices, options.batch_size))
        evaluation = Evaluation.of(logits, speakers, rate)
        confusion = confusion_matrix(logits, speakers)
        _show(engine, dataset, choice.told, evaluation, confusion, _calibration(trained.temperature, logits, speakers))
        if folder is not None:
            write_results(folder, choice, evaluation, confusion, trained.speakers, speakers, logits)
        if options.breakdown:
            breakdown.break_down(options, engine, dataset, choice, logits, groups, folder)
        if folder is not None:
            print(f"written to {folder}: {', '.join([*WRITES, *(breakdown.WRITES if options.breakdown else ())])}")
    return 0


def _parser(prog: str, load: Load) -> argparse.ArgumentParser:
    examples = (_FILE if load is None else _RUN).format(prog=prog)
    parser = Parser(prog, _DESCRIPTION.format(examples=examples))
    add_engine_options(parser, load)
    add_options(parser, "data", "--batch-size", data="what the model's own run has")
    add_side_options(parser)
    breakdown.add_breakdown_options(parser)
    add_out_options(parser, None, "figures and tables")
    return parser


def _show(engine: Engine, dataset: Dataset, told: str, evaluation: Evaluation, confusion: np.ndarray, calibration: str) -> None:
    trained, voices = engine.trained, ", synthetic voices" if dataset.synthetic else ""
    print(f"{trained.network} trained by {trained.trained_by}, evaluated in {engine.name} on {dataset.name}{voices}"
          f"{told and ': '}{told}")
    print(evaluation, calibration, sep="\n")
    mistakes = [(confusion[i, j], i, j) for i in range(len(confusion))
                for j in range(len(confusion)) if i != j and confusion[i, j]]
    for count, i, j in sorted(mistakes, reverse=True)[:5]:
        print(f"  {count:3d} of {confusion[i].sum()} by {trained.speakers[i]} were taken for {trained.speakers[j]}")


def _calibration(temperature: Optional[float], logits: np.ndarray, speakers: np.ndarray) -> str:
    """How far probabilities are from the truth, in words."""
    from common.training.metrics import calibration_error

    told = f"expected calibration error {100 * calibration_error(logits, speakers):.1f} %"
    if temperature is None:
        return told
    better = calibration_error(logits / temperature, speakers)
    return f"{told}, by the temperature of its development side ({temperature:.3g}) {100 * better:.1f} %"


def write_results(folder: Path, choice: Selection, evaluation: Evaluation, confusion: np.ndarray, names: Sequence[str],
                  speakers: np.ndarray, logits: np.ndarray) -> None:
    from common.files import csv_text, write_json, write_text
    from common.proof.stored import write_answers

    write_json(folder / "evaluation.json", {**dataclasses.asdict(evaluation), "of": choice.told or "all"})
    write_text(folder / "confusion.csv", csv_text([["spoken by / taken for", *names], *(
        [name, *row] for name, row in zip(names, confusion.tolist()))], line_end="\r\n"))
    write_answers(folder / "predictions.csv", choice.indices, speakers, names, logits)
