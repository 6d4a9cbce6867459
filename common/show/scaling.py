"""How the cost of an utterance grows: tables, and a picture for each network.

    text = scaling_text(study, "batch of 8, 300 frames, 50 speakers, width 1")
    draw_scaling(study, folder)
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Sequence

from common.compare.verdict import of_proofs
from common.contenders import CONTENDERS
from common.measured import told
from common.show.drawing import entitle, line_look, logarithmic, panels, save, where
from common.speed.scaling import KINDS, THREADS, Point, ScalingStudy
from common.tables import table_of_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_LEGEND = """one of them changes at a time. Milliseconds an utterance: median [fastest, slowest step]. Relative: to the \
first value; where cost grows as arithmetic does, it equals the MAC's. MiB: most memory of the framework's process; \
*: both at once would not have fitted, so one was timed after the other."""


def scaling_text(study: ScalingStudy, base: str) -> str:
    """The page that a study comes to, in Markdown. base: where the other axes are measured."""
    parts = [*of_proofs(study.proofs), f"# How the cost of a step grows\n\n{told(study.measured)}\n\nBase: {base}; {_LEGEND}"]
    for network in dict.fromkeys(point.network for point in study.points):
        points = [point for point in study.points if point.network == network]
        parts += [f"\n## {network}, by {axis}\n\n{table_of_numbers(rows_of_costs(points, axis), '.1f')}"
                  for axis in dict.fromkeys(point.axis for point in points)]
    return "\n".join([*parts, *(f"\nNot measured: {each}." for each in study.left_out), ""])


def rows_of_costs(points: Sequence[Point], axis: str) -> List[Dict[str, object]]:
    """A row for each value and kind of step on one axis of one network.

    Cost and multiply-accumulates are of one utterance, relative to the axis' first value: where cost
    grows as arithmetic does, the two are equal.
    """
    chosen = [point for point in points if point.axis == axis]
    rows: Dict[object, Dict[str, object]] = {}
    first: Dict[object, Point] = {}
    for point in chosen:
        start = first.setdefault((point.kind, point.framework), point)
        row = rows.setdefault((point.kind, point.value), {
            "step": point.kind, axis: point.value, "MMAC": point.macs / 1e6,
            "MAC, relative": f"{point.macs / start.macs:.2f}"})
        row[f"{point.framework}, ms an utterance"] = _spread(point)
        row[f"{point.framework}, cost, relative"] = f"{point.per_utterance / start.per_utterance:.2f}"
        row[f"{point.framework}, MiB"] = f"{point.peak_memory_mib:,.0f}" + ("" if point.together else " *")
    order = {kind: number for number, kind in enumerate(KINDS)}
    return [rows[key] for key in sorted(rows, key=lambda key: (order[key[0]], key[1]))]


def _spread(point: Point) -> str:
    scale = 1000 / point.batch_size
    return (f"{point.per_utterance:.1f} [{scale * min(point.seconds):.1f}, "
            f"{scale * max(point.seconds):.1f}]")


def draw_scaling(study: ScalingStudy, folder: Path) -> List[Path]:
    """scaling-NETWORK.png in `folder` for each network."""
    networks = dict.fromkeys(point.network for point in study.points)
    return [_draw(network, [point for point in study.points if point.network == network], study.measured, folder)
            for network in networks]


def _draw(network: str, points: Sequence[Point], measured: Mapping[str, str], folder: Path) -> Path:
    """A column for each axis, a row for each kind of step."""
    axes = list(dict.fromkeys(point.axis for point in points))
    figure, places = panels(len(KINDS), len(axes), width=3.6, height=3.0)
    for row, kind in zip(places, KINDS):
        for place, axis in zip(row, axes):
            _curves(place, [point for point in points if (point.kind, point.axis) == (kind, axis)])
            place.set_title(f"{kind}, by {axis}", fontsize=10)
    places[0][0].legend(fontsize=8, handlelength=3.5)
    entitle(figure, f"{network}: cost of an utterance, median with fastest to slowest step; thin grey: as the arithmetic "
            "grows from the first value", where(measured))
    return save(figure, folder / f"scaling-{network}.png")


def _curves(place: Axes, points: List[Point]) -> None:
    for framework in dict.fromkeys(point.framework for point in points):
        own = [point for point in points if point.framework == framework]
        values, costs = [p.value for p in own], [p.per_utterance for p in own]
        low = [cost - 1000 * min(p.seconds) / p.batch_size for p, cost in zip(own, costs)]
        high = [1000 * max(p.seconds) / p.batch_size - cost for p, cost in zip(own, costs)]
        place.errorbar(values, costs, [low, high], markersize=4, capsize=3, label=CONTENDERS[framework].label,
                       **line_look(framework))
        place.plot(values, [costs[0] * _arithmetic(p, own[0]) for p in own], linewidth=0.8, color="#9aa0a6", zorder=1)
    ticks = sorted({point.value for point in points})
    logarithmic(place, "x", points[0].axis, ticks)
    # A step that the machine's other work delayed many times over does not flatten these curves.
    logarithmic(place, "y", "ms an utterance")
    place.grid(alpha=0.3, which="both")


def _arithmetic(point: Point, first: Point) -> float:
    """What an utterance would cost, relative to the first value, if only arithmetic mattered."""
    threads = point.value / first.value if point.axis == THREADS else 1.0
    return point.macs / first.macs / threads
