"""From measurements to a report: everything the doctor knows about what can be wrong with records.

    from common.doctor.diagnosis import diagnose
    diagnosis = diagnose(scan_files(paths, workers=2))
"""
from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.data.dataset import Dataset, open_dataset
from common.doctor.checks import (
    check_balance,
    check_classes,
    check_labels,
    check_lengths,
    check_levels,
    check_values,
    speaker_name,
)
from common.doctor.duplicates import NearPairs, comparable, exact_groups, near_pairs
from common.doctor.kind import Kind, check_kind
from common.doctor.leakage import check_leakage
from common.doctor.report import PROBLEM, Finding, HealthReport, harmful_if_many, problem, warning
from common.doctor.scan import Scan
from common.errors import UserError

class Diagnosis(NamedTuple):
    """The report, and what a repair needs to know."""

    report: HealthReport
    good: np.ndarray               # bool (N,): the records a repair keeps
    speakers: Optional[List[str]]  # None without a classes file


def diagnose(scan: Scan, split_path: Optional[Path] = None) -> Diagnosis:
    """Look for everything that can be wrong. split_path: a stored split to look for leakage in, else that of seed 0."""
    speakers, findings = check_classes(list(dict.fromkeys(file.path.parent for file in scan.files)))
    label_ok, label_findings = check_labels(scan, speakers)
    counts = np.bincount(scan.labels[label_ok].astype(np.int64), minlength=len(speakers or []))
    kind = check_kind(scan)
    exact = exact_groups(scan)
    near = near_pairs(scan, exact)
    conflicting, duplicate_findings = _duplicates(scan, exact, near)
    findings += (check_lengths(scan) + label_findings + check_values(scan)
                 + check_levels(scan, kind.normalised, kind.scale) + check_balance(counts, speakers)
                 + kind.findings + duplicate_findings)
    dataset, open_findings = _open(scan, speakers or [str(label) for label in range(len(counts))], findings)
    checked, leaks = (None, []) if dataset is None else check_leakage(dataset, scan, split_path, _pairs(exact, near))
    findings += open_findings + leaks + _description(dataset, kind)

    good = label_ok & comparable(scan) & ~conflicting
    for group in exact:
        good[group[1:]] = False
    report = HealthReport(
        files=tuple({"path": str(file.path), "bytes": file.bytes, "records": file.records} for file in scan.files),
        records=len(scan.labels),
        speakers=int((counts > 0).sum()) if speakers is None else len(speakers),
        records_by_speaker={speaker_name(speakers, label): int(counts[label]) for label in range(len(counts))
                            if speakers is not None or counts[label]},
        normalised=kind.normalised, scale=kind.scale, mirrored_records=int(scan.measures["mirrored"].sum()),
        exact_duplicate_groups=len(exact), near_duplicate_pairs=len(near.pairs),
        checked_split=checked, findings=tuple(findings))
    return Diagnosis(report, good, speakers)


def _open(scan: Scan, speakers: Sequence[str], known: Sequence[Finding]) -> Tuple[Optional[Dataset], List[Finding]]:
    """The data as training opens them; what hinders that is a finding unless the records explain it."""
    try:
        return open_dataset([file.path for file in scan.files], speakers), []
    except UserError as error:
        if any(finding.severity == PROBLEM for finding in known):
            return None, []
        return None, [problem("not-readable", 1, f"training would refuse these data: {error}")]


def _description(dataset: Optional[Dataset], kind: Kind) -> List[Finding]:
    """Findings where dataset.json says otherwise than the spectrograms."""
    findings = []
    if dataset is not None and dataset.normalised is not None and dataset.normalised != (kind.normalised == "bins"):
        findings.append(warning("description-differs", 1, f"dataset.json says normalised: {dataset.normalised}, "
                                f"but what is normalised is: {kind.normalised}"))
    if dataset is not None and dataset.scale not in (None, kind.scale):
        findings.append(warning("description-differs", 1, f"dataset.json says scale: {dataset.scale}, "
                                f"but the values look like: {kind.scale}"))
    return findings


def _pairs(exact: Sequence[np.ndarray], near: NearPairs) -> List[Tuple[int, int]]:
    return [(int(group[0]), int(other)) for group in exact for other in group[1:]] + near.pairs


def _duplicates(scan: Scan, exact: Sequence[np.ndarray], near: NearPairs) -> Tuple[np.ndarray, List[Finding]]:
    """Which records are equal to one of another speaker, and findings for all kinds of duplicates."""
    conflicting = np.zeros(len(scan.labels), dtype=bool)
    for group in exact:
        conflicting[group] = len(set(scan.labels[group].tolist())) > 1
    findings = []
    if exact:
        extra = np.concatenate([group[1:] for group in exact])
        findings.append(warning("exact-duplicates", extra.size, "spectrograms that are exact copies of "
                                f"others: {extra.size}; repair keeps one of each", scan.places(extra)))
    if near.pairs or not near.complete:
        seconds = np.array([second for _, second in near.pairs], dtype=np.int64)
        count = f"{seconds.size}" if near.complete else f"at least {seconds.size}"
        findings.append(warning("near-duplicates", seconds.size, "pairs of spectrograms that differ only by "
                                f"noise, loudness or up to 5 frames: {count}; repair keeps them", scan.places(seconds)))
    clashes = [pair for pair in _pairs(exact, near) if scan.labels[pair[0]] != scan.labels[pair[1]]]
    if clashes:
        findings.append(harmful_if_many("two-speakers-one-recording", len(clashes), len(scan.labels), "recordings that are there "
                                        f"under two speakers, so that one label is wrong: {len(clashes)}; repair leaves exact "
                                        "copies out", scan.places(np.array([second for _, second in clashes]))))
    return conflicting, findings
