"""`evaluate --breakdown`: what the accuracy consists of, beside how high it is."""
from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Optional, Sequence

from common.commands.options import num_threads
from common.commands.utterances import Selection
from common.errors import UserError

if TYPE_CHECKING:  # slow to import, and only named in annotations
    import numpy as np

    from common.data.dataset import Dataset
    from common.identify.engines import Engine

_SHOWN = 10  # speakers, in the terminal
WRITES = ("breakdown.md", "breakdown.json", "breakdown.png")


def add_breakdown_options(parser: argparse.ArgumentParser) -> None:
    """--breakdown and --groups."""
    parser.add_argument("--breakdown", action="store_true",
                        help="also tell the accuracy by how much is heard (1 s to whole recordings), by speaker and by group, and "
                        "how reliable probabilities are; takes about twice as long, and --out gets tables and a picture")
    parser.add_argument("--groups", nargs=2, metavar=("CSV", "COLUMN"),
                        help="for --breakdown, groups of speakers such as productions or microphones: a table with the columns "
                        "`speaker` and COLUMN")


def groups_of(options: argparse.Namespace, speakers: Sequence[str]) -> Dict[str, str]:
    """The group of each speaker by --groups, empty without. Raises UserError."""
    if options.groups and not options.breakdown:
        raise UserError("--groups is for --breakdown; give that, too")
    return read_groups(Path(options.groups[0]), options.groups[1], speakers) if options.groups else {}


def break_down(options: argparse.Namespace, engine: Engine, dataset: Dataset, choice: Selection, logits: np.ndarray,
               groups: Dict[str, str], folder: Optional[Path]) -> None:
    """Print it, and write it into the folder of --out."""
    from common.files import write_json, write_text
    from common.measured import facts, told
    from common.show.breakdown import draw_breakdown
    from common.training.breakdown import Breakdown
    from common.typed import plain

    trained = engine.trained
    found = Breakdown.of(engine.logits, dataset, choice.indices, logits, trained.temperature, groups)
    print(f"\n{found.text(most=_SHOWN)}")
    if folder is not None:
        measured = facts(num_threads(options.threads))
        voices = "synthetic voices" if dataset.synthetic else "voices"
        title = f"{trained.network} trained by {trained.trained_by}, in {engine.name}, on {dataset.name}"
        head = f"# {title}: what the accuracy consists of\n\n{told(measured)}\n\n{len(dataset.speakers)} {voices}"
        write_text(folder / "breakdown.md", f"{head}{choice.told and ': '}{choice.told}.\n\n{found.text('github')}\n")
        write_json(folder / "breakdown.json", {"measured": measured, **plain(found)}, sort=False)
        draw_breakdown(found, f"{title}{', synthetic voices' if dataset.synthetic else ''}", folder / "breakdown.png")


def read_groups(path: Path, column: str, speakers: Sequence[str]) -> Dict[str, str]:
    """The group of each speaker in a table's column. Raises UserError."""
    from common.files import read_text

    rows = csv.DictReader(io.StringIO(read_text(path, "table of groups"), newline=""))
    groups: Dict[str, str] = {}
    try:
        missing = [name for name in ("speaker", column) if name not in (rows.fieldnames or ())]
        if missing:
            raise UserError(f"{path}: has no column {missing[0]!r}; its first line has to name `speaker` and {column}")
        for row in rows:
            speaker, group = row["speaker"], row[column] or ""
            if groups.setdefault(speaker, group) != group:
                raise UserError(f"{path}: line {rows.line_num}: {str(speaker)[:60]!r} is in {group[:60]!r} here, and in "
                                f"{groups[speaker][:60]!r} before")
    except csv.Error as error:
        raise UserError(f"{path}: line {rows.line_num}: {error}") from None
    if not set(groups) & set(speakers):
        raise UserError(f"{path}: names none of the {len(speakers)} speakers, such as {speakers[0]!r}, in its column `speaker`")
    return groups
