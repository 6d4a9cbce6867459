"""Learning curves, of a comparison's learning runs or of any runs of `train`: loss above, accuracy below.

    draw_learning(report, folder)
    draw_runs([Path("runs/tdnn-tensorflow"), Path("runs/tdnn-caffe2")], Path("curves.png"))
"""
from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from common.compare.report import Report
from common.compare.results import FrameworkResult
from common.contenders import CONTENDERS
from common.errors import UserError
from common.show.drawing import INK, entitle, legend_beneath, line_look, mark, named, panels, save, where
from common.training.config import load_config
from common.training.run_folder import EpochRecord, read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HOLLOW = {"markerfacecolor": "white", "linewidth": 0.8}  # of the training side
_SIDE = {"color": INK, "marker": "o"}
_LINE = 0.18  # inches of a legend's line


@dataclass(frozen=True)
class Curve:
    """One run."""

    label: str
    look: Dict[str, Any]  # of its lines
    epochs: Sequence[EpochRecord]
    places: Sequence[float]  # of the losses, counted in epochs
    losses: Sequence[float]  # of every step, or the mean of every epoch


def draw_learning(report: Report, folder: Path) -> Optional[Path]:
    """learning-curves.png in `folder`, if there was a learning run."""
    curves = {result.network: [_of_steps(name, own) for name, own in result.frameworks.items() if own.epochs]
              for result in report.results}
    curves = {network: own for network, own in curves.items() if own}
    if not curves:
        return None
    voices = "synthetic voices" if report.data["synthetic"] else f"{report.data['speakers']} voices"
    figure = _draw(curves, "loss of the step",
                   [f"Learning curves on {voices}", where({"date": report.date, **report.machine})])
    mark(figure, report.results)
    return save(figure, folder / "learning-curves.png")


def draw_runs(runs: Sequence[Path], path: Path) -> None:
    """Curves of runs of `train`, each called as its folder is; a panel for each network. Raises UserError."""
    looks = {network: cycle(CONTENDERS) for network in (load_config(run / "config.json").network for run in runs)}
    curves: Dict[str, List[Curve]] = {network: [] for network in looks}
    for run in runs:
        network, log = load_config(run / "config.json").network, read_log(run)
        if not log:
            raise UserError(f"{run}: its log.jsonl holds no whole epoch; name the folders of runs of `train`")
        curves[network].append(Curve(
            named(run.resolve().name), line_look(next(looks[network])), log, [record.epoch for record in log],
            [record.train_loss for record in log]))
    save(_draw(curves, "mean training loss"), path)


def _of_steps(name: str, own: FrameworkResult) -> Curve:
    places = [len(own.epochs) * (step + 1) / len(own.losses) for step in range(len(own.losses))]
    return Curve(CONTENDERS[name].label, line_look(name), own.epochs, places, own.losses)


def _draw(curves: Dict[str, List[Curve]], loss: str, title: Sequence[str] = ()) -> Figure:
    from matplotlib.lines import Line2D

    legend = _LINE * (2 + max(map(len, curves.values())))  # which must not take the curves' room
    figure, places = panels(2, len(curves), width=5.2, height=3 + legend / 2, sharex="col")
    for (above, below), (network, own) in zip(places.T, curves.items()):
        for curve in own:
            few = {**curve.look, "marker": curve.look["marker"] if len(curve.losses) == len(curve.epochs) else ""}
            above.plot(curve.places, curve.losses, alpha=0.85, **few)
            ends, dev = [epoch.epoch for epoch in curve.epochs], [epoch.dev_top1 for epoch in curve.epochs]
            below.plot(ends, [100 * epoch.train_top1 for epoch in curve.epochs], **_HOLLOW, **curve.look)
            if None not in dev:
                below.plot(ends, [100 * share for share in dev], **curve.look)
        above.set(title=network, ylabel=loss, ylim=(0, None))
        below.set(xlabel="epoch", ylabel="top-1 accuracy, %", ylim=(0, 102))
        for axis in (above, below):
            axis.grid(alpha=0.3)
            axis.xaxis.get_major_locator().set_params(integer=True)
        legend_beneath(below, 4.5, handles=[Line2D([], [], label=label, **look) for label, look in [
            *((curve.label, curve.look) for curve in own), ("training side", {**_HOLLOW, **_SIDE}),
            ("development side", _SIDE)]], fontsize=8, handlelength=3.5)
    if title:
        entitle(figure, *title)
    return figure
