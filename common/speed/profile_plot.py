"""Bars of where a step's time goes, layer by layer, as a PNG.

    plot_profiles(profiles, spec, Path("vgg_m.png"))
"""
from __future__ import annotations

from pathlib import Path
from typing import Dict, List

from common.contenders import CONTENDERS
from common.files import replacing
from common.network.layers import NetworkSpec
from common.speed.profile import OUTSIDE, PHASES, Profile

_PALER = (1.0, 0.55, 0.25)  # how much of a framework's colour each phase keeps; the rest is white
_LEAST = 0.005  # share of a step in some framework; what takes less is put together
_REST = "the rest"


def plot_profiles(profiles: Dict[str, Dict[str, Profile]], spec: NetworkSpec, path: Path) -> None:
    """profiles: kind of step -> framework -> profile; a panel for each kind, a bar for each framework."""
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot

    rows = {kind: _rows(each, spec) for kind, each in profiles.items()}
    height = 1.2 + 0.3 * max(map(len, rows.values()))
    figure, axes = pyplot.subplots(1, len(profiles), figsize=(6 * len(profiles), height), squeeze=False)
    for axis, (kind, each) in zip(axes[0], profiles.items()):
        for number, (framework, profile) in enumerate(each.items()):
            _bars(axis, framework, profile, rows[kind], number, len(each))
        axis.set(title=f"{spec.name}: {kind}", xlabel="milliseconds a step")
        axis.set_yticks(range(len(rows[kind])))
        axis.set_yticklabels(rows[kind])
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)


def _bars(axis, framework: str, profile: Profile, rows: List[str], number: int, frameworks: int) -> None:
    """One framework's bars, the phases side by side in one bar."""
    thickness = 0.8 / frameworks
    places = [row - 0.4 + thickness * (number + 0.5) for row in range(len(rows))]
    left = [0.0] * len(rows)
    own = CONTENDERS[framework]
    for phase, strength in zip(PHASES, _PALER):
        lengths = [1000 * _total(profile, row, rows, phase) for row in rows]
        if any(lengths):
            axis.barh(places, lengths, thickness, left, color=_paler(own.colour, strength),
                      hatch=own.hatch, edgecolor="white", label=f"{own.label}, {phase}")
            left = [a + b for a, b in zip(left, lengths)]


def _paler(colour: str, strength: float) -> List[float]:
    from matplotlib.colors import to_rgb

    return [1 - strength * (1 - part) for part in to_rgb(colour)]


def _rows(profiles: Dict[str, Profile], spec: NetworkSpec) -> List[str]:
    names = [*(layer.name for layer in spec.layers), *OUTSIDE]
    return [name for name in names if any(
        profile.total(name) > _LEAST * profile.seconds for profile in profiles.values())] + [_REST]


def _total(profile: Profile, row: str, rows: List[str], phase: str) -> float:
    if row != _REST:
        return profile.total(row, phase)
    return sum(op.seconds for op in profile.operators if op.layer not in rows and op.phase == phase)
