"""A run of `train` on one page, run.md, with its learning curves beside it; renewed while it trains.

    page = RunPage(folder, {"network": "tdnn, 1,700,000 parameters"}, config, {"identify": "python -m ..."})
    page.epoch()
    page.finish("test side, by epoch 22: top-1 95.0 %")
"""
from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any, List, Mapping, Optional

from common.data.dataset import SIDES
from common.files import read_json, write_text
from common.show.learning_curves import draw_runs
from common.tables import table
from common.training.certificate import read_stretches
from common.training.config import TrainingConfig
from common.training.metrics import as_good
from common.training.run_folder import CURVES, PAGE, EpochRecord, read_log, run_data

_ABOUT = ("A training run of a neural network that hears some seconds of speech and names who of its speakers is speaking; "
          "top-1 is the share of utterances that it names right. The run may have been stopped and gone on, and in either of "
          "two frameworks, TensorFlow and Caffe2: this page is about the whole of it.")
_SHARE = 20  # drawing may take a twentieth of the time: short epochs are not all drawn


class RunPage:
    """The page of the run in `folder`.

    summary: what is trained on what, the whole run through; commands: what to do with the model
    """

    def __init__(self, folder: Path, summary: Mapping[str, str], config: TrainingConfig, commands: Mapping[str, str]) -> None:
        self._folder, self._summary, self._config, self._commands = folder, summary, config, commands
        self._next = 0.0  # on the clock: when to draw again

    def epoch(self) -> None:
        """After an epoch: renew the page, unless that was done a moment ago."""
        start = time.perf_counter()
        if start < self._next:
            return
        self._write("The run goes on.")
        end = time.perf_counter()
        self._next = end + _SHARE * (end - start)

    def stopped(self) -> None:
        """Where the run was stopped, by whatever; that is to be told, and nothing that goes wrong here."""
        with contextlib.suppress(Exception):
            self._write("The run was stopped, and can go on.")

    def finish(self, result: str) -> None:
        """At the end, with what the test side gave."""
        self._write(f"**{result}**")

    def _write(self, result: str) -> None:
        log, split = read_log(self._folder), self._folder / "split.json"
        sides = read_json(split, "split file") if split.exists() else None
        if log:
            draw_runs([self._folder], self._folder / CURVES)
        write_text(self._folder / PAGE, "\n\n".join([
            f"# {self._config.network}, recipe {self._config.recipe}", _ABOUT, result,
            _table({**self._whole(log), **_left_out(sides)}), f"![loss and accuracy of every epoch]({CURVES})" if log else "", _epochs(log, len(sides["dev"]) if sides else 0),
            "## What to do with it\n\nFrom the project's folder:",
            "```\n" + "\n".join(self._commands.values()) + "\n```",
            "## Settings", _table({name: str(value) for name, value in dataclasses.asdict(self._config).items()}),
            "## Computed by", "A column for each stretch of the run in which anything of it changed.", _stretches(self._folder),
            "Files: best.npz is the best epoch (the latest whose accuracy on the development side is within a standard error "
            "of the highest: so few utterances cannot tell them apart), last.npz the place to go on from and "
            "previous.npz the one before it; log.jsonl has a line an epoch (train_loss is against smoothed targets where "
            "label_smoothing is not 0, dev_loss is plain cross entropy), split.json says which utterance is on which side, "
            "certificate.json what has to be equal for a comparison; events.out.tfevents.* are for TensorBoard."]) + "\n")

    def _whole(self, log: List[EpochRecord]) -> Mapping[str, str]:
        """What is true of the whole run; what its stretches are stands apart."""
        told = {**self._summary, "epochs": f"{log[-1].epoch if log else 0} of {self._config.epochs} done",
                "time": f"{sum(record.seconds for record in log) / 60:.1f} minutes of training in these epochs"}
        if (self._folder / "data.json").exists():
            told["data from"] = ", ".join(map(str, run_data(self._folder))) or "the embedded synthetic voices"
        return told


def _left_out(sides: Optional[Mapping[str, Any]]) -> Mapping[str, str]:
    """The utterances on no side, which --share left out."""
    rest = sides["records"] - sum(len(sides[side]) for side in SIDES) if sides else 0
    return {"left out": f"{rest} training utterances, by --share"} if rest else {}


def _stretches(folder: Path) -> str:
    """What computed, from which epoch on."""
    path = folder / "certificate.json"
    stretches = read_stretches(read_json(path, "certificate")) if path.exists() else ()
    shown = [each for each, before in zip(stretches, (None, *stretches)) if before is None or each.facts != before.facts]
    names = dict.fromkeys(name for each in shown for name in each.facts)
    return table([[name, *(each.facts.get(name, "") for each in shown)] for name in names],
                 ["", *(f"from epoch {each.epoch + 1}" for each in shown)], "github")


def _epochs(log: List[EpochRecord], dev: int) -> str:
    """The best epoch and the last; dev: utterances on the development side."""
    if not log:
        return "No epoch is done yet."
    top = max((record.dev_top1 for record in log if record.dev_top1 is not None), default=None)
    best = log[-1] if top is None else next(record for record in reversed(log) if as_good(record.dev_top1, top, dev))
    rows = [[name, record.epoch, f"{record.train_loss:.4f}", f"{100 * record.train_top1:.1f} %",
             "" if record.dev_top1 is None else f"{100 * record.dev_top1:.1f} %", f"{record.learning_rate:.2g}"]
            for name, record in (("best", best), ("last", log[-1]))]
    return table(rows, ["", "epoch", "training loss", "training top-1", "development top-1", "learning rate"], "github")


def _table(values: Mapping[str, str]) -> str:
    return table(list(values.items()), ["", ""], "github")
