"""Plots of a comparison: learning curves and speed bars, as PNG files.

    write_plots(results, folder, synthetic=True)
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Sequence

from common.compare.comparison import NetworkResult
from common.compare.verdict import INVALID
from common.contenders import CONTENDERS
from common.files import replacing
from common.speed.bench import INFERENCE, RESIDENT, TRAINING
from common.training.crossover import Crossing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_plots(results: List[NetworkResult], folder: Path, synthetic: bool) -> List[str]:
    """speed.png in `folder`, and learning-curves.png if there was a learning run; returns the names."""
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    _speed(results, folder / "speed.png")
    if not any(own.epochs for result in results for own in result.frameworks.values()):
        return ["speed.png"]
    _learning_curves(results, folder / "learning-curves.png", synthetic)
    return ["learning-curves.png", "speed.png"]


def _learning_curves(results: List[NetworkResult], path: Path, synthetic: bool) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(results), squeeze=False, sharex="col",
                                   figsize=(5 * len(results), 6.5))
    for (above, below), result in zip(axes.T, results):
        for name, own in result.frameworks.items():
            losses = [loss for epoch in own.epochs for loss in epoch["losses"]]
            ends = _ends([len(epoch["losses"]) for epoch in own.epochs])
            row = CONTENDERS[name]
            above.plot(range(1, len(losses) + 1), losses, row.line, color=row.colour, alpha=0.8,
                       label=row.label)
            for key, fill, side in (("train_top1", "white", "training"),
                                    ("dev_top1", row.colour, "development")):
                shares = [epoch[key] for epoch in own.epochs]
                if None not in shares:
                    below.plot(ends, [100 * share for share in shares], row.line, marker=row.marker,
                               color=row.colour, markerfacecolor=fill, label=f"{row.label}, {side}")
        above.set(title=result.network, ylabel="loss of the step", ylim=(0, None))
        below.set(xlabel="step", ylabel="top-1 accuracy, %", ylim=(0, 102))
        for axis in (above, below):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
    figure.suptitle("Learning curves" + (" on synthetic voices" if synthetic else ""))
    figure.tight_layout()
    _mark(figure, results)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)


def _ends(lengths: List[int]) -> List[int]:
    """The step at which each epoch ends."""
    return [sum(lengths[:i + 1]) for i in range(len(lengths))]


def _speed(results: List[NetworkResult], path: Path) -> None:
    """Bars of frameworks and baselines, the input resident, in groups by network."""
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for result in results
                               for name in (*result.frameworks, *result.baselines)))
    width = 0.8 / len(names)
    figure, axes = pyplot.subplots(1, 2, figsize=(9 + 1.5 * (len(names) - 2), 3.6))
    for axis, kind in zip(axes, (TRAINING, INFERENCE)):
        for group, result in enumerate(results):
            for name, own in {**result.frameworks, **result.baselines}.items():
                speed = own.speeds.get(kind, {}).get(RESIDENT)
                if speed is None:
                    continue
                spread = [[speed.median - speed.low], [speed.high - speed.median]]
                bar = axis.bar(group + width * names.index(name), speed.median, 0.95 * width,
                               yerr=spread, capsize=3, **_filling(name))
                axis.bar_label(bar, fmt="%.1f", padding=3, fontsize=8)
        axis.set(title=kind, ylabel="utterances of 3.015 s per second",
                 xticks=[group + width * (len(names) - 1) / 2 for group in range(len(results))])
        axis.set_xticklabels([result.network for result in results])
        axis.grid(axis="y", alpha=0.3)
        axis.margins(y=0.15)
    figure.legend([pyplot.Rectangle((0, 0), 1, 1, **_filling(name)) for name in names],
                  [CONTENDERS[name].short for name in names], loc="upper center", ncol=len(names), fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    _mark(figure, results)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)


def _mark(figure: "Figure", results: List[NetworkResult]) -> None:
    """Across the whole plot, if a check failed, that it must not be used and for which networks."""
    failed = [result.network for result in results if not result.valid]
    if failed:
        figure.text(0.5, 0.5, f"{INVALID}: checks of {', '.join(failed)} failed", rotation=20, fontsize=34,
                    color="red", alpha=0.6, ha="center", va="center", zorder=10)


def _filling(name: str) -> Dict[str, str]:
    return {"facecolor": CONTENDERS[name].colour, "hatch": CONTENDERS[name].hatch, "edgecolor": "white"}


def plot_crossings(crossings: Sequence[Crossing], path: Path, network: str) -> None:
    """Loss curves of runs that switch the framework over those of runs that stay, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(crossings), figsize=(5 * len(crossings), 3.4),
                                   squeeze=False, sharey=True)
    for axis, crossing in zip(axes[0], crossings):
        steps = range(1, len(crossing.crossed) + 1)
        axis.plot(steps, crossing.uninterrupted, color="#9aa0a6", linewidth=4,
                  label=f"{crossing.first} all along")
        axis.plot(steps, crossing.crossed, color="#d93025", linewidth=1.2,
                  label=f"{crossing.second} from step {crossing.switch + 1} on")
        axis.axvline(crossing.switch + 0.5, color="black", linestyle=":", linewidth=1)
        axis.set(title=f"{network}: {crossing.first} to {crossing.second}", xlabel="step",
                 ylabel="loss of the step")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)
