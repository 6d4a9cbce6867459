"""Bars of where a step's time goes, layer by layer, a picture for each network.

    draw_profiles(study, folder)
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping

from common.contenders import CONTENDERS
from common.network.architectures import build
from common.show.drawing import bar_look, entitle, panels, save, where
from common.speed.engine import INFERENCE, TRAINING
from common.speed.profile import OUTSIDE, PHASES, Profile, ProfileStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STRENGTHS = (1.0, 0.55, 0.15)  # how much of a framework's colour each phase keeps
_LEAST = 0.005  # share of a step in some framework; what takes less is put together
_REST = "the rest"


def draw_profiles(study: ProfileStudy, folder: Path) -> List[Path]:
    """NETWORK.png in `folder` for each network."""
    return [_draw(network, profiles, study.measured, folder) for network, profiles in study.networks.items()]


def _draw(network: str, profiles: Dict[str, Dict[str, Profile]], measured: Mapping[str, str], folder: Path) -> Path:
    """A panel for each kind of step, a bar for each framework in each row."""
    layers = [layer.name for layer in build(network, 2).layers]  # they do not go by the number of speakers
    profiles = {kind: profiles[kind] for kind in (TRAINING, INFERENCE) if kind in profiles}
    rows = {kind: _rows(each, layers) for kind, each in profiles.items()}
    figure, places = panels(1, len(profiles), width=6, height=1.4 + 0.32 * max(map(len, rows.values())))
    for axis, (kind, each) in zip(places[0], profiles.items()):
        names = [name for name in CONTENDERS if name in each]
        for number, name in enumerate(names):
            _bars(axis, name, each[name], rows[kind], number, len(names))
        axis.set(title=kind, xlabel="milliseconds a step", ylim=(len(rows[kind]) - 0.5, -0.5))
        axis.set_yticks(range(len(rows[kind])), rows[kind])
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
        axis.legend(fontsize=8)
    entitle(figure, f"{network}: where the time of a step goes", where(measured))
    return save(figure, folder / f"{network}.png")


def _bars(axis: Axes, framework: str, profile: Profile, rows: List[str], number: int, frameworks: int) -> None:
    """One framework's bars, the phases side by side in one bar."""
    thickness = 0.8 / frameworks
    places = [row - 0.4 + thickness * (number + 0.5) for row in range(len(rows))]
    left = [0.0] * len(rows)
    for phase, strength in zip(PHASES, _STRENGTHS):
        lengths = [1000 * _total(profile, row, rows, phase) for row in rows]
        if any(lengths):
            axis.barh(places, lengths, thickness, left, label=f"{CONTENDERS[framework].label}, {phase}",
                      **bar_look(framework, strength))
            left = [a + b for a, b in zip(left, lengths)]


def _rows(profiles: Dict[str, Profile], layers: List[str]) -> List[str]:
    return [name for name in (*layers, *OUTSIDE) if any(
        profile.total(name) > _LEAST * profile.seconds for profile in profiles.values())] + [_REST]


def _total(profile: Profile, row: str, rows: List[str], phase: str) -> float:
    if row != _REST:
        return profile.total(row, phase)
    return sum(op.seconds for op in profile.operators if op.layer not in rows and op.phase == phase)
