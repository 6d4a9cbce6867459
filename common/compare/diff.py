"""Two stored comparisons held against each other: did anything become slower or worse?

    old, new = read_run(Path("results/january")), read_run(Path("results/february"))
    changes = changes_between(old, new)
    changes.status            # 0, or REGRESSION, or NOT_COMPARABLE

Two runs of the same code differ by more than the steps inside one run do: the machine's other
tenants, its temperature and where memory happened to lie change from one run to the next. So a speed
counts as lost only when the whole 95 % interval of the ratio, taken at an equal rate of the machine's
own matrix product (both runs measured it between their blocks), lies below 1 - `SPEED_TOLERANCE`. Four
runs of the same code held against each other in every order (a small time-delay network, steps of 15
to 55 ms on two shared cores, 48 ratios) gave ratios from 0.76 to 1.31; no interval ended below 0.89.
Two whole comparisons, other work beside them, had one that ended at 0.85: hence a quarter.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from common.compare.report import read_report
from common.compare.results import FrameworkResult
from common.compare.verdict import INVALID, LOSS_TOLERANCE
from common.errors import UserError
from common.speed.blocks import Speed
from common.training.metrics import loss_differences

REGRESSION, NOT_COMPARABLE = 1, 3  # exit statuses; 2 is a user's error
SPEED_TOLERANCE = 0.25
_RESAMPLES = 4000
# Facts of a machine whose change makes its speed another machine's.
_MACHINE = ("processor", "cores", "memory", "threads", "variables", "numpy", "blas of numpy")

Key = Tuple[str, str, str]  # network, framework or baseline, kind of figure


@dataclass(frozen=True)
class Run:
    """What one stored comparison says, by (network, framework, kind)."""

    path: Path
    machine: Mapping[str, str]
    versions: Mapping[str, str]  # contender -> its framework's
    gflops: Mapping[str, Mapping[str, Sequence[float]]]  # network -> library -> matrix products
    seconds: Mapping[Key, np.ndarray]  # (blocks, steps of a block), of every timed step
    accuracy: Mapping[Key, Tuple[float, float, float]]  # share, and its 95 % interval
    certificates: Mapping[Key, Mapping[str, Any]]
    checks: Mapping[Key, bool]  # of predictions, losses and settings: whether they passed
    probes: Mapping[Key, Sequence[float]]  # losses of the first steps


class Line(NamedTuple):
    """One figure in both runs."""

    key: Key
    old: str
    new: str
    ratio: str
    verdict: str


@dataclass
class Changes:
    """What differs between two runs, and what that comes to."""

    lines: List[Line] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    regressions: List[str] = field(default_factory=list)
    incomparable: List[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """0 if nothing was lost, else REGRESSION or NOT_COMPARABLE."""
        if self.incomparable:
            return NOT_COMPARABLE
        return REGRESSION if self.regressions else 0


def read_run(path: Path) -> Run:
    """The report.json of a comparison, given itself or its folder. Raises UserError."""
    report = read_report(path)
    run = Run(path, report.machine, report.versions, {}, {}, {}, {}, {}, {})
    for result in report.results:
        run.gflops[result.network] = {**{library: [median] for library, median in result.matmuls.items()},
                                      result.matmul_library: result.matmul_gflops}
        for name, own in result.contenders.items():
            for kind, clocks in own.speeds.items():
                for clock, speed in clocks.items():
                    run.seconds[result.network, name, f"{kind} {clock}"] = _by_block(speed, path)
        for name, own in result.frameworks.items():
            _read_framework(run, result.network, name, own)
        for check in result.checks:
            run.checks[result.network, " / ".join(check.whom), check.what] = check.passed
        if not all(rates and 0 < min(rates) <= max(rates) < math.inf for rates in run.gflops[result.network].values()):
            raise UserError(f"{path}: its report has a matrix product that is not above 0 GFLOP/s; run the comparison again")
    return run


def _read_framework(run: Run, network: str, name: str, own: FrameworkResult) -> None:
    """What a framework's result holds besides speeds; without a learning run there is less."""
    run.certificates[network, name, "certificate"] = vars(own.certificate)
    run.probes[network, name, "loss of the first steps"] = own.probe
    if own.evaluation is not None:
        run.accuracy[network, name, "test top-1"] = (own.evaluation.top1, own.evaluation.top1_low,
                                                     own.evaluation.top1_high)


def _by_block(speed: Speed, path: Path) -> np.ndarray:
    """(blocks, steps of a block) seconds, after a look at what a file says."""
    if not speed.blocks > 0 or not speed.seconds or len(speed.seconds) % speed.blocks \
            or not all(0 < seconds < math.inf for seconds in speed.seconds):
        raise UserError(f"{path}: its report has steps of no time, or that fill no blocks; run the comparison again")
    return speed.by_block()


def changes_between(old: Run, new: Run) -> Changes:
    """Hold `new` against `old`. Raises UserError if they have no network and framework in common."""
    changes = Changes()
    common = _both(old.certificates, new.certificates)
    if not common:
        raise UserError(f"{old.path} and {new.path} have no network and framework in common")
    for run in old, new:
        _believe(run, changes)
    for key in common:
        _compare_certificates(key, old, new, changes)
    other = [f"{fact}: {one.get(fact)} / {another.get(fact)}" for one, another, facts in (
        (old.machine, new.machine, _MACHINE), (old.versions, new.versions, [name for name in old.versions if name in new.versions]))
        for fact in facts if one.get(fact) != another.get(fact)]
    if other:
        changes.notes.append(f"DIFFERENT MACHINES ({'; '.join(other)}): speeds are shown, not judged")
    _compare_speeds(old, new, changes, judged=not other and not changes.incomparable)
    _compare_answers(old, new, changes)
    for a, b, where in ((old, new, "OLD"), (new, old, "NEW")):
        alone = sorted(" ".join(key) for key in set(a.seconds) - set(b.seconds))
        if alone:
            changes.notes.append(f"only in {where}: {', '.join(alone)}")
    return changes


def _believe(run: Run, changes: Changes) -> None:
    """Figures of numbers that are wrong, or that nobody checked, are not held against any others."""
    changes.incomparable += [f"{run.path} is {INVALID}: this check failed in it: {' '.join(key)}"
                             for key, passed in run.checks.items() if not passed]
    for network in {key[0] for key in run.certificates} - {key[0] for key in run.checks}:
        changes.incomparable.append(f"{run.path} holds no check of whether its {network} computed the right numbers; "
                                    "run the comparison again")


def _compare_certificates(key: Key, old: Run, new: Run, changes: Changes) -> None:
    one, other = old.certificates[key], new.certificates[key]
    differing = [f"{fact}: {one[fact]} / {other[fact]}" for fact in one if one[fact] != other[fact]]
    if differing:
        changes.incomparable.append(f"{key[0]}, {key[1]}: {'; '.join(differing)}")


def _compare_speeds(old: Run, new: Run, changes: Changes, judged: bool) -> None:
    for key in _both(old.seconds, new.seconds):
        library = max(old.gflops[key[0]], key=lambda name: np.median(old.gflops[key[0]][name]))
        if library not in new.gflops[key[0]]:
            raise UserError(f"{new.path} holds no matrix products of {library}, as {old.path} does: "
                            "the two cannot be set to the same speed of the machine")
        ratio, low, high = speed_ratio(old.seconds[key], new.seconds[key],
                                       *(run.gflops[key[0]][library] for run in (old, new)))
        verdict = _speed_verdict(low, high) if judged else "not judged"
        changes.lines.append(Line(key, *(_milliseconds(run.seconds[key]) for run in (old, new)),
                                  f"{ratio:.2f} [{low:.2f}, {high:.2f}]", verdict))
        if verdict == "SLOWER":
            changes.regressions.append(f"{' '.join(key)}: {ratio:.2f} times as fast as before")


def speed_ratio(old: np.ndarray, new: np.ndarray, old_gflops: Sequence[float],
                new_gflops: Sequence[float]) -> Tuple[float, float, float]:
    """How many times as fast `new` is at an equal matrix product: ratio of medians, 95 % interval.

    old, new: seconds (blocks, steps of a block). A slow moment of the machine lasts for a block, so
    whole blocks are resampled, each run's and its matrix products apart.
    """
    generator = np.random.default_rng(0)
    parts = []  # (1 + resamples,) each, the first as measured
    for values in (old, np.reshape(new_gflops, (-1, 1)), new, np.reshape(old_gflops, (-1, 1))):
        chosen = generator.integers(len(values), size=(_RESAMPLES, len(values)))
        drawn = np.median(values[chosen].reshape(_RESAMPLES, -1), axis=1)
        parts.append(np.concatenate([[np.median(values)], drawn]))
    # A machine that multiplies faster in the new run owes us that much more speed.
    ratios = parts[0] / parts[2] / (parts[1] / parts[3])
    low, high = np.percentile(ratios[1:], [2.5, 97.5])
    return float(ratios[0]), float(low), float(high)


def _speed_verdict(low: float, high: float) -> str:
    if high < 1 - SPEED_TOLERANCE:
        return "SLOWER"
    return "faster" if low > 1 / (1 - SPEED_TOLERANCE) else "no change beyond noise"


def _milliseconds(seconds: np.ndarray) -> str:
    return f"{1000 * float(np.median(seconds)):.1f} ms"


def _compare_answers(old: Run, new: Run, changes: Changes) -> None:
    """Accuracy, checks and first losses: what must not get worse, however fast."""
    for key in _both(old.accuracy, new.accuracy):
        (before, low, _), (after, _, high) = old.accuracy[key], new.accuracy[key]
        # Intervals apart, not merely a difference that sampling would not explain: rounding alone,
        # grown over a training run, moves accuracy too.
        _judge(changes, key, f"{100 * before:.1f} %", f"{100 * after:.1f} %", worse=high < low)
    for key in _both(old.checks, new.checks):
        before, after = old.checks[key], new.checks[key]
        _judge(changes, key, _passed(before), _passed(after), worse=before and not after)
    for key in _both(old.probes, new.probes):
        steps = min(len(old.probes[key]), len(new.probes[key]))
        difference = loss_differences(old.probes[key][:steps], new.probes[key][:steps]).max(initial=0.0)
        _judge(changes, key, "", f"{difference:.1e} of it away", worse=not difference < LOSS_TOLERANCE)


def _both(old: Mapping[Key, Any], new: Mapping[Key, Any]) -> List[Key]:
    return [key for key in old if key in new]


def _judge(changes: Changes, key: Key, before: str, after: str, worse: bool) -> None:
    changes.lines.append(Line(key, before, after, "", "WORSE" if worse else "not worse"))
    if worse:
        changes.regressions.append(f"{' '.join(key)}: {before} became {after}" if before
                                   else f"{' '.join(key)}: {after}")


def _passed(value: bool) -> str:
    return "passed" if value else "FAILED"
