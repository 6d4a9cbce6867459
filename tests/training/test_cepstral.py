"""The cepstral baseline: its features by hand, what it learns, and its predictions beside others'."""
from __future__ import annotations

import csv
import json
import math
import warnings
from pathlib import Path
from typing import List

import numpy as np
import pytest
from commands import run, succeed
from tiny_data import SPEAKERS

from common.data.dataset import open_dataset
from common.data.splits import split_dataset
from common.errors import UserError
from common.proof.stored import Prediction, compare_answers, read_answers, sign_flip_p
from common.training import cepstral


def test_features_are_statistics_of_cosine_transforms() -> None:
    spectrograms = np.random.default_rng(0).standard_normal((2, 512, 9)).astype(np.float32)
    angles = np.pi * np.outer(np.arange(cepstral.COEFFICIENTS), np.arange(512) + 0.5) / 512
    basis = np.cos(angles) * np.where(np.arange(cepstral.COEFFICIENTS) == 0, math.sqrt(1 / 512), math.sqrt(2 / 512))[:, None]
    cepstra = np.einsum("cb,nbf->ncf", basis, spectrograms)
    expected = [cepstra.mean(2), cepstra.std(2), (cepstra[:, :, 1:] - cepstra[:, :, :-1]).std(2)]
    np.testing.assert_allclose(cepstral.features(spectrograms), np.concatenate(expected, axis=1), atol=1e-9)


def test_it_learns_and_never_scores_what_it_trained_on(tiny_data: Path, tmp_path: Path) -> None:
    output = succeed("compare.py", "baseline", tiny_data, "--out", tmp_path / "out")
    assert "trained on 24 utterances of" in output and "synthetic voices: test side of the split by session, seed 0" in output
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert figures["utterances"] == 12 and figures["top1"] > 0.8
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    dataset = open_dataset([tiny_data])
    assert [int(row["record"]) for row in rows] == split_dataset(dataset, 0).test.tolist()
    assert {row["speaker"] for row in rows} == set(SPEAKERS)
    assert figures["top1"] == sum(row["speaker"] == row["predicted"] for row in rows) / 12


def test_a_speaker_it_never_met_is_never_its_answer(tiny_data: Path) -> None:
    dataset = open_dataset([tiny_data])
    labels = dataset.records.labels
    logits = cepstral.fit(dataset, np.flatnonzero(labels != 1)).logits(dataset, np.arange(len(labels)))
    assert logits.shape == (len(labels), 4) and np.isfinite(logits).all()
    assert 1 not in logits.argmax(axis=1)


def test_speakers_of_a_single_utterance_are_learned_without_a_librarys_words(tiny_data: Path) -> None:
    dataset = open_dataset([tiny_data])
    labels = dataset.records.labels
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cepstral.fit(dataset, np.append(np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)[:1]))


@pytest.mark.parametrize("chosen", [[0], [0, 1, 2]])
def test_too_few_to_learn_from(tiny_data: Path, chosen: list) -> None:
    dataset = open_dataset([tiny_data])
    with pytest.raises(UserError, match="too few"):
        cepstral.fit(dataset, np.flatnonzero(dataset.records.labels == 0)[chosen])


def predictions(path: Path, answers: str) -> Path:
    """Ten records of speaker a, and who each was taken for."""
    path.write_text("record,speaker,predicted,logit\n" + "".join(f"{i},a,{who},0.5\n" for i, who in enumerate(answers)))
    return path


def test_stored_predictions_are_compared_by_their_answers(tmp_path: Path) -> None:
    first, second = predictions(tmp_path / "a.csv", "aaaaaaaaab"), predictions(tmp_path / "b.csv", "bbbbbbbbab")
    output = succeed("compare.py", "predictions", first, second)
    assert "10 utterances: both right 1, only the first 8, only the second 0, both wrong 1" in output
    assert "McNemar's p: 0.008" in output and "the first is right more often than chance explains" in output
    assert "the same answers throughout" in succeed("compare.py", "predictions", first, first)
    done = run("compare.py", "predictions", first, second, "--data", tmp_path)
    assert done.returncode == 2 and "stored predictions are compared as they are" in done.stderr


def test_pairs_of_stored_predictions_are_pooled_by_speaker(tmp_path: Path) -> None:
    """Eight utterances of one speaker on one side are one vote, in however many pairs."""
    pair = [predictions(tmp_path / "a.csv", "aaaaaaaaab"), predictions(tmp_path / "b.csv", "bbbbbbbbab")]
    output = succeed("compare.py", "predictions", *pair, *pair)
    assert "2 pairs together, of 20 answers: only the first right 16, only the second 0" in output
    assert output.endswith("the second ahead on 0 speakers, behind on 1; signs by chance, speaker by speaker: p 1.000\n")
    assert "pairs together" not in succeed("compare.py", "predictions", *pair)
    for count in (1, 3):
        done = run("compare.py", "predictions", *(2 * pair)[:count])
        assert done.returncode == 2 and "two models are compared, or pairs of stored predictions" in done.stderr


@pytest.mark.parametrize("sums, share", [([], 1), ([3], 1), ([1, 1, 1], 2 / 8), ([2, 1], 2 / 4), ([2, -1], 1), ([4, 1, 1, -1], 8 / 16)])
def test_the_probability_of_signs_is_exact(sums: List[int], share: float) -> None:
    assert sign_flip_p(sums) == share


def test_predictions_of_other_records_or_damaged_are_refused(tmp_path: Path) -> None:
    a = read_answers(predictions(tmp_path / "a.csv", "aab"))
    assert a[2] == Prediction("a", "b")
    with pytest.raises(UserError, match="not about the same records"):
        compare_answers(a, read_answers(predictions(tmp_path / "b.csv", "aa")), "a", "b")
    for text in ("record,speaker\n1,a\n", "record,speaker,predicted\n1,a,b\n1,a,b\n", "", "record,speaker,predicted\nx,a,b\n"):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(UserError, match="bad.csv: (line|no predictions)"):
            read_answers(tmp_path / "bad.csv")
