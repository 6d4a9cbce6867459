"""One recording twice, under two speakers, or on two sides of a split."""
from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from damage import PER_FILE, codes, copy_record, examine, finding, healthy, make_folder, places, smooth

from common.data.dataset import open_dataset, sidecar_path
from common.data.records import RECORD_BYTES
from common.data.splits import save_split, split_dataset
from common.doctor import duplicates


def test_exact_duplicates_of_one_speaker(data: Path, capsys: pytest.CaptureFixture) -> None:
    copy_record(data, 0, 3)
    _, report = examine(capsys, data)
    assert report["exact_duplicate_groups"] == 1 and report["near_duplicate_pairs"] == 0
    assert places(report, "exact-duplicates") == [("part-2.bin", 3, 3 * RECORD_BYTES)]
    assert "two-speakers-one-recording" not in codes(report)


@pytest.mark.parametrize("change", [
    lambda x: x + 0.1 * np.random.default_rng(9).standard_normal(x.shape),
    lambda x: 0.5 * x,
    lambda x: np.roll(x, 1, axis=1),
], ids=["noise", "loudness", "shift"])
def test_near_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture, change: Callable[[np.ndarray], np.ndarray]) -> None:
    data = make_folder(tmp_path / "data", smooth)
    copy_record(data, 0, 3, change)
    _, report = examine(capsys, data)
    assert report["exact_duplicate_groups"] == 0 and report["near_duplicate_pairs"] == 1
    assert places(report, "near-duplicates") == [("part-2.bin", 3, 3 * RECORD_BYTES)]


def test_near_duplicates_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = np.random.default_rng(0).standard_normal((50, 320)).astype(np.float32)
    descriptors[[7, 33, 49]] = descriptors[[2, 2, 48]]
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    for block in (7, 2048):
        monkeypatch.setattr(duplicates, "BLOCK", block)
        assert sorted(duplicates.alike(descriptors)) == [(2, 7), (2, 33), (7, 33), (48, 49)]
    monkeypatch.setattr(duplicates, "MAX_CANDIDATES", 2)
    assert 2 < len(duplicates.alike(descriptors)) <= 4


def test_one_recording_under_two_speakers(data: Path, capsys: pytest.CaptureFixture) -> None:
    copy_record(data, 0, 1)
    _, report = examine(capsys, data)
    assert codes(report)["two-speakers-one-recording"] == "problem"  # more than 1 % of 24
    assert places(report, "two-speakers-one-recording") == [("part-2.bin", 1, RECORD_BYTES)]


def test_duplicates_across_a_split(data: Path, capsys: pytest.CaptureFixture) -> None:
    split = split_dataset(open_dataset([data]), seed=0)
    labels = open_dataset([data]).records.labels
    train = next(i for i in split.train if i < PER_FILE)
    test = next(i for i in split.test if i >= PER_FILE and labels[i] == labels[train])
    copy_record(data, train, test - PER_FILE)
    assert codes(examine(capsys, data)[1])["duplicates-across-split"] == "problem"
    stored = data / "split.json"
    save_split(stored, split, open_dataset([data]))
    _, report = examine(capsys, data, "--split", stored)
    assert report["checked_split"] == str(stored)
    assert places(report, "duplicates-across-split") == [("part-2.bin", test - PER_FILE, (test - PER_FILE) * RECORD_BYTES)]


def test_recording_on_both_sides(data: Path, capsys: pytest.CaptureFixture) -> None:
    path = sidecar_path(data / "part-1.bin")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rsplit(",", 2)[0] + ",same.wav,0" for line in lines) + "\n")
    status, report = examine(capsys, data)
    assert status == 1 and "the recording 'same.wav' is on both sides" in finding(report, "split-refused")["message"]


def test_split_of_other_data(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = make_folder(tmp_path / "other", lambda seed: healthy(seed + 1), files=1)
    save_split(tmp_path / "split.json", split_dataset(open_dataset([other])), open_dataset([other]))
    status, report = examine(capsys, data, "--split", tmp_path / "split.json")
    assert status == 1 and "was made for other data" in finding(report, "split-refused")["message"]
