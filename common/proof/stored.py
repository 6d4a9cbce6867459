"""Two stored predictions.csv, of any recogniser: where their answers differ, and whether that is chance.

    write_answers(Path("a/predictions.csv"), indices, speakers, names, logits)
    a, b = read_answers(Path("a/predictions.csv")), read_answers(Path("b/predictions.csv"))
    print(told(compare_answers(a, b, "a", "b"), "a", "b"))
    print(pooled([(a, b), (c, d)]))
"""
from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Counter as Counts
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from common.errors import UserError
from common.files import csv_text, read_text, write_text
from common.proof.disagreement import Disagreement, analyse, p_told


class Prediction(NamedTuple):
    """What was said about one record."""

    speaker: str  # the right one
    predicted: str


Answers = Dict[int, Prediction]  # by number of the record


def write_answers(path: Path, indices: np.ndarray, speakers: np.ndarray, names: Sequence[str], logits: np.ndarray) -> None:
    """The answers to the records `indices` (n,) of `speakers` (n,), from logits (n, num_speakers), as CSV."""
    write_text(path, csv_text([["record", "speaker", "predicted", "logit"], *(
        [index, names[speaker], names[own.argmax()], float(own.max())]
        for index, speaker, own in zip(indices.tolist(), speakers.tolist(), logits))], line_end="\r\n"))


def read_answers(path: Path) -> Answers:
    """What `write_answers` wrote. Raises UserError that names the line."""
    rows = csv.DictReader(io.StringIO(read_text(path, "file of predictions"), newline=""))
    answers: Answers = {}
    try:
        for row in rows:
            record = int(row["record"])
            if record in answers or not row["speaker"] or not row["predicted"]:
                raise ValueError("a record twice, or without a name")
            answers[record] = Prediction(row["speaker"], row["predicted"])
    except (csv.Error, KeyError, TypeError, ValueError):
        raise UserError(f"{path}: line {rows.line_num} is not record,speaker,predicted,logit with a record of its own; give "
                        "a predictions.csv that evaluate --out, baseline --out or a comparison has written") from None
    if not answers:
        raise UserError(f"{path}: no predictions in it")
    return answers


def compare_answers(a: Answers, b: Answers, name_a: str, name_b: str) -> Disagreement:
    """Of its fields only those that answers decide mean anything: logits are not stored.

    Raises UserError where they are not about the same records of the same speakers.
    """
    records = sorted(a)
    if records != sorted(b) or any(a[record].speaker != b[record].speaker for record in records):
        raise UserError(f"{name_a} and {name_b} are not about the same records; evaluate both on the same side of the same "
                        "split: --split FILE")
    names = sorted({name for answers in (a, b) for answer in answers.values() for name in answer})
    chosen = [np.eye(len(names))[[names.index(answers[record].predicted) for record in records]] for answers in (a, b)]
    return analyse(*chosen, np.array([names.index(a[record].speaker) for record in records]))


def told(result: Disagreement, name_a: str, name_b: str) -> str:
    """The counts, McNemar's test and a verdict, in words."""
    verdict = result.verdict if result.disputes else "the same answers throughout"
    return "\n".join([f"first: {name_a}\nsecond: {name_b}", result.counts, f"verdict: {verdict}"])


def pooled(pairs: Sequence[Tuple[Answers, Answers]]) -> str:
    """What several pairs come to together, in words: of each the first against the second.

    Pairs share voices, and maybe utterances, so what they differ by is added up by speaker, and tested by giving every
    speaker's sum a sign by chance. That the trainings of a pair differ by chance, too, is in none of it.
    """
    alone: List[int] = [0, 0]
    by_speaker: Counts[str] = Counter()
    for pair in pairs:
        for record, answer in pair[0].items():
            first, second = (answers[record].predicted == answer.speaker for answers in pair)
            if first != second:
                alone[second] += 1
                by_speaker[answer.speaker] += 1 if second else -1
    sums = [number for number in by_speaker.values() if number]
    return (f"{len(pairs)} pairs together, of {sum(len(a) for a, _ in pairs)} answers: only the first right {alone[0]}, only the "
            f"second {alone[1]}\nthe second ahead on {sum(each > 0 for each in sums)} speakers, behind on "
            f"{sum(each < 0 for each in sums)}; signs by chance, speaker by speaker: p {p_told(sign_flip_p(sums))}")


def sign_flip_p(sums: Sequence[int]) -> float:
    """How probable it is that these with signs by chance add up to as much or more, to either side; exact."""
    shares = {0: 1.0}
    for number in sums:
        shares = {total: (shares.get(total - number, 0.0) + shares.get(total + number, 0.0)) / 2
                  for total in {known + sign for known in shares for sign in (number, -number)}}
    return sum(share for total, share in shares.items() if abs(total) >= abs(sum(sums)))
