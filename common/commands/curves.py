"""`python compare.py curves`: learning curves of several runs of `train` in one picture."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable, List, Mapping, Optional

from common.commands.options import add_force, existing
from common.parser import Parser
from common.twin import Twin

_DESCRIPTION = """Draw the learning curves of runs of `train` beside each other.

  python compare.py curves runs/tdnn-tensorflow runs/tdnn-caffe2 --out runs/curves.png

Each run is called as its folder is; runs of one network share a panel. A run that still goes on is
drawn as far as it is."""


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Draw them into one file."""
    options = _parser().parse_args(argv)
    from common.outputs import new_file
    from common.show.learning_curves import draw_runs

    new_file(options.out, options.force)
    draw_runs(options.runs, options.out)
    print(f"written to {options.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py curves", _DESCRIPTION)
    parser.add_argument("runs", nargs="+", type=existing("run"), metavar="RUN", help="folder of a run, with its log.jsonl")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the picture (PNG)")
    add_force(parser, "replace the picture if it is there already")
    return parser
