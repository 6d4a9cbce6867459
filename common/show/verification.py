"""A picture of trials: how scores are spread, and which errors can be had for which.

    draw_scores(scored, threshold, "tdnn on trials.txt", folder / "scores.png")

Both errors are shown at every threshold on axes by normal deviates (Martin et al. 1997, the DET curve):
where scores of both kinds are normal, the curve is straight.
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

from common.show.drawing import INK, entitle, named, panels, save
from common.verify.gallery import Threshold
from common.verify.scoring import Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TARGETS, _OTHERS = "#1a73e8", "#d93025"
_TICKS = (0.1, 1, 5, 10, 20, 40)  # %


def draw_scores(scored: Scored, threshold: Optional[Threshold], title: str, path: Path) -> Path:
    """Write the picture; returns `path`."""
    figure, ((spread, errors),) = panels(1, 2, width=4.6, height=3.6)
    _spread(spread, scored, threshold)
    _errors(errors, scored, threshold)
    entitle(figure, f"{named(title)}: {scored.counts}")
    return save(figure, path)


def _spread(place: Axes, scored: Scored, threshold: Optional[Threshold]) -> None:
    for kind, label, colour, hatch in ((True, "one voice", _TARGETS, ""), (False, "two voices", _OTHERS, "///")):
        place.hist(scored.scores[scored.targets == kind], bins=60, range=(-1, 1), density=True, alpha=0.5, label=label,
                   color=colour, hatch=hatch, edgecolor=INK, linewidth=0.2)
    if threshold is not None:
        place.axvline(threshold.value, color=INK, linestyle="--", label=f"threshold {threshold.value:.3f}")
    place.set(xlabel="score (cosine)", ylabel="density of trials")
    place.legend(fontsize=8)


def _errors(place: Axes, scored: Scored, threshold: Optional[Threshold]) -> None:
    from scipy.stats import norm

    curve = scored.curve
    edge = _TICKS[0] / 200  # beyond the last tick: what is smaller has no place on these axes
    accepts, rejects = (norm.ppf(rates.clip(edge, 1 - edge)) for rates in (curve.false_accepts, curve.false_rejects))
    place.plot(accepts, rejects, color=_TARGETS)
    place.plot([norm.ppf(edge), norm.ppf(0.5)], [norm.ppf(edge), norm.ppf(0.5)], color="#9aa0a6", linewidth=0.8, linestyle=":")
    place.plot(*[norm.ppf(curve.eer)] * 2, "o", color=INK, label=f"EER {100 * curve.eer:.2f} %")
    if threshold is not None:
        wrong = scored.errors(threshold.value)
        at = (max(edge, wrong.false_accepts / wrong.nontargets), max(edge, wrong.false_rejects / wrong.targets))
        place.plot(*norm.ppf(at), "s", color=_OTHERS, label="at the threshold")
    ticks = norm.ppf([tick / 100 for tick in _TICKS])
    for axis in (place.xaxis, place.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in _TICKS])
    limits = (norm.ppf(edge), norm.ppf(0.5))
    place.set(xlim=limits, ylim=limits, xlabel="false accepts, % (normal deviates)", ylabel="false rejects, %")
    place.grid(alpha=0.3)
    place.legend(fontsize=8)
