"""What an accuracy consists of, on cases small enough to count by hand."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import pytest
from scipy.special import softmax

from common.data.dataset import Dataset, open_dataset
from common.show.breakdown import draw_breakdown
from common.training import metrics
from common.training.breakdown import Breakdown, Calibration, Share, by_group, by_length, by_speaker, calibrate

NAMES = ("a", "b", "c", "d")


def sure(*answers: int) -> np.ndarray:
    """Logits (N, 4) that name these, by a little."""
    return np.eye(4)[list(answers)]


@pytest.fixture(scope="module")
def dataset(tiny_data: Path) -> Dataset:
    """The first seven records as if: three pieces of one recording in another order, two that overlap, two alone."""
    whole = open_dataset([tiny_data])
    recordings = np.array(["long"] * 3 + ["lap"] * 2 + ["x", "y"] + [f"r{i}" for i in range(7, len(whole.records))])
    starts = np.zeros(len(recordings), np.int64)
    starts[:5] = 48240, 0, 96480, 0, 24120
    return dataclasses.replace(whole, recordings=recordings, starts=starts)


def heard(dataset: Dataset) -> Tuple[List[Tuple[int, ...]], Dict[str, Tuple]]:
    """Shapes that the network is asked about, and by length (of, right by it, right by 3 s). All seven are speaker 0's.

    Records are named right but for the one that begins the long recording, which it takes for speaker 1 by little:
    three seconds of that outweigh two seconds by 1.3 times as much. Of two pieces that overlap one is heard.
    """
    asked = []

    def run(spectrograms: np.ndarray) -> np.ndarray:
        asked.append(spectrograms.shape)
        return 1.3 * sure(*[0 if spectrograms.shape[2] == 200 else 2] * len(spectrograms))

    fake = dataclasses.replace(dataset, records=Records())
    logits = 3 * sure(0, 0, 0, 0, 0, 0, 0)
    logits[1] = sure(1)
    return asked, {each.heard: (each.share.total, each.share.correct, each.beside.correct)
                   for each in by_length(run, fake, np.arange(7), logits, None)}


class Records:
    """Of speaker 0, each value of a frame is its number."""

    labels = np.zeros(7, np.int32)

    def read(self, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        return np.tile(np.arange(300, dtype=np.float32), (len(indices), 512, 1)), self.labels[indices]


def test_lengths_are_of_crops_and_of_pieces_that_follow_each_other(dataset: Dataset) -> None:
    asked, found = heard(dataset)
    assert asked == [(7, 512, 100), (7, 512, 200), (1, 512, 200), (1, 512, 200)], "1 s, 2 s, and the rests of 5 s and 8 s"
    assert found == {"1 s": (7, 0, 6), "2 s": (7, 7, 6), "3 s": (7, 6, 6), "5 s": (1, 0, 0), "8 s": (1, 1, 0),
                     "whole": (4, 4, 3)}


def test_without_sidecars_only_records_are_known(dataset: Dataset) -> None:
    bare = dataclasses.replace(dataset, records=Records(), recordings=None, starts=None)
    found = by_length(lambda some: sure(*[0] * len(some)), bare, np.arange(7), sure(*[0] * 7), 2.0)
    assert [each.heard for each in found] == ["1 s", "2 s", "3 s"]


def test_speakers_come_with_whom_they_are_taken_for() -> None:
    found = by_speaker(sure(0, 1, 1, 1, 3, 3), np.array([0, 0, 0, 1, 3, 3]), NAMES)
    assert [(each.name, each.share, each.taken_for, each.times) for each in found] == [
        ("a", Share(1, 3), "b", 2), ("b", Share(1, 1), "", 0), ("d", Share(2, 2), "", 0)]
    assert found[0].share.interval == metrics.wilson_interval(1, 3)


def test_within_a_group_its_speakers_alone_are_possible() -> None:
    """Of a and b: one is right, one taken for the other, one for c of another group, where a comes before b."""
    logits = np.array([[2, 1, 0, 0], [1, 2, 0, 0], [1, 0, 2, 0], [0, 0, 2, 1]], np.float64)
    speakers = np.array([0, 0, 0, 2])
    group, = by_group(logits, speakers, NAMES, {"a": "north", "b": "north", "c": "south"})
    assert (group.name, group.speakers, group.share, group.within, group.wrong_inside) == (
        "north", 2, Share(1, 3), Share(2, 3), 1), "a group of one has nothing to tell apart"


def drawn(temperature: float, total: int = 4000) -> Tuple[np.ndarray, np.ndarray]:
    """Logits, and speakers drawn by softmax(logits / temperature)."""
    random = np.random.default_rng(1)
    logits = random.normal(0, 3, (total, 4))
    bounds = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits, (random.random((total, 1)) > bounds).sum(axis=1)


def test_true_probabilities_err_no_more_than_chance_and_others_do() -> None:
    logits, speakers = drawn(2.0)
    true, sure_of_itself = calibrate(logits, speakers, 2.0), calibrate(logits, speakers, 1.0)
    assert true.error < true.by_chance < 0.04 < sure_of_itself.error and sure_of_itself.by_chance < 0.04
    assert true.error == pytest.approx(metrics.calibration_error(logits / 2, speakers))
    assert sum(share.total for share in true.right) == len(speakers) and len(true.right) == len(true.probability)
    assert all(low - 0.03 <= mean <= high + 0.03 for mean, (low, high) in zip(true.probability, (s.interval for s in true.right)))


def made() -> Breakdown:
    """With every part."""
    logits, speakers = drawn(2.0, 60)
    lengths = [dataclasses.replace(each) for each in by_length(
        lambda some: sure(*[0] * len(some)), Dataset(Records(), NAMES), np.arange(7), sure(*[0] * 7), 2.0)]
    return Breakdown(lengths, by_speaker(logits, speakers, NAMES),
                     by_group(logits, speakers, NAMES, {"a": "north", "b": "north", "c": "south", "d": "south"}),
                     [calibrate(logits, speakers, each) for each in (1.0, 2.0)])


def test_everything_is_told_and_drawn(tmp_path: Path) -> None:
    found = made()
    text = found.text("github")
    assert text.count("|---") >= 4 and "north" in text and "temperature 2 " in text and "7 utterances" in text
    assert found.text(most=1).count("\n") == found.text().count("\n") - 3
    for each in (found, dataclasses.replace(found, groups=[], calibration=found.calibration[:1])):
        assert draw_breakdown(each, "a network", tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    json.dumps(dataclasses.asdict(found), allow_nan=False)
    assert isinstance(found.calibration[0], Calibration)
