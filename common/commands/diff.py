"""`python compare.py diff`: two stored comparisons, and whether the second lost anything."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional

from common.parser import Parser
from common.twin import Twin

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.compare.diff import Changes

_DESCRIPTION = """Hold a stored comparison against an earlier one of the same settings.

  python compare.py diff results/january results/february

Speeds are compared at an equal rate of the machine's own matrix product, which both runs measured.
Exit status: 0 nothing lost; 1 a regression that noise does not explain (speed, accuracy, losses);
3 NOT COMPARABLE (the runs' certificates differ, or a check of predictions and losses failed in one, or
it made none); 2 a file cannot be read."""


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Print a line for each figure and what it comes to; the exit status says the same."""
    options = _parser().parse_args(argv)
    from common.compare.diff import changes_between, read_run

    changes = changes_between(read_run(options.old), read_run(options.new))
    print(_text(changes, options.style))
    return changes.status


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py diff", _DESCRIPTION)
    parser.add_argument("old", type=Path, help="folder of a comparison, or its report.json")
    parser.add_argument("new", type=Path, help="the one to judge")
    parser.add_argument("--style", choices=("simple", "github"), default="simple",
                        help="of the table: for a terminal, or Markdown (simple)")
    return parser


def _text(changes: Changes, style: str) -> str:
    from common.compare.diff import SPEED_TOLERANCE
    from common.tables import table

    rows = [[*line.key, line.old, line.new, line.ratio, line.verdict] for line in changes.lines]
    parts = [table(rows, ["network", "framework", "figure", "old", "new", "speed, new / old [95 %]", "verdict"], style)]
    parts += changes.notes
    if changes.incomparable:
        parts += ["NOT COMPARABLE:", *changes.incomparable]
    elif changes.regressions:
        parts += ["REGRESSION:", *changes.regressions]
    else:
        parts.append(f"no regression: nothing changed by more than noise explains (speeds: the interval "
                     f"and {100 * SPEED_TOLERANCE:.0f} % from run to run)")
    return "\n".join(parts)
