"""What every engine says of one recording, and whether they agree.

    said = ask(engines, LOGITS, heard.spectrograms)
    rows(said, lambda logits: probabilities(logits, trained.temperature), trained.speakers)
    agreement(said)          # in words
"""
from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence

import numpy as np

from common.errors import UserError
from common.page.engines import Asked
from common.proof.crosscheck import CrossCheck

_BATCH = 16  # pieces at once; between two batches other visitors have their turn


@dataclass(frozen=True)
class Said:
    """By one engine: values float32 (pieces, values) and the seconds they took; or why it did not answer."""

    engine: str
    values: Optional[np.ndarray] = None
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Row:
    """A name with the number that each engine gives it, or None, and their mean."""

    name: str
    mean: float
    numbers: List[Optional[float]]


def ask(engines: Sequence[Asked], what: str, spectrograms: np.ndarray) -> List[Said]:
    """Ask one after the other, each about all of (pieces, 512, frames)."""
    return [_ask(engine, what, spectrograms) for engine in engines]


def first(engines: Sequence[Asked], what: str, spectrograms: np.ndarray) -> np.ndarray:
    """What the first engine says that answers: (pieces, values). Raises UserError if none does."""
    refused: List[Said] = []
    for engine in engines:
        said = _ask(engine, what, spectrograms)
        if not said.problem:
            return said.values
        refused.append(said)
    raise _none(refused)


def rows(said: Sequence[Said], measure: Callable[[np.ndarray], np.ndarray], names: Sequence[str]) -> List[Row]:
    """Highest mean first. Raises UserError if no engine answered.

    measure: an engine's values (pieces, values) to a number for each name, (names,)
    """
    numbers = [None if each.problem else measure(each.values) for each in said]
    there = [each for each in numbers if each is not None]
    if not there:
        raise _none(said)
    mean = np.mean(there, axis=0)
    return [Row(names[place], float(mean[place]), [None if each is None else float(each[place]) for each in numbers])
            for place in mean.argsort()[::-1]]


def agreement(said: Sequence[Said]) -> str:
    """Whether the logits of those that answered are the same but for rounding, in words; "" for fewer than two."""
    there = [each for each in said if not each.problem]
    if len(there) < 2:
        return ""
    names = f"{', '.join(each.engine for each in there[:-1])} and {there[-1].engine}"
    spread = float(np.ptp([each.values for each in there], axis=0).max())
    if all(CrossCheck.of(one.values, another.values).agrees for one, another in itertools.combinations(there, 2)):
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


def _none(said: Sequence[Said]) -> UserError:
    return UserError("; ".join(f"{each.engine} {each.problem}" for each in said))
