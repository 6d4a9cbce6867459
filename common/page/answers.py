"""What every engine says of one recording, and whether they agree.

    said = ask(engines, LOGITS, heard.spectrograms)
    ranking(said, trained.speakers)
    agreement(said)          # in words
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence

import numpy as np

from common.errors import UserError
from common.page.engines import Asked
from common.proof.crosscheck import TOLERANCE
from common.training.metrics import softmax

_BATCH = 16  # pieces at once; between two batches other visitors have their turn
_TOP = 5


@dataclass(frozen=True)
class Said:
    """By one engine: values float32 (pieces, values) and the seconds they took; or why it did not answer."""

    engine: str
    values: Optional[np.ndarray] = None
    seconds: float = 0.0
    problem: str = ""

    @property
    def probabilities(self) -> np.ndarray:
        """Of each speaker, the mean over all pieces: (num_speakers,). To be asked of logits that are there."""
        return softmax(self.values).mean(axis=0)


@dataclass(frozen=True)
class Row:
    """A speaker's probabilities: the mean of the engines, and each engine's or None."""

    speaker: str
    mean: float
    shares: List[Optional[float]]


def ask(engines: Sequence[Asked], what: str, spectrograms: np.ndarray) -> List[Said]:
    """Ask one after the other, each about all of (pieces, 512, frames)."""
    return [_ask(engine, what, spectrograms) for engine in engines]


def ranking(said: Sequence[Said], speakers: Sequence[str]) -> List[Row]:
    """The likeliest speakers, by the mean of the engines that answered. Raises UserError if none did."""
    shares = [None if each.problem else each.probabilities for each in said]
    there = [each for each in shares if each is not None]
    if not there:
        raise UserError("; ".join(f"{each.engine} {each.problem}" for each in said))
    mean = np.mean(there, axis=0)
    return [Row(speakers[label], float(mean[label]), [None if each is None else float(each[label]) for each in shares])
            for label in mean.argsort()[::-1][:_TOP]]


def agreement(said: Sequence[Said]) -> str:
    """Whether the logits of those that answered are the same but for rounding, in words; "" for fewer than two."""
    there = [each for each in said if not each.problem]
    if len(there) < 2:
        return ""
    names = f"{', '.join(each.engine for each in there[:-1])} and {there[-1].engine}"
    spread = float(np.ptp([each.values for each in there], axis=0).max())
    if spread <= TOLERANCE:
        return f"{names} agree: their logits differ by at most {spread:.1e}, which is rounding."
    return f"{names} do not agree: their logits differ by up to {spread:.2g}, which is more than rounding."


def _ask(engine: Asked, what: str, spectrograms: np.ndarray) -> Said:
    values, seconds = [], 0.0
    try:
        for start in range(0, len(spectrograms), _BATCH):
            some, taken = engine.ask(what, spectrograms[start:start + _BATCH])
            values.append(some)
            seconds += taken
    except UserError as error:
        return Said(engine.name, problem=str(error))
    return Said(engine.name, np.concatenate(values), seconds)
