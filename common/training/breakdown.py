"""What the accuracy of a trained network consists of: how much is heard, which speaker, which group, how sure it is.

    found = Breakdown.of(engine.logits, dataset, indices, logits, engine.trained.temperature, groups)
    print(found.text())

What is longer than a record is heard in pieces of one recording: the mean of their probabilities, as `identify` answers.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np

from common.data.dataset import Dataset
from common.data.form import NUM_FRAMES, SEGMENT_SAMPLES
from common.training import metrics

SHORT, LONG = (100, 200), (500, 800)  # frames, a hundred a second; a record has 300
_AT_ONCE = 32  # utterances
_DRAWS = 1000

Run = Callable[[np.ndarray], np.ndarray]  # spectrograms (N, 512, frames) -> logits (N, num_speakers)


@dataclass(frozen=True)
class Share:
    """How many of some utterances or recordings are named right."""

    correct: int
    total: int

    @classmethod
    def of(cls, logits: np.ndarray, speakers: np.ndarray) -> Share:
        return cls(int((metrics.ranks(logits, speakers) < 1).sum()), len(speakers))

    @property
    def value(self) -> float:
        return self.correct / self.total

    @property
    def interval(self) -> Sequence[float]:
        """95 % (Wilson)."""
        return metrics.wilson_interval(self.correct, self.total)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


@dataclass(frozen=True)
class Length:
    """Accuracy by so much speech."""

    heard: str
    of: str  # utterances or recordings
    share: Share
    beside: Share  # of the same ones, by one record each


@dataclass(frozen=True)
class Speaker:
    """Accuracy of one speaker's utterances."""

    name: str
    share: Share
    taken_for: str  # most often, "" for nobody
    times: int


@dataclass(frozen=True)
class Group:
    """Accuracy of the utterances of a group of speakers, such as one production."""

    name: str
    speakers: int
    share: Share  # every speaker is a possible answer
    within: Share  # the group's alone are
    wrong_inside: int  # wrong answers that name another of the group, where every speaker is possible


@dataclass(frozen=True)
class Calibration:
    """How far the probability of the answer is from its being right; lists are by bins that hold anything."""

    temperature: float
    error: float  # expected calibration error
    by_chance: float  # which it stays below in 95 % of draws where every probability is true
    probability: List[float]  # mean
    right: List[Share]


@dataclass(frozen=True)
class Breakdown:
    """All of it."""

    lengths: List[Length]
    speakers: List[Speaker]
    groups: List[Group]
    calibration: List[Calibration]  # as the network says, and by its temperature if it has one

    @classmethod
    def of(cls, run: Run, dataset: Dataset, indices: np.ndarray, logits: np.ndarray, temperature: Optional[float],
           groups: Dict[str, str]) -> Breakdown:
        """Of the records `indices` (N,), about which the network says `logits` (N, num_speakers).

        groups: of speakers by their names, see `by_group`
        """
        speakers = dataset.records.labels[indices]
        return cls(by_length(run, dataset, indices, logits, temperature), by_speaker(logits, speakers, dataset.speakers),
                   by_group(logits, speakers, dataset.speakers, groups),
                   [calibrate(logits, speakers, each) for each in (1.0, temperature) if each is not None])

    def text(self, style: str = "simple", most: Optional[int] = None) -> str:
        """Every table with what it is of; `style` is tabulate's, `most`: speakers that are listed, None for all."""
        from common.tables import table

        parts = [table([[each.heard, f"{each.share.total} {each.of}", each.share, each.beside] for each in self.lengths],
                       ["heard", "of", "top-1", "the same by 3 s"], style)]
        if self.groups:
            parts.append(table([_group_row(each) for each in self.groups], [
                "group", "speakers", "utterances", "top-1", "its speakers alone possible", "guessing",
                "wrong answers inside it"], style))
        parts.append(table([[f"temperature {each.temperature:.3g}", f"{100 * each.error:.1f} %", f"{100 * each.by_chance:.1f} %"]
                            for each in self.calibration],
                           ["probabilities", "expected calibration error", "true ones stay below"], style))
        parts.append(table([[each.name, each.share.total, each.share, each.taken_for and f"{each.taken_for} ({each.times})"]
                            for each in self.speakers[:most]],
                           ["speaker", "utterances", "top-1", "most often taken for"], style))
        return "\n\n".join([*parts, _LEGEND])


_LEGEND = """\
Intervals: 95 % (Wilson), as if utterances were independent. 1 and 2 s: the middle of each record, \
normalised as the record is. 5 and 8 s and whole recordings: probabilities at the model's temperature, averaged over the pieces \
of one recording by their frames, as `identify` answers, and beside it what the first piece alone gives; pieces overlap \
nowhere, and what is left of a recording after its last piece is not heard. True ones stay below: \
the error in 95 % of draws in which every answer is right with exactly the probability that is stated."""


def by_length(run: Run, dataset: Dataset, indices: np.ndarray, logits: np.ndarray, temperature: Optional[float]) -> List[Length]:
    """From one second to whole recordings, as far as it is known which records are of one."""
    speakers = dataset.records.labels[indices]
    records = Share.of(logits, speakers)
    found = [Length(f"{frames // 100} s", "utterances", Share.of(
        _cropped(run, dataset, indices, (NUM_FRAMES - frames) // 2, frames), speakers), records) for frames in SHORT]
    found.append(Length(f"{NUM_FRAMES // 100} s", "utterances", records, records))
    recordings = _recordings(dataset, indices)

    def heard(name: str, some: List[List[int]], means: np.ndarray) -> Length:
        firsts = [pieces[0] for pieces in some]
        return Length(name, "recordings", Share.of(means, speakers[firsts]), Share.of(logits[firsts], speakers[firsts]))

    for frames in LONG:
        whole, rest = divmod(frames, NUM_FRAMES)
        some = [pieces for pieces in recordings if len(pieces) > whole]
        if some:
            last = _cropped(run, dataset, indices[[pieces[whole] for pieces in some]], 0, rest)
            said = np.stack([*(logits[[pieces[number] for pieces in some]] for number in range(whole)), last], axis=1)
            found.append(heard(f"{frames // 100} s", some, metrics.probabilities(
                said, temperature, np.array([NUM_FRAMES] * whole + [rest]))))
    if recordings:
        found.append(heard("whole", recordings, np.array([
            metrics.probabilities(logits[pieces], temperature) for pieces in recordings])))
    return found


def by_speaker(logits: np.ndarray, speakers: np.ndarray, names: Sequence[str]) -> List[Speaker]:
    """Every speaker with utterances, the least recognised first."""
    confusion = metrics.confusion_matrix(logits, speakers)
    found = []
    for speaker in np.unique(speakers):
        share = Share.of(logits[speakers == speaker], speakers[speakers == speaker])
        others = np.where(np.arange(len(names)) == speaker, 0, confusion[speaker])
        times = int(others.max())
        found.append(Speaker(names[speaker], share, names[others.argmax()] if times else "", times))
    return sorted(found, key=lambda each: (each.share.value, each.name))


def by_group(logits: np.ndarray, speakers: np.ndarray, names: Sequence[str], groups: Dict[str, str]) -> List[Group]:
    """Every group of two speakers or more with utterances; groups: speaker -> group, who is in none is left out."""
    of_speaker = np.array([groups.get(name, "") for name in names])
    found = []
    for name in sorted(set(of_speaker) - {""}):
        members = of_speaker == name
        own = members[speakers]
        if members.sum() > 1 and own.any():
            wrong = logits[own].argmax(axis=1) != speakers[own]
            found.append(Group(str(name), int(members.sum()), Share.of(logits[own], speakers[own]),
                               Share.of(np.where(members, logits[own], -np.inf), speakers[own]),
                               int((wrong & members[logits[own].argmax(axis=1)]).sum())))
    return found


def calibrate(logits: np.ndarray, speakers: np.ndarray, temperature: float) -> Calibration:
    """Of the probabilities softmax(logits / temperature)."""
    from scipy.special import softmax

    scaled = logits.astype(np.float64) / temperature
    stated, right = softmax(scaled, axis=1).max(axis=1), metrics.ranks(logits, speakers) < 1
    counts, probabilities, hits = metrics.reliability(stated, right)
    random = np.random.default_rng(0)
    errors = [metrics.miscalibration(stated, random.random(len(stated)) < stated) for _ in range(_DRAWS)]
    there = counts > 0
    return Calibration(temperature, metrics.miscalibration(stated, right), float(np.quantile(errors, 0.95)),
                       (probabilities[there] / counts[there]).tolist(),
                       [Share(int(own), int(total)) for own, total in zip(hits[there], counts[there])])


def _cropped(run: Run, dataset: Dataset, indices: np.ndarray, start: int, frames: int) -> np.ndarray:
    """What the network says of a part of each record."""
    answers = []
    for first in range(0, len(indices), _AT_ONCE):
        spectrograms, _ = dataset.records.read(indices[first:first + _AT_ONCE])  # (B, 512, 300)
        answers.append(run(np.ascontiguousarray(spectrograms[:, :, start:start + frames])))
    return np.concatenate(answers)


def _recordings(dataset: Dataset, indices: np.ndarray) -> List[List[int]]:
    """Positions in `indices` of each recording's pieces, in their order, without those that overlap the one before."""
    if dataset.recordings is None or dataset.starts is None:
        return []
    names, starts = dataset.recordings[indices], dataset.starts[indices]
    found: Dict[str, List[int]] = {}
    for position in np.argsort(starts, kind="stable").tolist():
        pieces = found.setdefault(names[position], [])
        if not pieces or starts[position] - starts[pieces[-1]] >= SEGMENT_SAMPLES:
            pieces.append(position)
    return list(found.values())


def _group_row(each: Group) -> List[object]:
    return [each.name, each.speakers, each.share.total, each.share, each.within, f"{100 / each.speakers:.1f} %",
            f"{each.wrong_inside} of {each.share.total - each.share.correct}"]
