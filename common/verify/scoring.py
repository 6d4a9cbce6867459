"""A list of trials scored by an engine, and how often it errs on it.

    scored = score(engine, read_trials(path), root, path)
    found = ErrorRates.of(scored)
    found.eer, found.eer_interval
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np

from common.errors import UserError
from common.files import csv_text
from common.identify.engines import Engine
from common.identify.pieces import Source
from common.training.metrics import wilson_interval
from common.verify.answers import embed
from common.verify.rates import P_TARGETS, DetCurve, interval
from common.verify.trials import Trial

_AT_ONCE = 4096  # trials whose embeddings are copied


@dataclass(frozen=True)
class Scored:
    """Trials and their scores float64 (n,), higher for more alike."""

    trials: List[Trial]
    scores: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """Whether one voice speaks in both recordings, bool (n,)."""
        return np.array([trial.target for trial in self.trials])

    @property
    def curve(self) -> DetCurve:
        return DetCurve.of(self.targets, self.scores)

    @property
    def counts(self) -> str:
        targets = int(self.targets.sum())
        return f"{targets} trials of one voice and {len(self.trials) - targets} of two"

    def errors(self, threshold: float) -> Errors:
        """What a verifier with this threshold does wrong here."""
        accepted, targets = self.scores >= threshold, self.targets
        return Errors(threshold, int(accepted[~targets].sum()), int((~targets).sum()),
                      int((~accepted[targets]).sum()), int(targets.sum()))

    def table(self) -> str:
        """As CSV: trial by trial, in the list's order."""
        return csv_text([["target", "first", "second", "score"], *(
            [int(trial.target), trial.first, trial.second, f"{score:.6f}"]
            for trial, score in zip(self.trials, self.scores.tolist()))])


@dataclass(frozen=True)
class Errors:
    """False accepts among trials of two voices and false rejects among trials of one, at a threshold."""

    threshold: float
    false_accepts: int
    nontargets: int
    false_rejects: int
    targets: int

    def __str__(self) -> str:
        return (f"false accepts {_share(self.false_accepts, self.nontargets)}, "
                f"false rejects {_share(self.false_rejects, self.targets)}")


@dataclass(frozen=True)
class ErrorRates:
    """How well an engine tells voices on a list of trials.

    eer_interval: 95 %, by bootstrap over `units`, "voices" or "recordings", of which there are `num_units`
    min_dcf:      least normalised detection cost by P_target
    """

    targets: int
    nontargets: int
    recordings: int
    eer: float
    eer_interval: Tuple[float, float]
    units: str
    num_units: int
    min_dcf: Dict[str, float]

    @staticmethod
    def of(scored: Scored) -> ErrorRates:
        kind, units = _units(scored.trials)
        targets, curve = scored.targets, scored.curve
        return ErrorRates(
            int(targets.sum()), int((~targets).sum()), len({name for trial in scored.trials for name in (trial.first, trial.second)}),
            curve.eer, interval(targets, scored.scores, units), kind, len({unit for pair in units for unit in pair}),
            {f"{p_target:g}": curve.min_dcf(p_target) for p_target in P_TARGETS})

    def __str__(self) -> str:
        low, high = self.eer_interval
        costs = ", ".join(f"{cost:.3f} (P_target {p_target})" for p_target, cost in self.min_dcf.items())
        return (f"{self.targets} trials of one voice and {self.nontargets} of two, {self.recordings} recordings\n"
                f"EER     {100 * self.eer:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f} %, by the {self.num_units} "
                f"{self.units} drawn anew)\n"
                f"minDCF  {costs}; 1 is a verifier of no use")


def score(engine: Engine, trials: Sequence[Trial], root: Path, listed: Path) -> Scored:
    """The cosine of every trial; each recording is embedded once.

    root:   folder of the recordings
    listed: the list's file, which errors name with the line
    Raises UserError for a recording that is missing or cannot be used.
    """
    lines: Dict[str, int] = {}
    for trial in trials:
        for name in (trial.first, trial.second):
            lines.setdefault(name, trial.line)
    for name, line in lines.items():
        if not (root / name).is_file():
            raise UserError(f"{listed}: line {line}: there is no recording {root / name}; --root names the folder that its "
                            "paths begin in")
    rows = []
    for heard, embedding in embed(engine, (Source(name, root / name) for name in lines)):
        if heard.error:
            raise UserError(f"{listed}: line {lines[heard.name]}: {heard.name}: {heard.error}; take it out of the list")
        rows.append(embedding)
    place = {name: number for number, name in enumerate(lines)}
    first, second = (np.array([place[name] for name in names])
                     for names in zip(*((trial.first, trial.second) for trial in trials)))
    embeddings = np.array(rows, np.float64)
    scores = [np.einsum("nu,nu->n", embeddings[first[start:start + _AT_ONCE]], embeddings[second[start:start + _AT_ONCE]])
              for start in range(0, len(trials), _AT_ONCE)]
    return Scored(list(trials), np.clip(np.concatenate(scores), -1, 1))


def _units(trials: Sequence[Trial]) -> Tuple[str, List[Tuple[str, str]]]:
    """What to draw anew for an interval: voices, where the paths' first folders are the speakers, else recordings."""
    folders = [(trial.first.partition("/")[0], trial.second.partition("/")[0]) for trial in trials]
    if all(trial.target == (one == other) for trial, (one, other) in zip(trials, folders)):
        return "voices", folders
    return "recordings", [(trial.first, trial.second) for trial in trials]


def _share(wrong: int, total: int) -> str:
    low, high = wilson_interval(wrong, total)
    return f"{wrong} of {total}, {100 * wrong / total:.1f} % ({100 * low:.1f} to {100 * high:.1f} %)"
