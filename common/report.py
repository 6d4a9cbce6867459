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

from common.comparison import PARITY_STEPS, FrameworkResult, NetworkResult
from common.files import write_json, write_text

NAMES = {"tensorflow": "TensorFlow", "caffe2": "Caffe2"}
_PARITY = 1e-3  # relative loss difference over the first steps that rounding explains, with room


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
        parts = [self._head(), "Speed: utterances of 3.015 s per second, median [slowest, fastest "
                 "step]; input resident; share: of what the machine's matrix product would allow"
                 "\n\n" + self._table(_speed_row, style),
                 "Accuracy on held-out " + self._held_out() + "\n\n"
                 + self._table(_accuracy_row, style),
                 "Through ONNX: each framework's own export in ONNX Runtime, against its native "
                 "logits\n\n" + self._table(_onnx_row, style)]
        parts += [self._side_by_side(result) for result in self.results]
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

    def _held_out(self) -> str:
        data = self.data
        kind = "SYNTHETIC voices (espeak-ng), which say nothing about people" \
            if data["synthetic"] else "voices"
        side = "part of the official split" if data["by"] == "official" else f"{data['by']}s"
        return (f"{side}: {data['speakers']} {kind}, {data['train']} training, "
                f"{data['dev']} development, {data['test']} test utterances")

    def _table(self, row: Any, style: str) -> str:
        rows = [row(result, name, own) for result in self.results
                for name, own in result.frameworks.items()]
        # As text: numbers are formatted where their meaning is known.
        return tabulate(rows, headers="keys", tablefmt=style, disable_numparse=True,
                        stralign="right")

    def _side_by_side(self, result: NetworkResult) -> str:
        if result.differences is None:
            return f"{result.network}: one framework only, nothing to compare"
        a, b = (NAMES[name] for name in result.frameworks)
        if result.differences:
            differing = "; ".join(f"{fact}: {values[0]} against {values[1]}"
                                  for fact, values in result.differences.items())
            return f"{result.network}: NOT COMPARABLE, the two runs differ in {differing}"
        close = "the same to rounding" if result.loss_difference < _PARITY else "NOT THE SAME"
        return (f"{result.network}: {a} / {b} speed ratio [95 % interval]: "
                f"training {result.training_ratio}, inference {result.inference_ratio}.\n"
                f"  Comparable: same specification, initial parameters, data, order, crops, "
                f"optimiser, schedule, batch size, precision, device kind, threads.\n"
                f"  Loss over the first {PARITY_STEPS} steps differs by at most "
                f"{result.loss_difference:.1e} of itself: {close}. After training both name the "
                f"same speaker for {100 * result.agreement:.1f} % of the test utterances.")

    def _csv(self) -> str:
        rows = [{**_speed_row(result, name, own), **_accuracy_row(result, name, own),
                 **_onnx_row(result, name, own)} for result in self.results
                for name, own in result.frameworks.items()]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _speed_row(result: NetworkResult, name: str, own: FrameworkResult) -> Dict[str, str]:
    limit = float(np.median(result.matmul_gflops)) * 1e9 / (2 * result.macs)  # utterances/s
    return {
        "network": result.network, "framework": NAMES[name], "engine": own.facts["engine"],
        "training": _rate(own.training),
        "training share": f"{300 * own.training.median / limit:.0f} %",
        "inference": _rate(own.inference),
        "inference share": f"{100 * own.inference.median / limit:.0f} %",
        "first step": f"{own.first_step_seconds:.1f} s",
        "peak memory": f"{own.peak_memory_mib:,.0f} MiB",
        "parameters": f"{result.parameters:,}", "MMAC": f"{result.macs / 1e6:,.0f}",
    }


def _rate(speed: Any) -> str:
    return f"{speed.median:.2f} [{speed.low:.2f}, {speed.high:.2f}]"


def _accuracy_row(result: NetworkResult, name: str, own: FrameworkResult) -> Dict[str, str]:
    accuracy, epochs = own.evaluation, own.epochs
    return {
        "network": result.network, "framework": NAMES[name], "epochs": str(len(epochs)),
        "top-1": f"{100 * accuracy.top1:.1f} %",
        "95 % interval": f"{100 * accuracy.top1_low:.1f} to {100 * accuracy.top1_high:.1f} %",
        "top-5": f"{100 * accuracy.top5:.1f} %",
        "last loss": f"{np.mean(epochs[-1]['losses']):.3f}",
        "end to end": f"{np.median([e['utterances_per_second'] for e in epochs]):.1f} utterances/s",
    }


def _onnx_row(result: NetworkResult, name: str, own: FrameworkResult) -> Dict[str, str]:
    check = own.crosscheck
    return {
        "network": result.network, "framework": NAMES[name],
        "largest difference": f"{check.largest_difference:.1e}",
        "largest logit": f"{check.logit_scale:.1f}",
        "same answer": f"{100 * check.same_answer:.1f} % of {check.utterances}",
        "verdict": "agrees" if check.passed else "DISAGREES",
    }
