"""One check a function: lengths, classes, labels, values, balance.

    from common.doctor.checks import check_labels
"""
from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from common.data.classes import read_classes
from common.data.dataset import find_classes
from common.data.records import RECORD_BYTES
from common.doctor.duplicates import comparable
from common.doctor.report import Finding, problem, warning
from common.doctor.scan import Place, Scan
from common.errors import UserError

MAX_UNNAMED = 100_000  # labels allowed without a classes file; VoxCeleb2 has 6,112 speakers
IMBALANCE = 10  # the speaker with the most records has so many times those of the one with the fewest


def check_classes(folders: Sequence[Path]) -> Tuple[Optional[List[str]], List[Finding]]:
    """The names of the speakers, which every folder must agree about; None if there are none to trust."""
    found: Dict[Path, List[str]] = {}
    for folder in folders:
        path = find_classes(folder)
        if path is not None:
            try:
                found[path] = read_classes(path)
            except UserError as error:
                return None, [problem("classes-unreadable", 1, str(error))]
    if not found:
        return None, [warning("classes-missing", 1, f"{folders[0]}: no classes.txt, so labels cannot be checked "
                              "against the speakers; put it beside the record files")]
    names = list(found.values())
    if any(other != names[0] for other in names):
        return None, [problem("classes-differ", len(found), "the folders' classes files differ, so the same label "
                              f"means different speakers: {', '.join(map(str, found))}")]
    return names[0], []


def check_lengths(scan: Scan) -> List[Finding]:
    """Findings for files that do not hold a whole number of records."""
    findings = []
    for file in scan.files:
        tail = (Place(str(file.path), file.records, file.records * RECORD_BYTES),)
        if file.bytes == 0:
            findings.append(problem("empty-file", 1, f"{file.path}: the file is empty", tail))
        elif file.tail_bytes:
            what = f"it {file.looks_like}" if file.looks_like else "fetch it again or repair"
            findings.append(problem("truncated-tail", 1, f"{file.path}: the last record has only {file.tail_bytes} of "
                                    f"{RECORD_BYTES} bytes; {what}", tail))
    return findings


def check_labels(scan: Scan, speakers: Optional[Sequence[str]]) -> Tuple[np.ndarray, List[Finding]]:
    """(bool (N,): which labels are valid, findings for those that are not)."""
    labels = scan.labels
    limit = MAX_UNNAMED if speakers is None else len(speakers)
    with np.errstate(invalid="ignore"):
        whole = (labels == np.floor(labels)) & np.isfinite(labels)
        inside = whole & (labels >= 0) & (labels < limit)
    findings = []
    broken, outside = np.flatnonzero(~whole), np.flatnonzero(whole & ~inside)
    if broken.size:
        findings.append(problem("label-not-whole", broken.size, f"labels that are not whole numbers: {broken.size} of "
                                f"{len(labels)}, the first is {labels[broken[0]]}"
                                + _type_hint(labels[broken[:1]], limit), scan.places(broken)))
    if outside.size:
        findings.append(problem("label-outside-classes", outside.size, f"labels outside 0..{limit - 1}: {outside.size} "
                                f"of {len(labels)}, the first is {labels[outside[0]]:.0f}; is classes.txt the one of "
                                "these files?", scan.places(outside)))
    return inside, findings


def _type_hint(label: np.ndarray, limit: int) -> str:
    """What a label float32 (1,) may have been meant as, or an empty string."""
    for name, value in (("int32", label.view("<i4")[0]), ("big-endian float32", label.view(">f4")[0])):
        if 0 <= value < limit and value == int(value):
            return f" (read as {name} it is {int(value)}: the file was written with labels of that type)"
    return ""


def check_values(scan: Scan) -> List[Finding]:
    """Findings for values that are not finite, and for constant and mirrored spectrograms."""
    findings = []
    measures = scan.measures
    broken = np.flatnonzero(measures["not_finite"])
    if broken.size:
        places = tuple(Place(place.path, place.record, place.byte + 4 * (1 + int(first)))
                       for place, first in zip(scan.places(broken), measures["first_not_finite"][broken]))
        findings.append(problem("not-finite", broken.size, f"records with NaN or infinity: {broken.size}, with "
                                f"{int(measures['not_finite'].sum())} such values; repair leaves them out", places))
    constant = np.flatnonzero(~comparable(scan) & (measures["not_finite"] == 0))
    if constant.size:
        findings.append(warning("constant", constant.size, "spectrograms of a single value (silence, or an error in "
                                f"preparing them): {constant.size}; repair leaves them out", scan.places(constant)))
    mirrored = np.flatnonzero(measures["mirrored"])
    if mirrored.size:
        findings.append(warning("mirrored", mirrored.size, "spectrograms whose bins 257 to 511 repeat 255 to 1, as a "
                                "512-point FFT with its mirror image does (the paper's authors' released code): "
                                f"{mirrored.size}; half of such an input says nothing new", scan.places(mirrored)))
    return findings


def check_balance(counts: np.ndarray, speakers: Optional[Sequence[str]]) -> List[Finding]:
    """counts: int (labels,), the records of each speaker."""
    findings = []
    absent, present = np.flatnonzero(counts == 0), np.flatnonzero(counts)
    if speakers is not None and absent.size:
        findings.append(warning("speaker-without-records", absent.size, f"speakers without records: {absent.size} of "
                                f"{len(speakers)}, such as {speakers[absent[0]]}"))
    if present.size and counts.max() > IMBALANCE * counts[present].min():
        most, fewest = int(counts.argmax()), int(present[counts[present].argmin()])
        findings.append(warning("imbalance", 1, f"{speaker_name(speakers, most)} has {counts[most]} records, "
                                f"{speaker_name(speakers, fewest)} only {counts[fewest]}: accuracy will be that of the "
                                "frequent speakers"))
    return findings


def speaker_name(speakers: Optional[Sequence[str]], label: int) -> str:
    """The speaker's name, or the label itself without a classes file."""
    return str(label) if speakers is None else speakers[label]
