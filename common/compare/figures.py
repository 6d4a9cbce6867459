"""The numbers of a comparison as people read them, by name, with their units: what tables are made of.

    speed_figures(numbers(result, "caffe2"))["training, utterances/s"]

A figure that a contender does not have is an empty text.
"""
from __future__ import annotations

from typing import Dict, List, Optional, Union

from common.compare.numbers import PERCENTILES, SUFFIXES, Numbers
from common.compare.results import NetworkResult
from common.contenders import CONTENDERS, label
from common.speed.engine import INFERENCE, LATENCY, TRAINING

Figures = Dict[str, str]

_KINDS = TRAINING, INFERENCE
_SPREAD = "{:.2f} [{:.2f}, {:.2f}]"


def speed_figures(own: Numbers) -> Figures:
    """Utterances a second by every clock, and the share of the machine's limit."""
    figures = {name: _told("{}", own[name]) for name in ("engine", "convolutions")}
    for kind in _KINDS:
        for suffix in SUFFIXES.values():
            words = f", {suffix[1:].replace('_', ' ')}" if suffix else ""
            column = f"{kind}{suffix}_utterances_per_s"
            figures[f"{kind}{words}, utterances/s"] = _told(_SPREAD, *_bounded(own, column))
        figures[f"{kind}, share of matmul"] = _percent(own[f"{kind}_share_of_matmul"], 0)
    return figures


def part_figures(own: Numbers) -> Figures:
    """Where the time of a training step goes."""
    return {"forward": _part(own, "forward"), "backward": _part(own, "backward"), "update": _part(own, "update")}


def process_figures(own: Numbers) -> Figures:
    """Latency, start-up, memory, energy, and what disturbed the timed steps."""
    unsettled = (own["unsettled"] or "").split()
    warm_up = [f"{kind} {own[f'warm_up_{kind}_steps']}" + (", not settled" if kind in unsettled else "")
               for kind in _KINDS if own[f"warm_up_{kind}_steps"] is not None]
    return {
        **{f"latency of one utterance, p{percent}": _milliseconds(own[f"latency_p{percent}_s"]) for percent in PERCENTILES},
        "latency, calls": _told("{}", own["latency_calls"]),
        "process start to built network": _told("{:.1f} s", own["start_s"]),
        "first step": _told("{:.1f} s", own["first_step_s"]),
        "warm-up, steps": ", ".join(warm_up),
        "threads": _told("{}", own["threads"]),
        "instructions": _told("{}", own["instructions"]),
        "peak memory": _told("{:,.0f} MiB", own["peak_memory_mib"]),
        **{f"energy an utterance, {kind}": _energy(own, kind) for kind in _KINDS},
        "page faults a step, minor + major": _told("{:,.0f} + {:,.0f}", own["minor_faults_per_step"],
                                                   own["major_faults_per_step"]),
        "involuntary context switches a step": _told("{:,.0f}", own["involuntary_switches_per_step"])}


def learning_figures(own: Numbers) -> Figures:
    """The learning run, accuracy and the way through ONNX."""
    return {
        "learning run, epochs": _told("{}", own["learning_epochs"]),
        "learning run, utterances/s": _told("{:.1f}", own["learning_utterances_per_s"]),
        "learning run, last loss": _told("{:.3f}", own["learning_last_loss"]),
        "test top-1": _percent(own["test_top1"]),
        "test top-1, 95 % interval": _told("{:.1f} to {}", _hundredfold(own["test_top1_low"]), _percent(own["test_top1_high"])),
        "test top-5": _percent(own["test_top5"]),
        "ONNX Runtime, largest difference": _told("{:.1e}", own["onnx_largest_difference"]),
        "ONNX Runtime, same answer": _told("{} of {}", _percent(own["onnx_same_answer"]), own["test_utterances"])}


def ratio_rows(result: NetworkResult) -> List[List[str]]:
    """A row for each pair of contenders: training, inference, latency; none where a check failed."""
    if not result.valid:
        return []
    own = {name: CONTENDERS[name].own_of for name in result.baselines}
    found = {(each.first, each.second, each.kind): str(each.ratio) for each in result.ratios}
    pairs = dict.fromkeys((each.first, each.second) for each in result.ratios)
    rows = []
    for a, b in pairs:
        if own.get(a) and own.get(b):
            name = f"own convolutions: {label(own[a])} / {label(own[b])}"
        elif own.get(b) == a:
            name = f"{label(a)} / its own convolutions"
        else:
            name = f"{label(a)} / {label(b)}"
        rows.append([name, *(found.get((a, b, kind), "") for kind in (*_KINDS, LATENCY))])
    return rows


def check_rows(result: NetworkResult) -> List[List[str]]:
    """A row for each check: what, of whom, found, allowed, whether it passed."""
    return [[check.what, check.names, check.found, f"{check.limit:g}",
             "passed" if check.passed else "FAILED"] for check in result.checks]


def _told(words: str, *values: Union[str, float, None]) -> str:
    """The values as `words` format them; nothing where one is not known."""
    return "" if None in values or "" in values else words.format(*values)


def _bounded(own: Numbers, column: str) -> List[Optional[float]]:
    return [own[f"{column}{suffix}"] for suffix in ("", "_low", "_high")]


def _hundredfold(share: Optional[float]) -> Optional[float]:
    return None if share is None else 100 * share


def _percent(share: Optional[float], digits: int = 1) -> str:
    return "" if share is None else f"{100 * share:.{digits}f} %"


def _milliseconds(seconds: Optional[float]) -> str:
    return _told("{:.1f} ms", None if seconds is None else 1000 * seconds)


def _part(own: Numbers, part: str) -> str:
    """Of a training step; a part that noise could have made up is not told."""
    seconds, low, high = (own.get(f"{part}_s{suffix}") for suffix in ("", "_low", "_high"))
    if seconds is None:
        return "" if high is None else "withheld: not to be told from noise" + (
            f", at most {1000 * high:,.0f} ms" if high > 0 else "")
    interval = "" if low == high else f" [{1000 * low:,.0f}, {1000 * high:,.0f}]"
    return f"{1000 * seconds:,.0f} ms{interval} ({100 * seconds / own['training_step_s']:.0f} %)"


def _energy(own: Numbers, kind: str) -> str:
    if own[f"{kind}_utterances_per_s"] is None:
        return ""
    joules = own[f"{kind}_joules_per_utterance"]
    return "not available" if joules is None else f"{joules:.2f} J"
