"""Two stored comparisons held against each other: did anything become slower or worse?

    old, new = read_run(Path("results/january")), read_run(Path("results/february"))
    changes = compare_runs(old, new)
    changes.status            # 0, or REGRESSION, or NOT_COMPARABLE

Two runs of the same code differ by more than the steps inside one run do: the machine's other
tenants, its temperature and where memory happened to lie change from one run to the next. So a speed
counts as lost only when the whole 95 % interval of the ratio, taken at an equal rate of the machine's
own matrix product (both runs measured it between their blocks), lies below 1 - `TOLERANCE`. Four
runs of the same code held against each other in every order (a small time-delay network, steps of 15
to 55 ms on two shared cores, 48 ratios) gave ratios from 0.76 to 1.31; no interval ended below 0.89.
Two whole comparisons, other work beside them, had one that ended at 0.85: hence a quarter.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from common.compare.verdict import INVALID, LOSS_TOLERANCE
from common.errors import UserError
from common.files import read_json

REGRESSION, NOT_COMPARABLE = 1, 3  # exit statuses; 2 is a user's error
TOLERANCE = 0.25
_RESAMPLES = 4000
# Facts of a machine whose change makes its speed another machine's.
_MACHINE = ("processor", "cores", "memory")

Key = Tuple[str, str, str]  # network, framework or baseline, kind of figure


@dataclass(frozen=True)
class Run:
    """What one stored comparison says, by (network, framework, kind)."""

    path: Path
    machine: Mapping[str, str]
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
    """Read the report.json of a comparison, given itself or its folder. Raises UserError.

    Speeds are found by their form (an object with the seconds of every step), wherever a network's
    results hold them, so that reports with more clocks or baselines can be read as well.
    """
    path = path / "report.json" if path.is_dir() else path
    report = read_json(path, "report of compare.py")
    try:
        return _run(path, report)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{path}: this is not a report of compare.py ({type(error).__name__}: "
                        f"{str(error)[:80]}); name the folder or the report.json that a comparison "
                        "wrote") from None


def _run(path: Path, report: Any) -> Run:
    run = Run(path, dict(report["machine"]), {}, {}, {}, {}, {}, {})
    if not report["results"]:
        raise ValueError("no results")
    for result in report["results"]:
        network = str(result["network"])
        run.gflops[network] = {
            **{library: _positive([median]) for library, median in result.get("matmuls", {}).items()},
            result.get("matmul_library", "NumPy"): _positive(result["matmul_gflops"])}
        for place, seconds in _speeds(result):
            # ("frameworks", "caffe2", "speeds", "training", "fed"): the kind is what follows the name.
            kind = " ".join(name for name in place[2:] if name != "speeds")
            run.seconds[network, place[1], kind] = seconds
        for name, own in result["frameworks"].items():
            _read_framework(run, network, name, own)
        for check in result.get("checks", []):
            run.checks[network, str(check["whom"]), str(check["what"])] = check["passed"] is True
    return run


def _read_framework(run: Run, network: str, name: str, own: Mapping[str, Any]) -> None:
    """What a framework's result holds besides speeds; without a learning run there is less."""
    run.certificates[network, name, "certificate"] = dict(own["certificate"])
    evaluation, probe = (own.get(key) for key in ("evaluation", "probe"))
    if evaluation:
        run.accuracy[network, name, "test top-1"] = tuple(
            float(evaluation[key]) for key in ("top1", "top1_low", "top1_high"))
    if probe:
        run.probes[network, name, "loss of the first steps"] = [float(loss) for loss in probe]


def _speeds(value: Any, place: Tuple[str, ...] = ()) -> Iterator[Tuple[Tuple[str, ...], np.ndarray]]:
    """Every list of step times below `value` as (blocks, steps), with the names that lead to it."""
    if isinstance(value, dict):
        seconds = value.get("seconds")
        if isinstance(seconds, list) and seconds and len(place) > 1:
            yield place, np.reshape(_positive(seconds), (value.get("blocks", len(seconds)), -1))
        for name, inner in value.items():
            yield from _speeds(inner, (*place, name))


def _positive(numbers: Sequence[Any]) -> List[float]:
    values = [float(number) for number in numbers]
    if not all(0 < value < math.inf for value in values):
        raise ValueError("a time or rate that is not above 0")
    return values


def compare_runs(old: Run, new: Run) -> Changes:
    """Hold `new` against `old`. Raises UserError if they have no network and framework in common."""
    changes = Changes()
    common = _both(old.certificates, new.certificates)
    if not common:
        raise UserError(f"{old.path} and {new.path} have no network and framework in common")
    for run in old, new:
        _believe(run, changes)
    for key in common:
        _compare_certificates(key, old, new, changes)
    other = [f"{fact}: {old.machine.get(fact)} / {new.machine.get(fact)}" for fact in _MACHINE
             if old.machine.get(fact) != new.machine.get(fact)]
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
        changes.incomparable.append(f"{run.path} does not say whether its {network} computed the right "
                                    "numbers, as a report of today does; run the comparison again")


def _compare_certificates(key: Key, old: Run, new: Run, changes: Changes) -> None:
    one, other = old.certificates[key], new.certificates[key]
    differing = [f"{fact}: {one[fact]} / {other[fact]}" for fact in one
                 if fact in other and one[fact] != other[fact]]
    if differing:
        changes.incomparable.append(f"{key[0]}, {key[1]}: {'; '.join(differing)}")
    alone = set(one) ^ set(other)
    if alone:
        changes.notes.append(f"{key[0]}, {key[1]}: only one run states its {', '.join(sorted(alone))}")


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
    if high < 1 - TOLERANCE:
        return "SLOWER"
    return "faster" if low > 1 / (1 - TOLERANCE) else "no change beyond noise"


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
        losses = list(zip(old.probes[key], new.probes[key]))
        difference = max((abs(a - b) / abs(a) for a, b in losses), default=0.0)
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
