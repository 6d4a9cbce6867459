"""What a comparison found, as tables for the terminal, as Markdown, CSV and JSON.

    report = Report(machine, about, data, results)
    print(report.text())
    report.write(folder)
"""
from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from tabulate import tabulate

from common.compare.benchmark import Speed
from common.compare.comparison import PROBE_RATE, PROBE_STEPS, FrameworkResult, NetworkResult
from common.files import write_json, write_text
from common.training.certificate import differing_facts, same_facts

NAMES = {"tensorflow": "TensorFlow", "caffe2": "Caffe2"}
_PARITY = 1e-3  # relative loss difference over the first steps that rounding explains, with room

_LEGEND = ("Speeds of training and inference: input resident, utterances of 3.015 s, median [slowest, "
           "fastest step]; matmul: what NumPy's matrix product, measured between the blocks, would "
           "allow (over 100 % where its BLAS lacks kernels for the widest vectors). "
           "Learning run: from the record files, with its crops. ONNX Runtime: the framework's own "
           "export against its native logits on the test utterances.")


@dataclass(frozen=True)
class Report:
    """Everything a reader needs to judge the numbers."""

    date: str
    machine: Dict[str, str]
    versions: Dict[str, str]
    data: Dict[str, Any]  # name, synthetic, speakers, train, dev, test, by
    settings: Dict[str, Any]
    results: List[NetworkResult]

    def text(self, style: str = "simple") -> str:
        """All tables with their notes; `style` is tabulate's ("simple", "github")."""
        parts = [self._head(), self._about_data(), _LEGEND]
        for result in self.results:
            parts += [f"{result.network}: {result.parameters:,} parameters, {result.macs / 1e6:,.0f} "
                      "million multiply-accumulates an utterance",
                      _side_by_side(result, style), _verdict(result)]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """report.md, report.csv and report.json in `folder`."""
        write_text(folder / "report.md", "# TensorFlow and Caffe2, who is speaking?\n\n"
                   + self.text("github"))
        write_text(folder / "report.csv", self._csv())
        write_json(folder / "report.json", dataclasses.asdict(self))

    def _head(self) -> str:
        facts = (self.machine, self.versions, self.settings)
        return "\n".join([self.date, *("; ".join(f"{name} {value}" for name, value in each.items())
                                       for each in facts)])

    def _about_data(self) -> str:
        data = self.data
        kind = "SYNTHETIC voices (espeak-ng), which say nothing about people" \
            if data["synthetic"] else "voices"
        side = "part of the official split" if data["by"] == "official" else f"{data['by']}s"
        return (f"Accuracy is on held-out {side}: {data['speakers']} {kind}, {data['train']} "
                f"training, {data['dev']} development, {data['test']} test utterances")

    def _csv(self) -> str:
        rows = [{"network": result.network, "framework": NAMES[name],
                 "parameters": str(result.parameters), "macs": str(result.macs),
                 **_column(result, own)} for result in self.results
                for name, own in result.frameworks.items()]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _side_by_side(result: NetworkResult, style: str) -> str:
    """A row for each figure, a column for each framework."""
    columns = [_column(result, own) for own in result.frameworks.values()]
    rows = [[figure, *(column[figure] for column in columns)] for figure in columns[0]]
    # As text: numbers are formatted where their meaning is known.
    return tabulate(rows, headers=["", *(NAMES[name] for name in result.frameworks)],
                    tablefmt=style, disable_numparse=True)


def _verdict(result: NetworkResult) -> str:
    """Whether the two columns may be compared, and what they say of each other."""
    if result.differences is None:
        return f"{result.network}: one framework only, nothing to compare"
    a, b = (NAMES[name] for name in result.frameworks)
    if result.differences:
        return (f"{result.network}: NOT COMPARABLE, the two runs differ in "
                + differing_facts(result.differences))
    close = "the same to rounding" if result.loss_difference < _PARITY else "NOT THE SAME"
    return (f"{a} / {b}, ratio of speeds [95 % interval]: training {result.training_ratio}; "
            f"inference {result.inference_ratio}.\n"
            f"Comparable: same {same_facts()}.\n"
            f"Loss over the first {PROBE_STEPS} steps at a rate of {PROBE_RATE:g} differs by at most "
            f"{result.loss_difference:.1e} of itself: {close}.\n"
            f"In the learning run rounding grows with every step: {result.drift:.1e} of the loss by "
            f"step {PROBE_STEPS}; after it both name the same speaker for "
            f"{100 * result.agreement:.1f} % of the test utterances.")


def _column(result: NetworkResult, own: FrameworkResult) -> Dict[str, str]:
    """Every figure of one framework on one network, by its name, with its unit."""
    limit = float(np.median(result.matmul_gflops)) * 1e9 / (2 * result.macs)  # utterances/s
    accuracy, epochs, check = own.evaluation, own.epochs, own.crosscheck
    from_files = np.median([epoch["utterances_per_second"] for epoch in epochs])
    return {
        "engine": own.facts["engine"],
        "training, utterances/s": _rate(own.training),
        "training, share of matmul": f"{300 * own.training.median / limit:.0f} %",
        "inference, utterances/s": _rate(own.inference),
        "inference, share of matmul": f"{100 * own.inference.median / limit:.0f} %",
        "first step": f"{own.first_step_seconds:.1f} s",
        "peak memory": f"{own.peak_memory_mib:,.0f} MiB",
        "learning run, epochs": str(len(epochs)),
        "learning run, utterances/s": f"{from_files:.1f}",
        "learning run, last loss": f"{np.mean(epochs[-1]['losses']):.3f}",
        "test top-1": f"{100 * accuracy.top1:.1f} %",
        "test top-1, 95 % interval": f"{100 * accuracy.top1_low:.1f} to {100 * accuracy.top1_high:.1f} %",
        "test top-5": f"{100 * accuracy.top5:.1f} %",
        "ONNX Runtime, largest difference": f"{check.largest_difference:.1e}",
        "ONNX Runtime, same answer": f"{100 * check.same_answer:.1f} % of {check.utterances}",
        "ONNX Runtime, verdict": "agrees" if check.passed else "DISAGREES",
    }


def _rate(speed: Speed) -> str:
    return f"{speed.median:.2f} [{speed.low:.2f}, {speed.high:.2f}]"
