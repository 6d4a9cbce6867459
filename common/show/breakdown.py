"""A picture of what an accuracy consists of: over length, by speaker and group, and how reliable probabilities are.

    draw_breakdown(found, "tdnn on voices", folder / "breakdown.png")
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from common.show.drawing import INK, entitle, legend_beneath, named, panels, save
from common.training.breakdown import Breakdown, Calibration, Group, Length, Share, Speaker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIRST = {"color": "#1a73e8", "marker": "o"}
_SECOND = {"color": "#d93025", "marker": "s", "markerfacecolor": "white"}
_MOST_NAMES = 60  # that can be read along an axis


def draw_breakdown(found: Breakdown, title: str, path: Path) -> Path:
    """Write the picture; returns `path`."""
    figure, ((length, reliability), (speakers, groups)) = panels(2, 2, width=5.4, height=4.0)
    _lengths(length, found.lengths)
    _reliability(reliability, found.calibration)
    _speakers(speakers, found.speakers)
    if found.groups:
        _groups(groups, found.groups)
    else:
        groups.remove()
    entitle(figure, f"{named(title)}; bars are 95 % intervals")
    return save(figure, path)


def _points(place: Axes, at: Sequence[float], shares: Sequence[Share], label: str, **look: Any) -> None:
    """Accuracies with their intervals, in per cent."""
    values = [100 * share.value for share in shares]
    ends = [[100 * end for end in share.interval] for share in shares]
    bars = [[max(0, value - low) for value, (low, _) in zip(values, ends)],  # an end may be the value, and rounded
            [max(0, high - value) for value, (_, high) in zip(values, ends)]]
    place.errorbar(at, values, bars, linestyle="", capsize=3, markersize=5, label=label, **look)
    place.grid(alpha=0.3)


def _lengths(place: Axes, lengths: Sequence[Length]) -> None:
    at = range(len(lengths))
    _points(place, at, [each.share for each in lengths], "by so much", **_FIRST)
    _points(place, [x + 0.2 for x in at], [each.beside for each in lengths], "the same by 3 s", **_SECOND)
    place.set_xticks(list(at), [f"{each.heard}\n{each.share.total}\n{each.of}" for each in lengths], fontsize=7)
    place.set(title="how much is heard", ylabel="top-1 accuracy, %")
    legend_beneath(place, 4.5, fontsize=8, ncols=2)


def _reliability(place: Axes, calibration: Sequence[Calibration]) -> None:
    place.plot([0, 100], [0, 100], color="#9aa0a6", linewidth=0.8, linestyle=":")
    last = calibration[-1]
    total = sum(share.total for share in last.right)
    place.bar([100 * probability for probability in last.probability], [100 * share.total / total for share in last.right],
              width=2, color="#dadce0", label=f"share of all answers, temperature {last.temperature:.3g}, %")
    for each, look in zip(calibration, (_SECOND, _FIRST) if len(calibration) > 1 else (_FIRST,)):
        _points(place, [100 * probability for probability in each.probability], each.right,
                f"temperature {each.temperature:.3g}: error {100 * each.error:.1f} %", **look)
    place.set(title="is a probability true?", xlabel="probability of the answer, mean of a bin, %", ylabel="right, %",
              xlim=(0, 102), ylim=(0, 102))
    legend_beneath(place, 4.5, fontsize=8)


def _speakers(place: Axes, speakers: Sequence[Speaker]) -> None:
    _points(place, range(len(speakers)), [each.share for each in speakers], "", **_FIRST)
    place.set(title="speaker by speaker, the least recognised first", ylabel="top-1 accuracy, %", xlabel="")
    if len(speakers) <= _MOST_NAMES:
        place.set_xticks(range(len(speakers)), [named(each.name) for each in speakers], rotation=90, fontsize=6)


def _groups(place: Axes, groups: Sequence[Group]) -> None:
    at = range(len(groups))
    _points(place, at, [each.share for each in groups], "every speaker possible", **_FIRST)
    _points(place, [x + 0.2 for x in at], [each.within for each in groups], "the group's alone", **_SECOND)
    place.plot(at, [100 / each.speakers for each in groups], "_", color=INK, markersize=14, label="guessing in the group")
    place.set_xticks(list(at), [f"{named(each.name)}\n{each.speakers} speakers\n{each.share.total}" for each in groups], fontsize=7)
    place.set(title="group by group", ylabel="top-1 accuracy, %", ylim=(0, 102))
    legend_beneath(place, 4.5, fontsize=8, ncols=3)
