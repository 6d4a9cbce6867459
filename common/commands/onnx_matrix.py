"""`python compare.py onnx`: one set of weights through every way there is, each against each."""
from __future__ import annotations

import argparse
import itertools
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, Optional, Tuple

from common.commands.options import MODEL, add_options, add_out_options, model_file, prepare_machine
from common.commands.utterances import add_side_options, choose, open_for
from common.outputs import output
from common.parser import Parser
from common.twin import Twin

if TYPE_CHECKING:  # slow to import, and only named in annotations
    import numpy as np

    from common.proof.crosscheck import CrossCheck
    from common.training.checkpoint import Checkpoint

_DESCRIPTION = """Run a trained model's weights through every way from parameters to logits.

  python compare.py onnx runs/first/best.npz

TensorFlow and Caffe2 natively, both exports in ONNX Runtime, TensorFlow's export in Caffe2's own
ONNX backend, Caffe2's export back into TensorFlow. Fails if any two differ by more than rounding."""


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Print the matrix; exit status 1 if two ways do not agree."""
    options = _parser().parse_args(argv)
    threads = prepare_machine(options, loads.values())

    from common.files import write_text
    from common.measured import facts, told
    from common.proof.crosscheck import CrossCheck, every_way
    from common.speed import gate
    from common.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.model)
    dataset = open_for(options.model, options.data, checkpoint)
    indices = choose(options, dataset, {options.model: checkpoint}, checkpoint).indices[:options.utterances]
    with output(options.out, f"onnx-{checkpoint.config.network}", ("onnx.md", "*.onnx"), options.force) as folder:
        twins: Dict[str, Twin] = {name: gate.require(load(), checkpoint, options.device, threads)
                                  for name, load in loads.items()}
        ways = every_way(twins, checkpoint, dataset.records, indices, threads, folder)
        checks = {pair: CrossCheck.of(*(ways[way] for way in pair)) for pair in itertools.combinations(ways, 2)}
        text = told(facts(threads)) + "\n\n" + _table(checks, ways, checkpoint, len(indices))
        print(text)
        write_text(folder / "onnx.md", text + "\n")
    agree = all(check.agrees for check in checks.values())
    print(f"written to {folder}: onnx.md and both ONNX files")
    print(f"largest difference {max(check.largest_difference for check in checks.values()):.1e}: "
          + ("all ways agree" if agree else "THEY DISAGREE"))
    return 0 if agree else 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py onnx", _DESCRIPTION)
    parser.add_argument("model", type=model_file, help=MODEL)
    add_options(parser, "--data", data="what the model's own run has")
    add_side_options(parser)
    parser.add_argument("--utterances", type=int, default=64, help="how many at most (64)")
    add_out_options(parser, "onnx-NETWORK", "both ONNX files and the table")
    add_options(parser, "--device", "--threads")
    return parser


def _table(checks: Mapping[Tuple[str, str], CrossCheck], ways: Mapping[str, np.ndarray], checkpoint: Checkpoint,
           utterances: int) -> str:
    from common.tables import table_of_numbers

    head = (f"{checkpoint.config.network} trained by {checkpoint.framework or 'nobody'}, "
            f"{utterances} utterances; differences of logits")
    rows = [{"one way": a, "another": b, "largest difference": check.largest_difference,
             "mean difference": float(abs(ways[a] - ways[b]).mean()), "same top-1": f"{100 * check.same_answer:.1f} %"}
            for (a, b), check in checks.items()]
    return head + "\n\n" + table_of_numbers(rows, ".1e")
