"""How far the loss is from where it would have been, after the framework was changed in the middle of training.

    draw_crossings(study, folder)
"""
from __future__ import annotations

from pathlib import Path

from common.contenders import by_label
from common.show.drawing import INK, entitle, line_look, panels, save, where
from common.training.crossover import CROSSING_TOLERANCE, CrossoverStudy


def draw_crossings(study: CrossoverStudy, folder: Path) -> Path:
    """crossover.png in `folder`."""
    figure, places = panels(1, 1, width=6.5, height=4)
    axis = places[0][0]
    for crossing in study.crossings:
        steps = range(crossing.switch + 1, len(crossing.crossed) + 1)
        axis.plot(steps, crossing.differences, label=f"{crossing.first} to {crossing.second}: at most "
                  f"{crossing.largest_difference:.1e}", **line_look(by_label(crossing.first)))
    axis.axhline(CROSSING_TOLERANCE, color=INK, linewidth=1, linestyle=":", label=f"allowed: {CROSSING_TOLERANCE:g}")
    axis.set(xlabel=f"step (the first {study.crossings[0].switch} are in one framework)",
             ylabel="difference of the loss, as a share of it\n(logarithmic)")
    axis.set_yscale("log", nonpositive="mask")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, handlelength=3.5)
    entitle(figure, f"{study.network}: loss after the change of framework, beside the run that stayed", where(study.measured))
    return save(figure, folder / "crossover.png")
