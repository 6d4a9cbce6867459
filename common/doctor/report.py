"""What the doctor has to say: facts, findings and a verdict, as text and as JSON.

    from common.doctor.report import Finding, HealthReport, as_text
"""
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional, Tuple

from common.doctor.scan import RecordPlace

PROBLEM, WARNING = "problem", "warning"
TOLERATED_SHARE = 0.01  # of records that are duplicates where they do harm: more is a problem


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `code` never changes its meaning, `places` are the first few of `count`."""

    code: str
    severity: str
    count: int
    message: str
    places: Tuple[RecordPlace, ...] = ()


def problem(code: str, count: int, message: str, places: Tuple[RecordPlace, ...] = ()) -> Finding:
    """A finding that makes the data not usable."""
    return Finding(code, PROBLEM, count, message, places)


def warning(code: str, count: int, message: str, places: Tuple[RecordPlace, ...] = ()) -> Finding:
    """A finding to know about."""
    return Finding(code, WARNING, count, message, places)


def harmful_if_many(code: str, count: int, records: int, message: str, places: Tuple[RecordPlace, ...]) -> Finding:
    """A problem where it is met so often among so many records that it decides, else a warning."""
    return Finding(code, PROBLEM if count > TOLERATED_SHARE * records else WARNING, count, message, places)


@dataclass(frozen=True)
class HealthReport:
    """All that was found. `records_by_speaker` counts valid labels only.

    normalised:  "bins" (over time, as the paper), "frames", "utterance", "none", "mixed" or "unknown"
    scale:       "magnitude", "log", "mixed" or "unknown"
    checked_split: what leakage was looked for in, None if that was not possible
    """

    files: Tuple[Dict[str, Any], ...]
    records: int
    speakers: int
    records_by_speaker: Dict[str, int]
    normalised: str
    scale: str
    mirrored_records: int
    exact_duplicate_groups: int
    near_duplicate_pairs: int
    checked_split: Optional[str]
    findings: Tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """"sound", "usable" (with warnings) or "not usable"."""
        severities = {finding.severity for finding in self.findings}
        return "not usable" if PROBLEM in severities else "usable" if severities else "sound"


def as_json(report: HealthReport) -> Dict[str, Any]:
    """A value for `json_text`, with the verdict."""
    return {"format": 1, "verdict": report.verdict, **asdict(report)}


def as_text(report: HealthReport) -> str:
    """The report for a person, the verdict last."""
    from common.tables import table  # slow to import, and --help does not need it

    facts = [["records", f"{report.records} in {len(report.files)} files, "
                         f"{sum(file['bytes'] for file in report.files) / 1e9:.2f} GB"],
             ["speakers", _counts(report)],
             ["normalised", report.normalised if report.normalised != "bins" else "every bin over time, as the paper"],
             ["scale", report.scale],
             ["mirrored", f"{report.mirrored_records} records"],
             ["duplicates", f"{report.exact_duplicate_groups} groups of equal and {report.near_duplicate_pairs} pairs "
                            "of nearly equal spectrograms"],
             ["leakage", f"looked for in {report.checked_split}" if report.checked_split else
              "not looked for: the records cannot be split before their problems are repaired"]]
    lines = [table(facts, (), "plain"), ""]
    for finding in sorted(report.findings, key=lambda finding: finding.severity != PROBLEM):
        lines.append(f"{finding.severity}: {finding.message} [{finding.code}]")
        lines += [f"    {place.path}: record {place.record}, byte {place.byte}" for place in finding.places]
        if len(finding.places) < finding.count and finding.places:
            lines.append(f"    ... {finding.count - len(finding.places)} more")
    return "\n".join(lines + [f"verdict: {_verdict(report)}"])


def _counts(report: HealthReport) -> str:
    ranked = sorted(report.records_by_speaker.items(), key=lambda item: item[1])
    if not ranked:
        return str(report.speakers)
    middle = ranked[len(ranked) // 2][1]
    return (f"{report.speakers}, records of each: {ranked[0][1]} ({ranked[0][0]}) to {ranked[-1][1]} "
            f"({ranked[-1][0]}), median {middle}")


def _verdict(report: HealthReport) -> str:
    problems: List[Finding] = [finding for finding in report.findings if finding.severity == PROBLEM]
    warnings = len(report.findings) - len(problems)
    return {"sound": "sound",
            "usable": f"usable, with {warnings} warning{'s' * (warnings != 1)}",
            "not usable": f"not usable: {len(problems)} problem{'s' * (len(problems) != 1)}, "
                          f"{warnings} warning{'s' * (warnings != 1)}"}[report.verdict]
