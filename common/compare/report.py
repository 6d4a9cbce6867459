"""What a comparison found, as tables for the terminal, as Markdown, CSV and JSON, and read back from that.

    report = Report(date, machine, versions, data, settings, results)
    print(report.text())
    report.write(folder)
    assert read_report(folder) == report
"""
from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional

from common.compare import accuracy
from common.compare.comparison import PROBE_RATE, PROBE_STEPS
from common.compare.figures import (
    Figures,
    check_rows,
    learning_figures,
    part_figures,
    process_figures,
    ratio_rows,
    speed_figures,
)
from common.compare.numbers import Numbers, numbers
from common.compare.results import NetworkResult
from common.compare.verdict import heading, verdict
from common.contenders import label
from common.data.splits import MIXED
from common.errors import UserError
from common.files import read_json, write_json, write_text
from common.measured import told
from common.speed.engine import INFERENCE, TRAINING
from common.speed.blocks import TARGET
from common.tables import table
from common.training.certificate import differing_facts, same_facts
from common.twin import RESIDENT
from common.typed import plain, typed

VERSION = 2  # of report.json: another where one of before can no longer be read; a field that is added has a default
_END_TO_END = 0.02  # the share of speed that reading may cost

_LEGEND = """\
Speeds are of utterances of 3.015 s: median [slowest, fastest step]. Input: resident with the framework; \
fed from NumPy each step; end to end from shuffled record files through each framework's own queue. \
Share of matmul: of what the quickest matrix product of the machine would allow, measured between the rounds; \
it is of the direct form's multiply-accumulates, of which Winograd convolutions need a half to a quarter: so it can \
exceed 100 %. \
Ratios: of speeds (of one call's, for latency), 95 % interval over whole rounds; more rounds are made until those \
of training and inference are known to {target:.0f} %, or time is up. \
Own convolutions: all of the framework's own operators, none of ours. \
Forward, backward, update: by what a step's beginnings differ, round by round, 95 % interval. \
Warm-up: steps until three took the same time; not settled: until patience ended. \
Latency: one utterance from NumPy to logits. Page faults and context switches: of timed training steps, or of \
inference where nothing is trained. \
Checks against ONNX Runtime: on the timed batch, after the timed steps, the logits of each, by the steps that were timed, against one \
export's, all with the same parameters{learned}.""".replace("{target:.0f}", f"{100 * TARGET:.0f}")
_HELD_OUT = {"official": "part of the official split", MIXED: "sessions, or recordings for speakers with a single session"}
_LEARNED = "; on the test utterances, after the learning run, each framework's own export against its native logits"


@dataclass(frozen=True)
class Report:
    """Everything a reader needs to judge the numbers."""

    date: str
    machine: Dict[str, str]
    versions: Dict[str, str]
    data: Dict[str, Any]  # name, synthetic, by, speakers, train, dev, test, fingerprint
    settings: Dict[str, Any]
    results: List[NetworkResult]

    def text(self, style: str = "simple") -> str:
        """The verdict, then all tables with their notes; `style` is tabulate's ("simple", "github")."""
        sections = [section(result, style) for result in self.results]
        parts = ["\n".join(verdict(self.results)), accuracy.told(self.results, style), self.notes(), *sections]
        return "\n\n".join(part for part in parts if part) + "\n"

    def notes(self) -> str:
        """What was run on what, and what the figures mean."""
        learned = _LEARNED if self._learned else ""
        return "\n\n".join([self._head(), self._about_data(), _LEGEND.replace("{learned}", learned)])

    @property
    def _learned(self) -> bool:
        return any(result.learning for result in self.results)

    def write(self, folder: Path) -> None:
        """report.md, report.csv and report.json in `folder`."""
        write_text(folder / "report.md", "# TensorFlow and Caffe2, who is speaking?\n\n"
                   + self.text("github"))
        write_text(folder / "report.csv", self.csv_text())
        write_json(folder / "report.json", self.stored(), sort=False)

    def stored(self) -> Dict[str, Any]:
        """As JSON has it: its version, the verdict beside the results, and no ratio or difference of wrong numbers."""
        report = plain(self)
        for result, values in zip(self.results, report["results"]):
            values["valid"] = result.valid
            if not result.valid:
                values["ratios"] = values["end_to_end"] = values["paired"] = []
        return {"version": VERSION, "verdict": verdict(self.results), **report}

    def _head(self) -> str:
        facts = (self.machine, self.versions, self.settings)
        return "\n".join([self.date, *map(told, facts)])

    def _about_data(self) -> str:
        data = self.data
        say_nothing = ", which say nothing about people" if self._learned else ""
        kind = f"SYNTHETIC voices (espeak-ng){say_nothing}" if data["synthetic"] else "voices"
        side = _HELD_OUT.get(data["by"], f"{data['by']}s")
        about = f"Accuracy is on held-out {side}" if self._learned else "Data"
        return (f"{about}: {data['speakers']} {kind}, {data['train']} training, {data['dev']} development, "
                f"{data['test']} test utterances")

    def csv_text(self) -> str:
        """One row a contender and network; units in the columns' names."""
        rows = [numbers(result, name) for result in self.results for name in result.contenders]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def read_report(path: Path) -> Report:
    """The report.json of a comparison, given itself or its folder. Raises UserError."""
    path = path / "report.json" if path.is_dir() else path
    stored = read_json(path, "report of compare.py")
    refusal = (f"{path}: this is not a report of compare.py; name the folder or the report.json that a comparison "
               "wrote")
    if not isinstance(stored, dict) or not isinstance(stored.get("results"), list) or not stored["results"]:
        raise UserError(refusal)
    version = stored.pop("version", None)
    if version != VERSION:
        said = "states no version" if version is None else f"is of version {ascii(version)[:20]}"
        raise UserError(f"{path}: this report {said}; version {VERSION} can be read here: run the comparison again")
    # What follows from the rest is for those who read the file without this code.
    stored.pop("verdict", None)
    stored["results"] = [{name: value for name, value in result.items() if name != "valid"}
                         if isinstance(result, dict) else result for result in stored["results"]]
    return typed(Report, stored, refusal)


def section(result: NetworkResult, style: str = "simple", width: Optional[int] = None) -> str:
    """Everything about one network: who is faster, then tables, each followed by what it comes to.

    style, width: see `common.tables`
    """
    matmuls = ", ".join(f"{label(name)} {gflops:.0f}" for name, gflops in result.matmuls.items())
    parts = [f"{result.network}: {result.parameters:,} parameters, {result.macs / 1e6:,.0f} million "
             f"multiply-accumulates an utterance. Matrix product, GFLOP/s: {matmuls}"]
    ratios = ratio_rows(result)
    if ratios:
        parts += [table(ratios, ["times as fast", "training", "inference", "latency"], style, width), _noise(result)]
    parts += [_table(result, result.contenders, speed_figures, style, width), *_shares(result)]
    for figures, names in ((part_figures, result.frameworks), (process_figures, result.contenders),
                           (learning_figures, result.frameworks)):
        figured = _table(result, names, figures, style, width)
        if figured:
            parts.append(figured)
    parts.append(_learning(result))
    parts.append(table(check_rows(result), ["check", "of", "found", "allowed below", "verdict"], style, width))
    return "\n\n".join([*parts, _comparable(result)])


def _table(result: NetworkResult, contenders: Iterable[str], figures: Callable[[Numbers], Figures],
           style: str, width: Optional[int]) -> str:
    """A row for each figure that anybody has, a column for each contender."""
    columns = [figures(numbers(result, name)) for name in contenders]
    names = [name for name in dict.fromkeys(name for column in columns for name in column)
             if any(column.get(name) for column in columns)]
    if not names:
        return ""
    rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
    return table(rows, ["", *(heading(result, name) for name in contenders)], style, width)


def _noise(result: NetworkResult) -> str:
    """How many rounds were made, whether they sufficed, and who had not settled before them."""
    first = next(iter(result.frameworks.values()))
    rounds = ", ".join(f"{kind} {first.speeds[kind][RESIDENT].blocks}" for kind in (TRAINING, INFERENCE))
    wide = [each for each in result.ratios if each.kind in (TRAINING, INFERENCE) and not each.ratio.known]
    told = f"every ratio of both is known to {100 * TARGET:.0f} %."
    if wide:
        each = max(wide, key=lambda each: each.ratio.error)
        told = (f"then time was up. NOISY: {len(wide)} ratios of both are not known to {100 * TARGET:.0f} %, least "
                f"{each.kind} of {label(each.first)} / {label(each.second)}"
                + (f" ({100 * each.ratio.error:.0f} %)." if each.ratio.error < 1 else "."))
    late = [f"{label(name)} ({', '.join(own.unsettled)})" for name, own in result.contenders.items()
            if own.unsettled]
    settled = f"\nWarm-up had not settled when they began: {'; '.join(late)}." if late else ""
    return f"Rounds: {rounds}; {told}{settled}"


def _learning(result: NetworkResult) -> str:
    """How the frameworks learned."""
    config = result.learning
    if config is None:
        return f"{result.network}: no learning run; --epochs N asks for one of N epochs."
    crops = "whole utterances" if config.crop_frames is None else f"crops of {config.crop_frames} frames"
    recipe = "" if result.recipe is None else f" by the recipe {result.recipe}"
    return (f"Learning run{recipe}: {config.epochs} epochs of {crops} in batches of {config.batch_size}, learning rate "
            f"{config.learning_rate:g} to {config.final_learning_rate:g} ({config.schedule}), from the first "
            "parameters; tested on whole utterances.")


def _shares(result: NetworkResult) -> List[str]:
    """What reading from files costs, against the target; nothing where a check failed."""
    lines = []
    if not result.valid:
        return lines
    for each in result.end_to_end:
        share = each.ratio
        if not share.told:
            lines.append(f"{label(each.first)}, {each.kind} end to end: {share}.")
            continue
        reached = "reached" if share.low >= 1 - _END_TO_END else \
            "not told from noise" if share.high >= 1 - _END_TO_END else "MISSED"
        lines.append(f"{label(each.first)}, {each.kind} end to end: {100 * share.ratio:.1f} % of resident "
                     f"[{100 * share.low:.1f}, {100 * share.high:.1f}]; within {100 * _END_TO_END:.0f} %: "
                     f"{reached}.")
    return ["\n".join(lines)] if lines else []


def _comparable(result: NetworkResult) -> str:
    """Whether the frameworks' columns may be compared, and how far their learning runs went apart."""
    if result.differences is None:
        return f"{result.network}: one framework only, nothing to compare"
    if result.differences:
        return (f"{result.network}: NOT COMPARABLE, the two runs differ in "
                + differing_facts(result.differences))
    text = (f"{'Comparable: same' if result.valid else 'The same were'} {same_facts()}.\n"
            f"Loss over the first {PROBE_STEPS} steps at a rate of {PROBE_RATE:g} differs by at most "
            f"{result.loss_difference:.1e} of itself.")
    if result.agreement is None:
        return text
    return (f"{text}\nIn the learning run rounding grows with every step: {result.drift:.1e} of the "
            f"loss by step {PROBE_STEPS}; after it both name the same speaker for "
            f"{100 * result.agreement:.1f} % of the test utterances.")
