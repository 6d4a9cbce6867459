"""Where a step's time goes, layer by layer: tables, and a picture for each network.

    text = profile_text(study, works, steps=3)
    draw_profiles(study, folder)
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Sequence

from common.compare.verdict import of_proofs
from common.contenders import CONTENDERS
from common.measured import told
from common.network.architectures import build
from common.network.layers import NetworkSpec
from common.show.drawing import bar_look, entitle, panels, save, where
from common.speed.engine import FORWARD, INFERENCE, TRAINING
from common.speed.profile import OUTSIDE, PHASES, Profile, ProfileStudy, operations
from common.tables import table_of_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from common.speed.bench import Work

_STRENGTHS = (1.0, 0.55, 0.15)  # how much of a framework's colour each phase keeps
_LEAST = 0.005  # share of a step in some framework; what takes less is put together
_REST = "the rest"
_LEGEND = """Milliseconds a step by each framework's own profiler; %: of the step by the clock; MMAC: millions of \
multiply-accumulates of one utterance, forward; GFLOP/s: a layer's multiplications and additions, backward counted twice, \
over the time of both. A fused operator counts for the convolution in it."""


def profile_text(study: ProfileStudy, works: Mapping[str, Work], steps: int) -> str:
    """The page that a study comes to, in Markdown. works: network -> what was profiled, for so many steps of each kind."""
    of = next(iter(works.values()))
    stated = {**study.measured, "batch": of.batch_size, "frames": of.frames, "speakers": of.num_speakers, "width": of.width,
              "profiled steps": steps}
    parts = [*of_proofs(study.proofs), f"# Where the time of a step goes\n\n{told(stated)}\n\n{_LEGEND}"]
    for network, work in works.items():
        parts += [f"\n## {network}, {kind}\n\n"
                  + table_of_numbers(rows_of_layers(work.spec, each, work.frames, work.batch_size), ".1f")
                  for kind, each in study.networks[network].items()]
    return "\n".join([*parts, ""])


def rows_of_layers(spec: NetworkSpec, profiles: Dict[str, Profile], frames: int, batch_size: int
          ) -> List[Dict[str, object]]:
    """A row for each layer and for what belongs to none; profiles: framework -> of the same step.

    Milliseconds of each phase that occurs, share of the step in per cent, and GFLOP/s where a layer
    multiplies; the last rows hold sums, the step by the clock and how much of it is covered.
    """
    work = operations(spec, frames, batch_size)
    phases = [phase for phase in PHASES if any(
        op.phase == phase for profile in profiles.values() for op in profile.operators)]
    rows = []
    for name in (*work, *OUTSIDE):
        flops = work.get(name, {})
        row: Dict[str, object] = {"layer": name, "MMAC": _or_blank(flops.get(FORWARD, 0) / 2e6 / batch_size)}
        for framework, profile in profiles.items():
            row.update(_cells(framework, profile, name, phases, flops))
        rows.append(row)
    return rows + _last_rows(profiles, phases)


def _cells(framework: str, profile: Profile, name: str, phases: Sequence[str],
           flops: Dict[str, float]) -> Dict[str, object]:
    """The columns of one framework in the row of one layer."""
    cells: Dict[str, object] = {f"{framework} {phase}": _or_blank(1000 * profile.total(name, phase))
                                for phase in phases}
    cells[f"{framework} %"] = _or_blank(100 * profile.total(name) / profile.seconds)
    multiplying = [phase for phase in phases if phase in flops]
    seconds = sum(profile.total(name, phase) for phase in multiplying)
    done = sum(flops[phase] for phase in multiplying)
    cells[f"{framework} GFLOP/s"] = _or_blank(done / seconds / 1e9 if seconds else 0)
    return cells


def _last_rows(profiles: Dict[str, Profile], phases: Sequence[str]) -> List[Dict[str, object]]:
    operators: Dict[str, object] = {"layer": "all operators"}
    clock: Dict[str, object] = {"layer": "step by the clock, ms"}
    for framework, profile in profiles.items():
        for phase in phases:
            operators[f"{framework} {phase}"] = 1000 * sum(
                op.seconds for op in profile.operators if op.phase == phase)
        operators[f"{framework} %"] = 100 * profile.covered
        clock[f"{framework} {phases[0]}"] = 1000 * profile.seconds
    return [operators, clock]


def _or_blank(value: float) -> Optional[float]:
    return value or None


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
