"""Compare TensorFlow and Caffe2 on who is speaking.

    python compare.py                # the benchmark: speed and accuracy side by side
    python compare.py selfcheck      # do both frameworks compute right on this very machine?
    python compare.py parity         # every layer, gradient and update against the reference
    python compare.py mistakes       # what each classic mistake would have cost
    python compare.py onnx ...       # every way through ONNX on the same weights
    python compare.py predictions ...  # where two trained models differ, and whether it matters
    python compare.py baseline DATA  # what a method without a network makes of the same data
    python compare.py crossover ...  # half the training in one framework, half in the other
    python compare.py profile        # where the time of a step goes, layer by layer
    python compare.py scaling        # how the cost of a step grows with batch, threads, frames, speakers
    python compare.py diff OLD NEW   # two stored comparisons: did anything become slower or worse?
    python compare.py plots FOLDER   # the pictures of what is stored, drawn again
    python compare.py curves RUN ... # learning curves of several runs of `train` in one picture
"""
from __future__ import annotations

import sys
from typing import Callable, Dict, List, Optional

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
from common.errors import friendly
from common.twin import Twin

LOADS: Dict[str, Callable[[], Twin]] = {"tensorflow": tf_impl.load, "caffe2": caffe2_impl.load}
COMMANDS = {"selfcheck": selfcheck.run, "parity": parity.run, "mistakes": mistakes.run, "onnx": onnx_matrix.run,
            "predictions": predictions.run, "baseline": baseline.run, "crossover": crossover.run, "profile": profile.run,
            "scaling": scaling.run, "diff": diff.run, "plots": plots.run, "curves": curves.run}


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](LOADS, argv[1:])
    return compare.run(LOADS, list(COMMANDS), argv)


if __name__ == "__main__":
    sys.exit(main())
