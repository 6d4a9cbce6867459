"""Compare TensorFlow and Caffe2 on who is speaking.

    python compare.py                # the benchmark: speed and accuracy side by side
    python compare.py --help         # its options and the other commands
"""
from __future__ import annotations

import difflib
import sys
from typing import Callable, Dict, List, Optional, Tuple

import caffe2_impl
import tf_impl
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
from common.errors import UserError, friendly
from common.twin import Twin

LOADS: Dict[str, Callable[[], Twin]] = {"tensorflow": tf_impl.load, "caffe2": caffe2_impl.load}
COMMANDS = {"selfcheck": selfcheck.run, "parity": parity.run, "mistakes": mistakes.run, "onnx": onnx_matrix.run,
            "predictions": predictions.run, "baseline": baseline.run, "crossover": crossover.run, "profile": profile.run,
            "scaling": scaling.run, "diff": diff.run, "plots": plots.run, "curves": curves.run}
# What each is for, and how long it takes on two cores.
ABOUT: Dict[str, Tuple[str, str]] = {
    "selfcheck": ("do both compute right on this very machine?", "3 minutes"),
    "parity": ("every layer, gradient and update against the reference", "minutes"),
    "mistakes": ("where classic mistakes are caught, and what they cost", "11 minutes"),
    "profile": ("time of every layer, by the frameworks' own profilers", "minutes"),
    "scaling": ("an utterance's cost over batch size, threads, frames, speakers", "25 minutes"),
    "crossover": ("half the training in one framework, half in the other", "minutes"),
    "onnx": ("six ways from one set of weights to logits", "minutes"),
    "predictions": ("where two models differ, and whether it is chance", "a minute"),
    "baseline": ("what cepstral statistics make of the same data, without a network", "seconds"),
    "diff": ("two stored comparisons: was anything lost?", "a second"),
    "plots": ("the pictures of what is stored, drawn again", "seconds"),
    "curves": ("learning curves of several runs in one picture", "seconds"),
}


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](LOADS, argv[1:])
    if argv and not argv[0].startswith("-"):
        near = difflib.get_close_matches(argv[0], COMMANDS, 1)
        raise UserError(f"there is no command {argv[0]!r}; " + (f"did you mean {near[0]}? " if near else "")
                        + "`python compare.py --help` lists them")
    return compare.run(LOADS, ABOUT, argv)


if __name__ == "__main__":
    sys.exit(main())
