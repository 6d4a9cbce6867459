"""Who speaks in recordings, as far as a model knows voices; and the same as JSON or CSV.

    for answer in identify(engine, [Source("a.wav", Path("a.wav"))], top=3):
        print(answer.recording, answer.error or answer.speakers)

The probability of a speaker is the mean over a recording's pieces of softmax(logits / temperature). The
temperature is fitted on the development side (Guo et al. 2017, section 4.2); without one it is 1, and
the probabilities are of a network that is mostly too sure.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, List, Sequence

import numpy as np

from common.files import csv_text
from common.identify.engines import Engine
from common.identify.pieces import Source, answers
from common.training.metrics import probabilities
from common.training.trained import Trained
from common.typed import json_text


@dataclass(frozen=True)
class Hypothesis:
    """A speaker and how probable it is that he was heard."""

    speaker: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What is said of one recording; without speakers where there is an `error`."""

    recording: str
    seconds: float
    speakers: List[Hypothesis]  # the most probable first
    remarks: List[str]
    error: str


def identify(engine: Engine, sources: Iterable[Source], top: int) -> Iterator[Answer]:
    """An answer for every recording in turn, with its `top` most probable speakers. Raises UserError for a model's NaN."""
    names = engine.trained.speakers
    for heard, logits in answers(engine.logits, sources, engine.trained):
        best: List[Hypothesis] = []
        if not heard.error:
            shares = probabilities(logits, engine.trained.temperature)
            best = [Hypothesis(names[i], float(shares[i])) for i in np.argsort(-shares, kind="stable")[:top]]
        yield Answer(heard.name, round(heard.seconds, 3), best, heard.remarks, heard.error)


def about(trained: Trained) -> str:
    """What answers, and what its probabilities are worth, in a line."""
    voices = "SYNTHETIC voices" if trained.synthetic else "voices"
    calibrated = "not calibrated" if trained.temperature is None else \
        f"calibrated on its development side (temperature {trained.temperature:.3g})"
    return f"{trained.network} trained by {trained.trained_by}: {len(trained.speakers)} {voices}; probabilities are {calibrated}"


def as_json(engine: Engine, told: Sequence[Answer]) -> str:
    """All of it, for programs."""
    trained = engine.trained
    return json_text({
        "engine": engine.name if any(answer.speakers for answer in told) else None, "network": trained.network,
        "trained_by": trained.trained_by, "parameters": trained.parameters, "synthetic": trained.synthetic,
        "temperature": trained.temperature, "recordings": told})


def as_csv(told: Sequence[Answer]) -> str:
    """A row for each speaker of each recording, one without a speaker for a recording with an error."""
    rows: List[Sequence[object]] = [["recording", "seconds", "rank", "speaker", "probability", "remarks", "error"]]
    for answer in told:
        remarks = "; ".join(answer.remarks)
        for rank, candidate in enumerate(answer.speakers, start=1):
            rows.append([answer.recording, answer.seconds, rank, candidate.speaker, candidate.probability, remarks, ""])
        if answer.error:
            rows.append([answer.recording, answer.seconds, "", "", "", remarks, answer.error])
    return csv_text(rows)
