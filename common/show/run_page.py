"""A run of `train` on one page, run.md, with its learning curves beside it; renewed while it trains.

    page = RunPage(folder, {"network": "tdnn, 1,700,000 parameters"}, config, {"identify": "python -m ..."})
    page.epoch()
    page.finish("test side, by epoch 22: top-1 95.0 %")
"""
from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, List, Mapping, Optional

from common.data.dataset import SIDES
from common.files import read_json, write_text
from common.show.learning_curves import draw_runs
from common.tables import table
from common.training.certificate import read_stretches
from common.training.checkpoint import load_epoch
from common.training.config import TrainingConfig
from common.training.run_folder import BEST, CURVES, PAGE, EpochRecord, read_log, run_data, say_once

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
        self._renew("The run goes on.")
        end = time.perf_counter()
        self._next = end + _SHARE * (end - start)

    def stopped(self) -> None:
        """Where the run was stopped, by whatever."""
        self._renew("The run was stopped, and can go on.")

    def finish(self, result: str, early: str = "") -> None:
        """At the end, with what the test side gave, and why it was before the last epoch, if it was."""
        self._renew("\n\n".join([f"**{result}**", *([f"The run was {early}"] if early else [])]))

    def _renew(self, result: str) -> None:
        """Whatever goes wrong here is told once, and ends no run: what counts are its checkpoints."""
        try:
            self._write(result)
        except Exception as error:
            say_once(f"{self._folder / PAGE} or its picture is not written: {error}")

    def _write(self, result: str) -> None:
        log, split = read_log(self._folder), self._folder / "split.json"
        sides = read_json(split, "split file") if split.exists() else None
        best = load_epoch(self._folder / BEST) if (self._folder / BEST).exists() else None
        if log:
            draw_runs([self._folder], self._folder / CURVES)
        write_text(self._folder / PAGE, "\n\n".join([
            f"# {self._config.network}, recipe {self._config.recipe}", _ABOUT, result,
            _table({**self._whole(log), **_left_out(sides)}),
            f"![loss and accuracy of every epoch]({CURVES})" if log else "", _epochs(log, best),
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


def _epochs(log: List[EpochRecord], best: Optional[int]) -> str:
    """The best epoch, as best.npz says which, and the last; the log may have lost a line."""
    if not log:
        return "No epoch is done yet."
    known = {record.epoch: record for record in log}
    rows = [[name, epoch, *(_figures(known[epoch]) if epoch in known else [])]
            for name, epoch in (("best", best), ("last", log[-1].epoch)) if epoch is not None]
    return table(rows, ["", "epoch", "training loss", "training top-1", "development top-1", "learning rate"], "github")


def _figures(record: EpochRecord) -> List[str]:
    return [f"{record.train_loss:.4f}", f"{100 * record.train_top1:.1f} %",
            "" if record.dev_top1 is None else f"{100 * record.dev_top1:.1f} %", f"{record.learning_rate:.2g}"]


def _table(values: Mapping[str, str]) -> str:
    return table(list(values.items()), ["", ""], "github")
