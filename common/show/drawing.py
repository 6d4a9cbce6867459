"""What all pictures have in common: how a contender looks, where and when was measured, and how a file is written.

    figure, places = panels(1, 2, width=5, height=3)
    places[0][0].plot(steps, losses, **line_look("caffe2"))
    save(figure, folder / "losses.png")

No screen is needed, and a picture is written whole or not at all. All can be told apart in grey print.
"""
from __future__ import annotations

import io
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, Mapping, Sequence, Tuple

from common.compare.verdict import INVALID
from common.contenders import CONTENDERS
from common.files import replacing

if TYPE_CHECKING:  # slow to import
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from common.compare.results import NetworkResult

INK = "#202124"  # of edges, hatches and what is no contender's
_LETTERS = 10  # of a title in an inch, capitals too


def panels(rows: int, columns: int, width: float, height: float, **shared: str) -> Tuple[Figure, np.ndarray]:
    """A figure of rows x columns axes, each so many inches large. shared: sharex and sharey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG; returns `path`."""
    with replacing(path) as temporary:
        temporary.write_bytes(as_png(figure))
    return path


def as_png(figure: Figure) -> bytes:
    """The PNG that `save` writes."""
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return file.getvalue()


def entitle(figure: Figure, *lines: str) -> None:
    """What the whole picture is of; a line that is longer than the picture is wide goes on in the next."""
    letters = int(_LETTERS * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, letters) for line in lines), fontsize=11)


def named(name: str) -> str:
    """A name that users gave, of a folder, a speaker or data, as a picture shows it: never a formula, nor left out of a legend.

    Characters that the font lacks are escaped, as in a terminal that lacks them.
    """
    shown = "".join(character if ord(character) in _characters() else ascii(character)[1:-1] for character in name)
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")


@lru_cache(maxsize=None)
def _characters() -> FrozenSet[int]:
    """That pictures' font has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def legend_beneath(axes: Axes, distance: float, **look: Any) -> None:
    """A legend below the axes, where it hides nothing; distance: in lines of its own text, for what is written at the axis."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=distance, **look)


def line_look(contender: str) -> Dict[str, Any]:
    """Of a curve."""
    row = CONTENDERS[contender]
    return {"color": row.colour, "linestyle": row.line, "marker": row.marker}


def bar_look(contender: str, strength: float = 1.0) -> Dict[str, Any]:
    """Of a bar; strength: how much of the colour is kept, the rest is white. The edge shows the palest, too."""
    from matplotlib.colors import to_rgb

    row = CONTENDERS[contender]
    colour = [1 - strength * (1 - part) for part in to_rgb(row.colour)]
    return {"facecolor": colour, "hatch": row.hatch, "edgecolor": INK, "linewidth": 0.6}


def where(measured: Mapping[str, object]) -> str:
    """When and on which machine, for a picture's title; measured: as `common.measured.facts`."""
    machine = f"{measured['date']}, {measured['processor']}, {measured['cores']} cores, {measured['threads']} threads"
    return machine if measured.get("variables", "none") == "none" else f"{machine}, {measured['variables']}"


def logarithmic(axis: Axes, which: str, what: str, ticks: Sequence[float] = ()) -> None:
    """Make an axis ("x" or "y") logarithmic, and say so beside `what` it shows; plain numbers at its ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    axis.set(**{f"{which}scale": "log", f"{which}label": f"{what} (logarithmic)"})
    own = getattr(axis, f"{which}axis")
    if ticks:
        own.set_ticks(ticks)
        own.set_minor_locator(NullLocator())
    else:
        own.set_major_locator(LogLocator(subs=(1, 2, 5)))
    own.set_major_formatter(StrMethodFormatter("{x:g}"))
    own.set_minor_formatter(NullFormatter())


def mark(figure: Figure, results: Sequence[NetworkResult]) -> None:
    """Across the whole picture, if a check failed, that it must not be used and for which networks."""
    failed = [result.network for result in results if not result.valid]
    if failed:
        text = figure.text(0.5, 0.5, f"{INVALID}: checks of {', '.join(failed)} failed", rotation=20, fontsize=34,
                           color="red", alpha=0.6, ha="center", va="center", zorder=10)
        taken = text.get_window_extent()
        text.set_fontsize(34 * min(1.0, 0.95 * figure.bbox.width / taken.width, 0.95 * figure.bbox.height / taken.height))
