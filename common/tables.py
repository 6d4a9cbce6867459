"""Tables of text, as Markdown or for a terminal of some width.

    table([["training", "15.6"]], ["", "TensorFlow"], "simple", width=80)
    table_of_numbers([{"frames": 100, "ms": 1.532}], ".1f")

In Markdown a bar in a cell is escaped: names may hold one. A cell that is too long for its column is broken
into lines; a table with too many columns goes on below.
"""
from __future__ import annotations

import shutil
import sys
from typing import List, Mapping, Optional, Sequence

from tabulate import tabulate

_LEAST = 12  # characters of a column: below that numbers and their intervals fall to pieces
_BETWEEN = 2  # characters between two columns

Rows = Sequence[Sequence[object]]  # told by str() where there is no width


def terminal_width() -> Optional[int]:
    """Columns of the terminal that standard output is; None where it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(rows: Rows, headers: Sequence[str], style: str, width: Optional[int] = None) -> str:
    """The rows under their headings; `style` is tabulate's, `width` in characters, None: as wide as it gets."""
    if style == "github":
        rows = [[str(cell).replace("|", r"\|") for cell in row] for row in rows]
    if width is None:
        return _draw(rows, headers, style, None)
    columns = max(1, (width + _BETWEEN) // (_LEAST + _BETWEEN) - 1)  # beside the first, which says what a row is
    parts = []
    for start in range(1, len(headers), columns):
        chosen = [0, *range(start, min(start + columns, len(headers)))]
        some = [[row[i] for i in chosen] for row in rows]
        parts.append(_draw(some, [headers[i] for i in chosen], style, width))
    return "\n\n".join(parts)


def table_of_numbers(rows: Sequence[Mapping[str, object]], form: str, style: str = "github") -> str:
    """The rows under their keys, numbers to the right: floats by `form`, whole ones with commas, None as nothing.

    A column with text in it stands as it is.
    """
    keys = dict.fromkeys(key for row in rows for key in row)
    text = [place for place, key in enumerate(keys) if any(isinstance(row.get(key), str) for row in rows)]
    return tabulate(rows, headers="keys", tablefmt=style, floatfmt=form, intfmt=",", disable_numparse=text)


def _draw(rows: Rows, headers: Sequence[str], style: str, width: Optional[int]) -> str:
    limits = None if width is None else _limits(rows, headers, width)
    # As text: numbers are formatted where their meaning is known.
    return tabulate(rows, headers, tablefmt=style, disable_numparse=True, maxcolwidths=limits, maxheadercolwidths=limits)


def _limits(rows: Rows, headers: Sequence[str], width: int) -> List[int]:
    """Characters for each column: the widest ones share what the others leave."""
    needed = [max(map(len, column)) for column in zip(headers, *rows)]
    left = width - _BETWEEN * (len(needed) - 1)
    limits = list(needed)
    for place, (index, need) in enumerate(sorted(enumerate(needed), key=lambda item: item[1])):
        limits[index] = max(1, min(need, left // (len(needed) - place)))
        left -= limits[index]
    return limits
