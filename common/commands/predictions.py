"""`python compare.py predictions`: where two trained models differ, and whether it matters."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional, Sequence, Tuple

from common.commands.options import add_options, model_file, prepare_machine
from common.commands.utterances import add_side_options, choose, open_for
from common.contenders import by_label
from common.errors import UserError
from common.parser import Parser
from common.twin import Twin

if TYPE_CHECKING:  # slow to import, and only named in annotations
    import numpy as np

    from common.proof.disagreement import Disagreement
    from common.training.checkpoint import Checkpoint

_DESCRIPTION = """Compare what two trained models say about the same utterances.

  python compare.py predictions runs/a runs/b
  python compare.py predictions a/predictions.csv b/predictions.csv    # of evaluate, baseline or a comparison

Each model runs in the framework that trained it. Prints the utterances on which they disagree with
both margins, McNemar's test, the accuracy difference with its interval, whether the two trainings
are comparable (each model carries the certificate of its own), and a verdict in words. Of stored
predictions only the answers are known, and only they are compared; of several pairs, such as of several
seeds, each and then all together."""

_SHOWN = 20


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Print the comparison; returns the exit status."""
    options = _parser().parse_args(argv)
    stored = [path.suffix == ".csv" for path in options.models]
    if len(stored) % 2 or len(stored) > 2 and not all(stored):
        raise UserError(f"two models are compared, or pairs of stored predictions, not {len(stored)} files")
    if any(stored):
        return _compare_stored(options, all(stored))
    threads = prepare_machine(options, loads.values())

    from common.data.batches import BatchReader
    from common.proof.disagreement import analyse
    from common.speed import gate
    from common.training.checkpoint import load_checkpoint, model_of
    from common.training.evaluation import predict

    models = [load_checkpoint(path) for path in options.models]
    if models[0].speakers != models[1].speakers:
        raise UserError("the two models know different speakers; there is nothing to compare")
    dataset = open_for(options.models[0], options.data, models[0])
    for path, model in zip(options.models, models):
        dataset.check_form(model.scale, model.normalised)
        if by_label(model.framework) not in ("", *loads):  # "" is nobody's: initial parameters
            raise UserError(f"{path} was trained by {model.framework}; this compares models of {', '.join(loads)}")
    choice = choose(options, dataset, dict(zip(options.models, models)), models[0])
    indices = choice.indices
    logits = []
    for model in models:
        load = loads[by_label(model.framework) or next(iter(loads))]
        twin = gate.require(load(), model, options.device, threads)
        logits.append(predict(twin, model_of(twin, model), BatchReader.in_order(dataset.records, indices))[0])
    result = analyse(*logits, dataset.records.labels[indices])
    if choice.told:
        print(f"{dataset.name}: {choice.told}")
    print(_text(result, models, indices))
    return 0


def _compare_stored(options: argparse.Namespace, both: bool) -> int:
    """Print how the answers of pairs of predictions.csv differ; returns the exit status."""
    if not both:
        raise UserError("a model cannot be compared with stored predictions; store its own first, with evaluate --out FOLDER")
    if options.data or options.split or options.side:
        raise UserError("stored predictions are compared as they are: --data, --split and --side are for models")
    from common.proof.stored import compare_answers, pooled, read_answers, told

    pairs = []
    for paths in zip(options.models[::2], options.models[1::2]):
        a, b = map(read_answers, paths)
        print(told(compare_answers(a, b, *map(str, paths)), *map(str, paths)))
        pairs.append((a, b))
    if len(pairs) > 1:
        print(pooled(pairs))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py predictions", _DESCRIPTION)
    parser.add_argument("models", type=model_file, nargs="+", metavar="MODEL",
                        help="two runs' best.npz or last.npz, or their folders; or two stored predictions.csv, or several such "
                        "pairs")
    add_options(parser, "--data", data="for models, what the first one's own run has")
    add_side_options(parser)
    add_options(parser, "--device", "--threads")
    return parser


def _text(result: Disagreement, models: Sequence[Checkpoint], indices: np.ndarray) -> str:
    from common.tables import table

    names = models[0].speakers
    a, b = (f"{m.framework} {m.config.network}, epoch {m.epoch}" for m in models)
    rows = [[int(indices[d.position]), names[d.speaker], names[d.answers[0]], f"{d.margins[0]:.2f}",
             names[d.answers[1]], f"{d.margins[1]:.2f}"] for d in result.disputes[:_SHOWN]]
    changes = sorted(((abs(count), i, j) for (i, j), count in _nonzero(result)), reverse=True)
    parts = [
        f"first: {a}\nsecond: {b}\n{result.counts}",
        f"largest logit difference {result.largest_logit_difference:.1e} at a scale of "
        f"{result.logit_scale:.1f}",
        f"{len(result.disputes)} utterances on which they disagree"
        + (f", the first {_SHOWN}" if len(result.disputes) > _SHOWN else ""),
    ]
    if rows:
        parts.append(table(rows, ["record", "speaker", "first says", "margin", "second says", "margin"], "simple"))
    if changes:
        parts.append("confusions that changed most: " + "; ".join(
            f"{names[i]} for {names[j]} {result.confusion_difference[i, j]:+d}"
            for _, i, j in changes[:5]))
    return "\n".join([*parts, comparable(models), f"verdict: {result.verdict}"])


def comparable(models: Sequence) -> str:
    """Whether a difference between the models can be put down to their frameworks."""
    from common.training.certificate import compare_stretches, differing_facts, same_facts

    runs = [model.stretches for model in models]
    unknown = [f"the {name} carries no certificate" for name, run in zip(("first", "second"), runs) if not run]
    if unknown:
        return ("CANNOT TELL whether the two trainings are comparable: " + "; ".join(unknown)
                + ", as what `train` has not trained does not")
    differences = compare_stretches(*runs)
    if differences:
        return ("NOT COMPARABLE as frameworks, the two trainings differ in "
                f"{differing_facts(differences)}. If that was the purpose, the figures above are of "
                "that difference, with whatever chance and the frameworks add")
    beside = " against ".join(f"{run[0].facts['framework']} ({run[0].facts['blas']}; "
                              f"{run[0].facts['convolutions']})" for run in runs)
    return f"Comparable: same {same_facts()}. Beside each other: {beside}"


def _nonzero(result: Disagreement) -> List[Tuple[Tuple[int, int], int]]:
    """Off-diagonal entries of the confusion difference that are not zero."""
    matrix = result.confusion_difference
    return [((i, j), int(matrix[i, j])) for i in range(len(matrix)) for j in range(len(matrix))
            if i != j and matrix[i, j]]
