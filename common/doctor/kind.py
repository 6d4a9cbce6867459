"""How the spectrograms were made: normalised along which axis, which scale, which way round.

    from common.doctor.kind import check_kind
"""
from __future__ import annotations

from typing import List, NamedTuple, Tuple

import numpy as np

from common.data.form import NUM_BINS, NUM_FRAMES
from common.doctor.duplicates import comparable
from common.doctor.look import BINS, NONE, NORMALISATIONS
from common.doctor.report import Finding, problem, warning
from common.doctor.scan import Scan

# Skewness of all values: magnitudes of speech measured 1.9 to 7.6 (35 voices), their logarithms -1.6 to 1.5
# with median -0.4; magnitudes of stationary noise, the least skewed there are, have 0.63.
LOG_SKEWNESS = 0.6
# Difference of correlations, see `_transposed`. Measured on 217 segments of 12 voices, as magnitudes, as their
# logarithms and normalised: -1.09 to -0.21 in the right layout, 0.20 to 1.26 transposed.
_TURNED = 0.1


class Kind(NamedTuple):
    """What `HealthReport` says of them, and what is wrong with it."""

    normalised: str
    scale: str
    findings: List[Finding]


def check_kind(scan: Scan) -> Kind:
    """Judge the normalisation of every record and the scale of every file."""
    usable = np.flatnonzero(comparable(scan))
    if not usable.size:
        return Kind("unknown", "unknown", [])
    normalised, findings = _normalisation(scan, usable)
    files = np.repeat(np.arange(len(scan.files)), [file.records for file in scan.files])[usable]  # the number of each record's
    scales = {scan.files[file].path.name: _scale(scan.measures[usable[files == file]]) for file in np.unique(files)}
    scale = "mixed" if len(set(scales.values())) > 1 else next(iter(scales.values()))
    if scale == "mixed":
        stated = ", ".join(f"{file} {name}" for file, name in scales.items())
        findings.append(problem("mixed-scale", len(scales), f"the files differ in scale ({stated}); "
                                "prepare all alike"))
    if normalised not in ("unknown", "mixed", NORMALISATIONS[BINS]) and (normalised, scale) != (NORMALISATIONS[NONE], "log"):
        findings.append(warning("unusual-input", usable.size, f"normalisation found: {normalised}, of the {scale}; "
                                "training expects every bin normalised over time (the paper's) or the plain logarithm "
                                "(prepare --scale log --raw)"))
    return Kind(normalised, scale, findings)


def _normalisation(scan: Scan, usable: np.ndarray) -> Tuple[str, List[Finding]]:
    if _transposed(scan, usable):
        return "unknown", [problem("transposed", usable.size, "the values look like 300 frames x 512 bins (or were written "
                                   "column by column, as MATLAB does); the format wants 512 bins x 300 frames: transpose "
                                   "each spectrogram and write it again")]
    kinds = scan.measures["normalised"][usable]
    counts = np.bincount(kinds, minlength=len(NORMALISATIONS))
    main = int(counts.argmax())
    odd = usable[kinds != main]
    if odd.size:
        stated = ", ".join(f"{count} {name}" for name, count in zip(NORMALISATIONS, counts) if count)
        return "mixed", [problem("mixed-normalisation", odd.size, f"the records are not normalised alike ({stated}): a "
                                 "network learns who was prepared how; prepare all alike", scan.places(odd))]
    return NORMALISATIONS[main], []


def _scale(measures: np.ndarray) -> str:
    if (measures["normalised"] == NONE).mean() > 0.5:
        return "magnitude" if (measures["minimum"] >= 0).mean() > 0.5 else "log"
    return "magnitude" if np.median(measures["skewness"]) > LOG_SKEWNESS else "log"


def _transposed(scan: Scan, usable: np.ndarray) -> bool:
    """Whether most of a few records are smooth as frames x bins, and not as bins x frames.

    Neighbours along an axis resemble each other: windows overlap, and 1,024 points of a 25 ms window draw
    each peak over several bins. Steps of 512 values lead to such a neighbour in the one layout, of 300 in the other.
    """
    sample = [scan.read(record).ravel() for record in usable[::max(1, len(usable) // 16)]]
    return float(np.median([_resemblance(values, NUM_BINS) - _resemblance(values, NUM_FRAMES) for values in sample])
                 ) > _TURNED


def _resemblance(values: np.ndarray, step: int) -> float:
    """Correlation of the values (n,) with those so many places further."""
    return float(np.corrcoef(values[:-step], values[step:])[0, 1])
