"""The figures of a comparison as text, by name, with their units: what tables and CSV are made of.

    speed_figures(result, result.frameworks["caffe2"])["training, utterances/s"]

A figure that a contender does not have is an empty text.
"""
from __future__ import annotations

from typing import Dict, List, Optional

import numpy as np

from common.compare.comparison import FrameworkResult, NetworkResult
from common.compare.verdict import INVALID
from common.contenders import CONTENDERS, label
from common.speed.bench import (
    BACKWARD,
    END_TO_END,
    FED,
    FORWARD,
    INFERENCE,
    LATENCY,
    RESIDENT,
    TRAINING,
)
from common.speed.benchmark import Difference, Speed, time_difference
from common.speed.timing import Measured

Figures = Dict[str, str]

_WORK = {TRAINING: 3, INFERENCE: 1}  # multiply-accumulates of a step, by those of a forward pass
_CLOCKS = {RESIDENT: "", FED: ", fed", END_TO_END: ", end to end"}


def speed_figures(result: NetworkResult, own: Measured) -> Figures:
    """Utterances a second by every clock, and the share of the machine's limit."""
    limit = float(np.median(result.matmul_gflops)) * 1e9 / (2 * result.macs)  # utterances/s forward
    # Keras and the others do not tell how they compute a convolution.
    figures = {"engine": own.facts["engine"], "convolutions": own.facts.get("algorithm", "")}
    for kind in (TRAINING, INFERENCE):
        clocks = own.speeds.get(kind, {})
        for clock, words in _CLOCKS.items():
            figures[f"{kind}{words}, utterances/s"] = _rate(clocks.get(clock))
        median = clocks[RESIDENT].median if clocks else None
        figures[f"{kind}, share of matmul"] = \
            f"{100 * _WORK[kind] * median / limit:.0f} %" if median else ""
    return figures


def part_figures(own: Measured) -> Figures:
    """Where the time of a training step goes: each part by which the step's beginnings differ."""
    if BACKWARD not in own.speeds:
        return {}
    forward, backward, training = (own.speeds[kind][RESIDENT] for kind in (FORWARD, BACKWARD, TRAINING))
    whole = float(np.median(training.seconds))
    return {"forward": _part(Difference(*[float(np.median(forward.seconds))] * 3), whole),
            "backward": _part(time_difference(backward, forward), whole),
            "update": _part(time_difference(training, backward), whole)}


def process_figures(own: Measured) -> Figures:
    """Latency, start-up, memory, energy, and what disturbed the timed steps."""
    latency, training = (own.speeds.get(kind, {}).get(RESIDENT) for kind in (LATENCY, TRAINING))
    busy = training or own.speeds[INFERENCE][RESIDENT]
    return {
        **{f"latency of one utterance, p{percent}": "" if latency is None else
           f"{1000 * latency.percentile(percent):.1f} ms" for percent in (50, 90, 99)},
        "latency, calls": "" if latency is None else str(latency.steps),
        "process start to built network": f"{own.start_seconds:.1f} s",
        "first step": f"{own.first_step_seconds:.1f} s",
        "warm-up, steps": ", ".join(f"{kind} {steps}" + (", not settled" if kind in own.unsettled else "")
                                    for kind, steps in own.warm_up.items()),
        "threads": own.facts["threads"],
        "instructions": own.facts.get("instructions", ""),
        "peak memory": f"{own.peak_memory_mib:,.0f} MiB",
        "energy an utterance, training": _joules(training),
        "energy an utterance, inference": _joules(own.speeds[INFERENCE][RESIDENT]),
        "page faults a step, minor + major": f"{busy.minor_faults:,.0f} + {busy.major_faults:,.0f}",
        "involuntary context switches a step": f"{busy.involuntary_switches:,.0f}",
    }


def learning_figures(own: FrameworkResult) -> Figures:
    """The learning run, accuracy and the way through ONNX; nothing if there was no learning run."""
    if own.evaluation is None or own.crosscheck is None:
        return {}
    accuracy, epochs, check = own.evaluation, own.epochs, own.crosscheck
    from_files = np.median([epoch["utterances_per_second"] for epoch in epochs])
    return {
        "learning run, epochs": str(len(epochs)),
        "learning run, utterances/s": f"{from_files:.1f}",
        "learning run, last loss": f"{np.mean(epochs[-1]['losses']):.3f}",
        "test top-1": f"{100 * accuracy.top1:.1f} %",
        "test top-1, 95 % interval": f"{100 * accuracy.top1_low:.1f} to {100 * accuracy.top1_high:.1f} %",
        "test top-5": f"{100 * accuracy.top5:.1f} %",
        "ONNX Runtime, largest difference": f"{check.largest_difference:.1e}",
        "ONNX Runtime, same answer": f"{100 * check.same_answer:.1f} % of {check.utterances}",
    }


def ratio_rows(result: NetworkResult) -> List[List[str]]:
    """A row for each pair of contenders: training, inference, latency; none where a check failed."""
    if not result.valid:
        return []
    kinds = TRAINING, INFERENCE, LATENCY
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
        rows.append([name, *(found.get((a, b, kind), "") for kind in kinds)])
    return rows


def check_rows(result: NetworkResult) -> List[List[str]]:
    """A row for each check: what, of whom, found, allowed, whether it passed."""
    return [[check.what, check.names, check.found, f"{check.limit:g}",
             "passed" if check.passed else "FAILED"] for check in result.checks]


def heading(result: NetworkResult, name: str) -> str:
    """What a column or row of figures is called: where a check failed nobody shall take it for good."""
    return label(name) if result.valid else f"{INVALID} {label(name)}"


def all_figures(result: NetworkResult, own: Measured) -> Figures:
    """Every figure of one contender."""
    learned = learning_figures(own) if isinstance(own, FrameworkResult) else {}
    return {**speed_figures(result, own), **part_figures(own), **process_figures(own), **learned}


def _rate(speed: Optional[Speed]) -> str:
    return "" if speed is None else f"{speed.median:.2f} [{speed.low:.2f}, {speed.high:.2f}]"


def _part(part: Difference, whole: float) -> str:
    """Of `whole` seconds; a part that noise could have made up is not told."""
    if part.low <= 0:
        return "withheld: not to be told from noise" + (
            f", at most {1000 * part.high:,.0f} ms" if part.high > 0 else "")
    interval = "" if part.low == part.high else f" [{1000 * part.low:,.0f}, {1000 * part.high:,.0f}]"
    return f"{1000 * part.seconds:,.0f} ms{interval} ({100 * part.seconds / whole:.0f} %)"


def _joules(speed: Optional[Speed]) -> str:
    if speed is None:
        return ""
    return "not available" if speed.joules is None else f"{speed.joules:.2f} J"
