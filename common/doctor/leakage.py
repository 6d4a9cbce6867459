"""Leakage: the same recording on two sides of a split, by its name or by its sound.

    from common.doctor.leakage import check_leakage
"""
from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from common.data.dataset import SIDES, Dataset
from common.data.splits import load_split, shortcomings, split_dataset
from common.doctor.report import Finding, harmful_if_many, problem, warning
from common.doctor.scan import Scan
from common.errors import UserError


def check_leakage(dataset: Dataset, scan: Scan, split_path: Optional[Path],
                  duplicates: Sequence[Tuple[int, int]]) -> Tuple[str, List[Finding]]:
    """(which split was checked, findings). duplicates: pairs of record numbers that sound the same."""
    findings: List[Finding] = []
    if dataset.recordings is None:
        findings.append(warning("sidecars-missing", 1, "no sidecars name the recordings, so a split can only be "
                                "by record, and neighbouring segments of one recording may be on both sides"))
    try:
        split = split_dataset(dataset) if split_path is None else load_split(split_path, dataset)
    except UserError as error:
        return (str(split_path or "the default split"),
                findings + [problem("split-refused", 1, f"training would refuse this split: {error}")])
    findings += [warning(code, 1, message) for code, message in shortcomings(split, dataset.records.labels, dataset.speakers)]
    name = str(split_path) if split_path else f"the default split (seed {split.seed}, by {split.by})"
    side = np.full(len(dataset.records), -1)  # a stored split may leave records out
    for number, side_name in enumerate(SIDES):
        side[getattr(split, side_name)] = number
    across = [second for first, second in duplicates
              if side[first] != side[second] and min(side[first], side[second]) >= 0]
    if across:
        findings.append(harmful_if_many("duplicates-across-split", len(across), len(dataset.records), "recordings that sound the "
                                        f"same as one on another side of the split, where accuracy is then memory: {len(across)}",
                                        scan.places(np.array(across))))
    return name, findings
