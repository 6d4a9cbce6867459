"""Recordings as embeddings, and who of the enrolled speaks in them, or nobody.

    for answer in verify(engine, gallery, [Source("a.wav", Path("a.wav"))]):
        print(answer.recording, answer.error or answer.accepted or "nobody", answer.scores[0])

A recording's embedding is the mean of those of its pieces, each brought to length 1, and brought to length 1
again. Somebody is accepted where the score of the best voice, or of the one that is claimed, is at least the
gallery's threshold. Of many voices the best one passes by chance more often than a claimed one does.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, List, Optional, Tuple

import numpy as np

from common.errors import UserError
from common.identify.engines import Engine
from common.identify.pieces import Listening, Source, answers
from common.verify.gallery import Gallery, mean_direction


@dataclass(frozen=True)
class Score:
    """How much alike a recording and an enrolled voice are: a cosine."""

    voice: str
    score: float


@dataclass(frozen=True)
class Verification:
    """What is said of one recording; without scores where there is an `error`.

    scores:   of every voice, or of the one that is claimed, highest first
    decided:  whether there was a threshold to decide by
    accepted: the voice, or None for nobody of them
    """

    recording: str
    seconds: float
    scores: List[Score]
    decided: bool
    accepted: Optional[str]
    remarks: List[str]
    error: str


def embed(engine: Engine, sources: Iterable[Source]) -> Iterator[Tuple[Listening, np.ndarray]]:
    """Every recording in turn with its embedding, float32 (units,) of length 1; without one, (0,), where it has an error.

    Raises UserError for a model whose embedding has no direction.
    """
    for heard, pieces in answers(engine.embeddings, sources, engine.trained):  # (pieces, units)
        embedding = np.zeros(0, np.float32) if heard.error else mean_direction(pieces)
        if not heard.error and not 0.9 < np.linalg.norm(embedding) < 1.1:
            raise UserError(f"{heard.name}: the model's embedding of it is zero or no number: it is of no use for voices; "
                            "train it anew")
        yield heard, embedding


def verify(engine: Engine, gallery: Gallery, sources: Iterable[Source], claim: Optional[str] = None) -> Iterator[Verification]:
    """An answer for every recording in turn. claim: the voice it is said to be, which alone is compared.

    Raises UserError where nobody is enrolled, or not the claimed one.
    """
    if claim is not None:
        gallery.voice(claim)  # before the work, not after it
    elif not gallery.voices:
        raise UserError("nobody is enrolled in this gallery; begin with enroll")
    for heard, embedding in embed(engine, sources):
        scores = [] if heard.error else [Score(name, score) for name, score in gallery.scores(embedding, claim).items()]
        threshold = gallery.threshold
        passed = bool(scores and threshold and scores[0].score >= threshold.value)
        yield Verification(heard.name, round(heard.seconds, 3), scores, threshold is not None,
                     scores[0].voice if passed else None, heard.remarks, heard.error)
