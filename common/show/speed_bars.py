"""Bars of a comparison's speeds: a panel for each network and kind of step, a row for each contender.

    draw_speed(report, folder)
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, List

from common.compare.report import Report
from common.compare.results import NetworkResult
from common.contenders import CONTENDERS
from common.show.drawing import INK, bar_look, entitle, mark, panels, save, where
from common.speed.engine import INFERENCE, TRAINING
from common.twin import RESIDENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CAPTION = ("Bar: median of all timed steps, input resident with the framework; line on it: slowest to fastest step. "
            "Dashed: if every multiply-accumulate\nof the direct form went as fast as in the machine's quickest matrix "
            "product; Winograd convolutions need fewer of them.{own}")
_OWN = (" \"Own convolutions\": with\nall of the framework's own operators; its row without these words has this project's "
        "convolutions.")


def draw_speed(report: Report, folder: Path) -> Path:
    """speed.png in `folder`."""
    found = {name for result in report.results for name in result.contenders}
    names = [name for name in CONTENDERS if name in found]
    figure, places = panels(len(report.results), 2, width=5.2, sharey="row",
                            height=1.3 / len(report.results) + 0.8 + 0.28 * len(names))
    for row, result in zip(places, report.results):
        for axis, kind in zip(row, (TRAINING, INFERENCE)):
            _bars(axis, result, kind, names)
    entitle(figure, f"Who is speaking? Utterances of 3.015 s a second, in batches of {report.settings['batch_size']}",
            where({"date": report.date, **report.machine}))
    own = _OWN if any(CONTENDERS[name].own_of for name in names) else ""
    figure.supxlabel(_CAPTION.format(own=own), fontsize=8, ha="left", x=0.01)
    mark(figure, report.results)
    return save(figure, folder / "speed.png")


def _bars(axis: Axes, result: NetworkResult, kind: str, names: List[str]) -> None:
    for place, name in enumerate(names):
        speeds = result.contenders[name].speeds if name in result.contenders else {}
        speed = speeds.get(kind, {}).get(RESIDENT)
        if speed is None:
            axis.text(0, place, "  not measured" if CONTENDERS[name].trains else "  does not train", va="center", fontsize=8)
            continue
        spread = [[speed.median - speed.low], [speed.high - speed.median]]
        bar = axis.barh(place, speed.median, 0.8, xerr=spread, capsize=3, ecolor=INK, **bar_look(name))
        figure = f"{speed.median:,.0f}" if speed.median >= 100 else f"{speed.median:#.3g}".rstrip(".")
        axis.bar_label(bar, labels=[figure], padding=4, fontsize=8,
                       bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    axis.axvline(result.attainable(kind), color=INK, linestyle="--", linewidth=1)
    axis.set(title=f"{result.network}, {kind}", xlabel="utterances/s", ylim=(len(names) - 0.5, -0.5))
    axis.set_yticks(range(len(names)), [CONTENDERS[name].label for name in names], fontsize=9)
    axis.margins(x=0.13)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
