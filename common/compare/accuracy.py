"""Who recognises how many of the test utterances, and whether a difference is chance.

    result.paired = pair({"tensorflow": logits, "caffe2": others, CEPSTRAL: baseline}, speakers)
    print(told(report.results))       # the table of all networks, then the differences
"""
from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Mapping, Optional, Sequence

import numpy as np

from common.compare.verdict import heading
from common.contenders import label
from common.proof.disagreement import analyse, p_told
from common.tables import table
from common.training.evaluation import Evaluation

if TYPE_CHECKING:
    from common.compare.results import NetworkResult

CEPSTRAL = "cepstral baseline"  # of common.training.cepstral
_SHORT = "short run"  # a recipe of none of `train`'s


@dataclass(frozen=True)
class Paired:
    """Two recognisers on the same test utterances: frameworks, or `CEPSTRAL`."""

    first: str
    second: str
    only_first: int  # utterances that it alone is right about
    only_second: int
    difference: float  # of top-1, first - second
    low: float  # 95 % interval of it
    high: float
    p_value: float  # McNemar's exact test


def pair(logits: Mapping[str, np.ndarray], speakers: np.ndarray) -> List[Paired]:
    """Every recogniser with every other: logits (N, num_speakers) of each, and the right speakers (N,)."""
    found = [(first, second, analyse(logits[first], logits[second], speakers))
             for first, second in itertools.combinations(logits, 2)]
    return [Paired(first, second, each.only_a_right, each.only_b_right, each.difference, each.low, each.high, each.p_value)
            for first, second, each in found]


def told(results: Sequence[NetworkResult], style: str = "simple", width: Optional[int] = None) -> str:
    """The accuracy of all networks, and the differences of valid ones; nothing where nothing was learned.

    style, width: see `common.tables`
    """
    learned = [result for result in results if result.learning]
    if not learned:
        return ""
    rows = [row for result in learned for row in _rows(result)]
    cepstral = next((result.cepstral for result in learned if result.cepstral), None)
    if cepstral is not None:
        rows.append(["", CEPSTRAL, "", *_figures(cepstral), ""])
    parts = [table(rows, ["network", "framework", "recipe", "top-1", "95 % interval", "top-5", "test utterances", "epoch"],
                   style, width)]
    differences = [[result.network, *_difference(each)] for result in learned if result.valid for each in result.paired]
    if differences:
        parts.append(table(differences, ["network", "of whom", "difference of top-1, points", "right alone", "McNemar's p"],
                           style, width))
    return "\n\n".join([*parts, _NOTE])


_NOTE = ("Tested is the latest epoch whose development accuracy is within a standard error of the best, the last where there is "
         "no development side. "
         f"The {CEPSTRAL}: cepstral statistics and a linear discriminant, of the same training side (`compare.py baseline`). "
         "McNemar's p: how often chance alone parts those who are right alone so unevenly.")


def _rows(result: NetworkResult) -> List[List[str]]:
    return [[result.network, heading(result, name), result.recipe or _SHORT, *_figures(own.evaluation),
             f"{own.tested_epoch} of {result.learning.epochs}"]
            for name, own in result.frameworks.items() if own.evaluation]


def _figures(own: Evaluation) -> List[str]:
    return [f"{100 * own.top1:.1f} %", f"{100 * own.top1_low:.1f} to {100 * own.top1_high:.1f} %",
            "" if own.top5 is None else f"{100 * own.top5:.1f} %", str(own.utterances)]


def _difference(each: Paired) -> List[str]:
    return [f"{label(each.first)} / {label(each.second)}",
            f"{100 * each.difference:+.1f} [{100 * each.low:+.1f}, {100 * each.high:+.1f}]",
            f"{each.only_first} / {each.only_second}", p_told(each.p_value)]
