"""The figures of a comparison as numbers, each with its unit in its name: what report.csv holds and tables show.

    numbers(result, "caffe2")["training_utterances_per_s"]

None where a figure was not measured or cannot be told from noise. Shares are from 0 to 1; low and high are
the slowest and fastest step of a rate, and the 95 % interval of everything else.
"""
from __future__ import annotations

from typing import Dict, Optional, Union

import numpy as np

from common.compare.results import WORK, FrameworkResult, NetworkResult
from common.compare.verdict import INVALID, heading
from common.speed.engine import BACKWARD, FORWARD, INFERENCE, LATENCY, TRAINING
from common.speed.blocks import Speed, time_difference
from common.speed.rounds import Measured
from common.twin import END_TO_END, FED, RESIDENT

Numbers = Dict[str, Union[str, float, None]]

SUFFIXES = {RESIDENT: "", FED: "_fed", END_TO_END: "_end_to_end"}
PERCENTILES = (50, 90, 99)


def numbers(result: NetworkResult, name: str) -> Numbers:
    """Every figure of one contender; the same names for all, in the same order."""
    own = result.contenders[name]
    return {"checks": "passed" if result.valid else INVALID, "network": result.network,
            "framework": heading(result, name), "parameters": result.parameters, "macs": result.macs,
            "matmul_gflop_per_s": float(np.median(result.matmul_gflops)),
            "engine": own.facts.get("engine"), "convolutions": _convolutions(own),
            **{fact: own.facts.get(fact) for fact in ("instructions", "threads")},
            **_rates(result, own), **_parts(own), **_process(own), **_learning(own)}


def _convolutions(own: Measured) -> Optional[str]:
    """How they are computed, and why so where that was chosen; Keras and the others do not tell."""
    algorithm, chosen = own.facts.get("algorithm"), own.facts.get("chosen")
    return f"{algorithm} ({chosen})" if chosen else algorithm


def _rates(result: NetworkResult, own: Measured) -> Numbers:
    """By every clock, and the share of the machine's limit."""
    found: Numbers = {}
    for kind in WORK:
        clocks = own.speeds.get(kind, {})
        for clock, suffix in SUFFIXES.items():
            found.update(_interval(f"{kind}{suffix}_utterances_per_s", clocks.get(clock), "median"))
        median = found[f"{kind}_utterances_per_s"]
        found[f"{kind}_share_of_matmul"] = None if median is None else median / result.attainable(kind)
    return found


def _parts(own: Measured) -> Numbers:
    """Where the time of a training step goes: each part by which the step's beginnings differ."""
    forward, backward, training = (own.speeds.get(kind, {}).get(RESIDENT) for kind in (FORWARD, BACKWARD, TRAINING))
    found: Numbers = {"training_step_s": _median(training), "forward_s": _median(forward)}
    for name, longer, shorter in (("backward_s", backward, forward), ("update_s", training, backward)):
        part = None if longer is None or shorter is None else time_difference(longer, shorter)
        found.update(_interval(name, part, "seconds"))
        if part is not None and part.low <= 0:  # noise could have made it up
            found[name] = None
    return found


def _process(own: Measured) -> Numbers:
    """Latency, start-up, memory, energy, and what disturbed the timed steps."""
    latency, training, inference = (own.speeds.get(kind, {}).get(RESIDENT) for kind in (LATENCY, TRAINING, INFERENCE))
    busy = training or inference
    return {
        **{f"latency_p{percent}_s": None if latency is None else latency.percentile(percent) for percent in PERCENTILES},
        "latency_calls": None if latency is None else latency.steps,
        "start_s": own.start_seconds, "first_step_s": own.first_step_seconds,
        **{f"warm_up_{kind}_steps": own.warm_up.get(kind) for kind in WORK},
        "unsettled": " ".join(own.unsettled) or None,
        "peak_memory_mib": own.peak_memory_mib,
        **{f"{kind}_joules_per_utterance": None if speed is None else speed.joules
           for kind, speed in ((TRAINING, training), (INFERENCE, inference))},
        **{f"{what}_per_step": None if busy is None else getattr(busy, what)
           for what in ("minor_faults", "major_faults", "involuntary_switches")}}


def _learning(own: Measured) -> Numbers:
    """The learning run, accuracy and the way through ONNX."""
    epochs = own.epochs if isinstance(own, FrameworkResult) else []
    accuracy, check = (getattr(own, name, None) for name in ("evaluation", "crosscheck"))
    return {
        "learning_epochs": len(epochs) or None,
        "learning_utterances_per_s": float(np.median([each.utterances_per_second for each in epochs])) if epochs else None,
        "learning_last_loss": epochs[-1].train_loss if epochs else None,
        **{f"test_{what}": getattr(accuracy, what, None) for what in ("utterances", "top1", "top1_low", "top1_high", "top5")},
        **{f"onnx_{what}": getattr(check, what, None) for what in ("largest_difference", "same_answer")}}


def _interval(column: str, of: object, middle: str) -> Numbers:
    return {f"{column}{suffix}": getattr(of, what, None)
            for suffix, what in (("", middle), ("_low", "low"), ("_high", "high"))}


def _median(speed: Optional[Speed]) -> Optional[float]:
    return None if speed is None else float(np.median(speed.seconds))
