"""Curves of how the cost of an utterance grows, as a PNG.

    plot_scaling(points, Path("scaling-vgg_m.png"))
"""
from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

from common.contenders import CONTENDERS
from common.files import replacing
from common.speed.scaling import KINDS, THREADS, Point


def plot_scaling(points: Sequence[Point], path: Path) -> None:
    """Points of one network: a column for each axis, a row for each kind of step."""
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot

    axes = list(dict.fromkeys(point.axis for point in points))
    figure, places = pyplot.subplots(len(KINDS), len(axes), squeeze=False,
                                     figsize=(4 * len(axes), 3.2 * len(KINDS)))
    for row, kind in zip(places, KINDS):
        for place, axis in zip(row, axes):
            _curves(place, [point for point in points if (point.kind, point.axis) == (kind, axis)])
            place.set(title=f"{kind}, by {axis}", xlabel=axis)
        row[0].set_ylabel("ms an utterance")
    places[0][0].legend(fontsize=8)
    figure.suptitle(f"{points[0].network}: bars from fastest to slowest step; dashed: as the arithmetic grows")
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)


def _curves(place, points: List[Point]) -> None:
    for framework in dict.fromkeys(point.framework for point in points):
        own = [point for point in points if point.framework == framework]
        values, costs = [p.value for p in own], [p.per_utterance for p in own]
        low = [cost - 1000 * min(p.seconds) / p.batch_size for p, cost in zip(own, costs)]
        high = [1000 * max(p.seconds) / p.batch_size - cost for p, cost in zip(own, costs)]
        row = CONTENDERS[framework]
        place.errorbar(values, costs, [low, high], marker=row.marker, markersize=4, capsize=3,
                       color=row.colour, label=row.label)
        place.plot(values, [costs[0] * _arithmetic(p, own[0]) for p in own], "--", linewidth=1,
                   color=row.colour)
    place.set_xscale("log", base=2)
    place.set_xticks(sorted({point.value for point in points}))
    place.set_xticklabels([str(value) for value in sorted({point.value for point in points})], fontsize=8)
    # A step that the machine's other work delayed many times over must not flatten the curves.
    place.set_ylim(0, 1.5 * max(point.per_utterance for point in points))
    place.grid(alpha=0.3)


def _arithmetic(point: Point, first: Point) -> float:
    """What an utterance would cost, relative to the first value, if only arithmetic mattered."""
    threads = point.value / first.value if point.axis == THREADS else 1.0
    return point.macs / first.macs / threads
