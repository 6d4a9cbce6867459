"""Compare TensorFlow and Caffe2 on who is speaking.

    python compare.py                # the benchmark: speed and accuracy side by side
    python compare.py --help         # its options and the other commands
"""
from __future__ import annotations

import difflib
import importlib
import sys
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional

from common.commands import (
    baseline,
    compare,
    crossover,
    curves,
    diff,
    mistakes,
    onnx_matrix,
    parity,
    plots,
    predictions,
    profile,
    scaling,
    selfcheck,
)
from common.contenders import CONTENDERS, FRAMEWORKS
from common.errors import UserError, friendly
from common.twin import Twin

LOADS: Dict[str, Callable[[], Twin]] = {name: importlib.import_module(CONTENDERS[name].implementation).load
                                        for name in FRAMEWORKS}


class Command(NamedTuple):
    """One of those beside the comparison itself."""

    run: Callable[[Mapping[str, Callable[[], Twin]], Optional[List[str]]], int]
    what: str  # it is for
    takes: str  # on two cores


COMMANDS: Dict[str, Command] = {
    "selfcheck": Command(selfcheck.run, "do both compute right on this very machine?", "3 minutes"),
    "parity": Command(parity.run, "every layer, gradient and update against the reference", "minutes"),
    "mistakes": Command(mistakes.run, "where classic mistakes are caught, and what they cost", "11 minutes"),
    "profile": Command(profile.run, "time of every layer, by the frameworks' own profilers", "minutes"),
    "scaling": Command(scaling.run, "an utterance's cost over batch size, threads, frames, speakers", "25 minutes"),
    "crossover": Command(crossover.run, "half the training in one framework, half in the other", "minutes"),
    "onnx": Command(onnx_matrix.run, "six ways from one set of weights to logits", "minutes"),
    "predictions": Command(predictions.run, "where two models differ, and whether it is chance", "a minute"),
    "baseline": Command(baseline.run, "what cepstral statistics make of the same data, without a network", "seconds"),
    "diff": Command(diff.run, "two stored comparisons: was anything lost?", "a second"),
    "plots": Command(plots.run, "the pictures of what is stored, drawn again", "seconds"),
    "curves": Command(curves.run, "learning curves of several runs in one picture", "seconds"),
}
ABOUT = {name: (each.what, each.takes) for name, each in COMMANDS.items()}


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]].run(LOADS, argv[1:])
    if argv and not argv[0].startswith("-"):
        near = difflib.get_close_matches(argv[0], COMMANDS, 1)
        raise UserError(f"there is no command {argv[0]!r}; " + (f"did you mean {near[0]}? " if near else "")
                        + "`python compare.py --help` lists them")
    return compare.run(LOADS, ABOUT, argv)


if __name__ == "__main__":
    sys.exit(main())
