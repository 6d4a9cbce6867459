"""Recordings as the spectrograms that a model takes, and what an engine says of each, batch by batch.

    for heard, logits in answers(engine.logits, [Source("a.wav", Path("a.wav"))], engine.trained):
        print(heard.name, heard.error or logits.mean(axis=0))      # logits: (pieces, num_speakers)

A recording of any length and format is cut into pieces of 3.015 s, as training data are, the last of them
at its end, where it overlaps the one before; one that is shorter is one piece. Pieces in which nothing is
heard are left out. What hearing the end is worth is in results/verification.
"""
from __future__ import annotations

import contextlib
import math
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Callable, Dict, Iterable, Iterator, List, NamedTuple, Tuple

import numpy as np

from common.data.form import SAMPLE_RATE, SEGMENT_SAMPLES
from common.prepare.audio import Heard, read_blocks
from common.prepare.decoding import AudioError
from common.prepare.features import spectrogram
from common.prepare.levels import SILENCE_DB, is_silent
from common.training.trained import Trained

LEAST_SECONDS = 1.05  # the networks need 100 frames, and a frame is 25 ms long
_REST_SECONDS = 0.5   # what is left after the last whole piece stays unheard if it is shorter
_BATCH = 16           # pieces of one length that an engine gets at once
_WAITING = 64         # recordings and pieces that wait for others of their length

Run = Callable[[np.ndarray], np.ndarray]  # spectrograms (N, 512, frames) -> (N, values)


class Source(NamedTuple):
    """A recording: what it is called in what is said of it, and where it is."""

    name: str
    path: Path


@dataclass
class Listening:
    """What is known of a recording once its pieces have been taken.

    seconds: of sound
    silent:  pieces in which nothing is heard, of all `pieces`
    error:   why nothing can be said about it; "" if something can
    remarks: what else a person should know, such as that it is clipped
    """

    name: str
    seconds: float = 0.0
    pieces: int = 0
    silent: int = 0
    error: str = ""
    remarks: List[str] = field(default_factory=list)


def pieces(source: Source, trained: Trained, heard: Listening, most_seconds: float = math.inf) -> Iterator[np.ndarray]:
    """Spectrograms float32 (512, frames) as the model's training data were made, of the pieces that are heard.

    heard: is told what is found on the way
    Raises AudioError for a recording that cannot be read, is too short, longer than `most_seconds` or silent.
    """
    known = Heard()
    for samples in _cut(read_blocks(source.path, known)):
        heard.seconds = known.samples / SAMPLE_RATE
        if len(samples) < LEAST_SECONDS * SAMPLE_RATE:
            raise AudioError(source.path, f"too short: {heard.seconds:.2f} s of sound, and at least {LEAST_SECONDS} s are "
                             "needed to tell who speaks")
        if heard.seconds > most_seconds:
            raise AudioError(source.path, f"too long: more than {most_seconds:.0f} s of sound; choose a part of it")
        heard.pieces += 1
        if is_silent(samples):
            heard.silent += 1
        else:
            yield spectrogram(samples, normalise=trained.normalised is not False, scale=trained.scale or "magnitude")
    heard.seconds = known.samples / SAMPLE_RATE
    heard.remarks += known.remarks()
    if heard.silent == heard.pieces:
        raise AudioError(source.path, f"silent: nothing in it is louder than {SILENCE_DB:.0f} dB of full scale; check the "
                         "microphone or the file")
    if heard.silent:
        heard.remarks.append(f"{heard.silent} of its {heard.pieces} pieces are silent and left out")


def _cut(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Whole pieces, (48240,) each, and the last that are, where more than a little is left; of a recording without, all of it."""
    last = held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= SEGMENT_SAMPLES:
            last, held = np.split(held, [SEGMENT_SAMPLES])
            yield last
    if not len(last):
        yield held
    elif len(held) >= _REST_SECONDS * SAMPLE_RATE:
        yield np.concatenate([last, held])[-SEGMENT_SAMPLES:]


def answers(run: Run, sources: Iterable[Source], trained: Trained) -> Iterator[Tuple[Listening, np.ndarray]]:
    """Every recording in turn with what `run` says of its pieces, (pieces heard, values).

    One that cannot be used comes with its `error` and no pieces. Pieces of one length, of whatever recording,
    are run together; only a few are in memory at a time.
    """
    batches = _Batches(run)
    waiting: List[Tuple[Listening, List[np.ndarray]]] = []
    for source in sources:
        heard, rows = Listening(source.name), []
        try:
            for piece in pieces(source, trained, heard):
                batches.add(piece, rows)
        except AudioError as error:
            heard.error = error.problem
        waiting.append((heard, rows))
        if max(len(waiting), batches.held) >= _WAITING:
            yield from _finished(batches, waiting)
    yield from _finished(batches, waiting)


def _finished(batches: _Batches, waiting: List[Tuple[Listening, List[np.ndarray]]]
              ) -> Iterator[Tuple[Listening, np.ndarray]]:
    batches.flush()
    for heard, rows in waiting:
        yield heard, np.array([] if heard.error else rows, np.float32)
    waiting.clear()


class _Batches:
    """Pieces that wait until there are enough of their length."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: Dict[int, List[Tuple[np.ndarray, List[np.ndarray]]]] = {}  # frames -> pieces, rows for answers

    @property
    def held(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, piece: np.ndarray, rows: List[np.ndarray]) -> None:
        """rows: gets the answer to the piece (512, frames), once there is one"""
        some = self._waiting.setdefault(piece.shape[1], [])
        some.append((piece, rows))
        if len(some) == _BATCH:
            self._answer(some)

    def flush(self) -> None:
        for some in self._waiting.values():
            self._answer(some)

    def _answer(self, some: List[Tuple[np.ndarray, List[np.ndarray]]]) -> None:
        if some:
            for (_, rows), answer in zip(some, self._run(np.stack([piece for piece, _ in some]))):
                rows.append(answer)
        some.clear()


@contextlib.contextmanager
def kept(stream: IO[bytes], name: str) -> Iterator[Source]:
    """A recording that comes as a stream, such as standard input or an upload, as a file in memory for as long as needed."""
    with os.fdopen(os.memfd_create("recording"), "wb") as file:
        shutil.copyfileobj(stream, file)
        file.flush()
        yield Source(name, Path(f"/proc/self/fd/{file.fileno()}"))
