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
from common.data.values import label_hint, number_hint, what_is_bad
from common.doctor.duplicates import comparable
from common.doctor.report import Finding, problem, warning
from common.doctor.scan import RecordPlace, Scan
from common.errors import UserError
from common.prepare.features import LOG_FLOOR
from common.prepare.levels import MOST, SILENCE, SILENCE_DB

MAX_UNNAMED = 100_000  # labels allowed without a classes file; VoxCeleb2 has 6,112 speakers
# Of a Hamming window of 400 samples: its sum, the most that a bin is above a sample, and what the largest of 153,600
# bins of noise is above the noise's deviation: sqrt(400 * 0.397) for all bins alike, times sqrt(ln 153,600).
WINDOW_SUM, NOISE_PEAK = 216, 12.6 * 3.46
# Skewness of the magnitudes of stationary noise (Rayleigh's 0.631), and what it varies by in one record; of speech in
# 35 voices it was 1.9 to 7.6.
NOISE_SKEWNESS, NOISE_SPREAD = 0.63, 0.08
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
        tail = (RecordPlace(str(file.path), file.records, file.records * RECORD_BYTES),)
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
                                + label_hint(labels[broken[:1]], limit), scan.places(broken)))
    if outside.size:
        findings.append(problem("label-outside-classes", outside.size, f"labels outside 0..{limit - 1}: {outside.size} "
                                f"of {len(labels)}, the first is {labels[outside[0]]:.0f}; is classes.txt the one of "
                                "these files?", scan.places(outside)))
    return inside, findings


def check_values(scan: Scan) -> List[Finding]:
    """Findings for values that cannot be used, and for constant and mirrored spectrograms."""
    findings = []
    measures = scan.measures
    broken = np.flatnonzero(measures["not_finite"])
    if broken.size:
        findings.append(problem("not-finite", broken.size, f"records with NaN or infinity: {broken.size}, with "
                                f"{int(measures['not_finite'].sum())} such values; repair leaves them out"
                                + number_hint(scan.read(broken[0]).ravel()), _first_bad(scan, broken)))
    beyond = np.flatnonzero((measures["bad"] > 0) & (measures["not_finite"] == 0))
    if beyond.size:
        values = scan.read(beyond[0]).ravel()
        findings.append(problem("magnitude", beyond.size, "records with values of no sensible magnitude, which training "
                                f"refuses: {beyond.size}, in the first {measures['bad'][beyond[0]]} values that {what_is_bad(values)}; "
                                f"repair leaves them out{number_hint(values)}", _first_bad(scan, beyond)))
    vanishing = np.flatnonzero(measures["vanishing"])
    if vanishing.size:
        places = tuple(_at_value(place, int(np.flatnonzero((scan.read(record) != 0) & (np.square(scan.read(record)) == 0))[0]))
                       for place, record in zip(scan.places(vanishing), vanishing))
        findings.append(warning("vanishing-values", vanishing.size, "records with values so small that their square is 0 "
                                f"(below 4e-23, denormals among them): {vanishing.size}; a network takes them for 0, "
                                "slowly, and whoever wrote them may have meant something else", places))
    return findings + _marked(
        scan, ~comparable(scan) & (measures["bad"] == 0), "constant", "spectrograms of a single value (silence, or an error in "
        "preparing them): {}; repair leaves them out") + _marked(
        scan, measures["mirrored"], "mirrored", "spectrograms whose bins 257 to 511 repeat 255 to 1, as a 512-point FFT with its "
        "mirror image does (the paper's authors' released code): {}; half of such an input says nothing new")


def check_levels(scan: Scan, normalised: str, scale: str) -> List[Finding]:
    """Findings for records of silence and of samples far above full scale, by the thresholds of common.prepare.levels.

    By the largest magnitude of each. Normalised records do not tell how loud they were, but magnitudes of
    rounding noise are as little skewed as no speech is.
    """
    usable = comparable(scan)
    if normalised == "bins" and scale == "magnitude":
        return _marked(scan, usable & (np.abs(scan.measures["skewness"] - NOISE_SKEWNESS) < NOISE_SPREAD), "noise", "records that "
                       "are stationary noise and no speech, as silence is once its rounding noise is normalised: {}")
    if normalised != "none" or scale not in ("magnitude", "log"):
        return []
    largest = scan.measures["maximum"].astype(np.float64)
    if scale == "log":
        largest = np.exp(np.minimum(largest, 700))
    return _marked(
        scan, usable & (largest < NOISE_PEAK * SILENCE + LOG_FLOOR * (scale == "log")), "silent", "records no louder than the "
        f"rounding noise of 16-bit audio ({SILENCE_DB:.0f} dB of full scale), which a network learns as if it were a voice: "
        "{}") + _marked(
        scan, usable & (largest > WINDOW_SUM * MOST), "above-full-scale", f"records of samples above {MOST:g} times full "
        "scale, such as integers that were never divided by 32,768: {}")


def _marked(scan: Scan, records: np.ndarray, code: str, message: str) -> List[Finding]:
    """A warning of the records that bool (N,) marks, if there are any; {} in the message: how many."""
    found = np.flatnonzero(records)
    return [warning(code, found.size, message.format(found.size), scan.places(found))] if found.size else []


def _first_bad(scan: Scan, records: np.ndarray) -> Tuple[RecordPlace, ...]:
    return tuple(_at_value(place, int(first)) for place, first in zip(scan.places(records), scan.measures["first"][records]))


def _at_value(place: RecordPlace, value: int) -> RecordPlace:
    """The place of a value (counting from 0) in the record at `place`."""
    return RecordPlace(place.path, place.record, place.byte + 4 * (1 + value))


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
