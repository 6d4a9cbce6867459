"""Splits: deterministic, stratified, and no recording or (where there are several) session on two sides."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np
import pytest

from common.data.classes import write_classes
from common.data.dataset import Dataset, SessionRow, open_dataset, write_sessions
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RecordWriter
from common.data.splits import (
    MIXED,
    Split,
    load_split,
    make_split,
    official_split,
    save_split,
    split_dataset,
    with_less_training,
)
from common.errors import UserError

Corpus = Tuple[np.ndarray, np.ndarray, np.ndarray]


def corpus(speakers: int = 5, sessions: int = 6, recordings: int = 3, windows: int = 2) -> Corpus:
    """Labels, sessions and recordings of a regular corpus, in no particular order."""
    rows = [(speaker, f"{session}", f"{speaker}/{session}/{recording}") for speaker in range(speakers)
            for session in range(sessions) for recording in range(recordings) for _ in range(windows)]
    order = np.random.default_rng(1).permutation(len(rows))
    labels, names, paths = zip(*(rows[i] for i in order))
    return np.array(labels), np.array(names), np.array(paths)


def sides(split: Split) -> Dict[str, np.ndarray]:
    return {"train": split.train, "dev": split.dev, "test": split.test}


def shared(split: Split, *names: np.ndarray) -> int:
    """How many values of `names` (taken together) are on more than one side."""
    keys = np.array(["|".join(str(name[i]) for name in names) for i in range(len(names[0]))])
    found = [set(keys[side]) for side in sides(split).values()]
    return len(found[0] & found[1]) + len(found[0] & found[2]) + len(found[1] & found[2])


@pytest.mark.parametrize("seed", range(5))
def test_whole_sessions_on_one_side(seed: int) -> None:
    labels, sessions, recordings = corpus()
    split = make_split(labels, sessions, recordings, seed)
    assert split.by == "session" and split.seed == seed
    assert shared(split, labels, sessions) == 0 and shared(split, recordings) == 0
    np.testing.assert_array_equal(np.sort(np.concatenate(list(sides(split).values()))), np.arange(len(labels)))
    # 6 sessions of 6 records: of 36, 30 % is nearest to two sessions and 10 % to one.
    for side, records in (("train", 18), ("dev", 6), ("test", 12)):
        assert np.bincount(labels[sides(split)[side]]).tolist() == [records] * 5, side


def test_same_seed_same_split_other_seed_other_split() -> None:
    labels, sessions, recordings = corpus()
    first, again, other = (make_split(labels, sessions, recordings, seed) for seed in (3, 3, 4))
    for side in sides(first):
        np.testing.assert_array_equal(sides(first)[side], sides(again)[side])
        assert sides(first)[side].dtype == np.int64
    assert first.test.tolist() != other.test.tolist()


def test_adding_a_speaker_leaves_the_others_where_they_are() -> None:
    labels, sessions, recordings = corpus(speakers=4)
    fewer = labels < 3
    small = make_split(labels[fewer], sessions[fewer], recordings[fewer])
    large = make_split(labels, sessions, recordings)
    assert set(recordings[fewer][small.test]) == {name for name in recordings[large.test] if name[0] < "3"}


def test_speaker_with_one_session_is_split_by_recording() -> None:
    labels, sessions, recordings = corpus(speakers=2, sessions=1, recordings=10)
    split = make_split(labels, sessions, recordings)
    assert shared(split, recordings) == 0 and split.by == "recording"
    assert [len(side) for side in sides(split).values()] == [24, 4, 12]
    others = corpus(speakers=2, sessions=3)
    more = [np.concatenate(both) for both in zip((labels + 2, np.char.add("one", sessions), np.char.add("one", recordings)), others)]
    assert make_split(*more).by == MIXED
    alone = recordings[labels == 0][0] == recordings  # the rest of it is left away: nothing to test this speaker on
    kept = np.flatnonzero((labels == 1) | alone)
    assert make_split(labels[kept], sessions[kept], recordings[kept]).by == "recording"


def test_speaker_with_two_sessions_has_no_dev_and_with_one_group_only_training() -> None:
    labels, sessions, recordings = corpus(speakers=1, sessions=2)
    split = make_split(labels, sessions, recordings)
    assert [len(side) for side in sides(split).values()] == [6, 0, 6]
    labels, sessions, recordings = corpus(speakers=1, sessions=1, recordings=1)
    split = make_split(labels, sessions, recordings)
    assert [len(side) for side in sides(split).values()] == [2, 0, 0]


def test_without_sidecar_by_record_and_stratified() -> None:
    labels = np.repeat([0, 7, 9], [10, 20, 100])
    split = make_split(labels)
    assert split.by == "record"
    assert np.bincount(labels[split.test])[[0, 7, 9]].tolist() == [3, 6, 30]
    assert np.bincount(labels[split.dev])[[0, 7, 9]].tolist() == [1, 2, 10]


def test_recording_under_two_sessions_is_refused() -> None:
    labels, sessions, recordings = corpus()
    recordings[:] = [name if name[0] != "0" else "0/0/0" for name in recordings]
    with pytest.raises(UserError, match="the recording '0/0/0' is on both sides"):
        make_split(labels, sessions, recordings)


def test_an_impossible_seed() -> None:
    with pytest.raises(UserError, match="must be from 0 to"):
        make_split(np.zeros(4, dtype=np.int32), seed=-1)


@pytest.fixture()
def dataset(tmp_path: Path) -> Dataset:
    rows = [SessionRow(f"speaker{i % 2}", f"s{i % 4}", f"speaker{i % 2}/s{i % 4}/{i}.wav", 0) for i in range(12)]
    with RecordWriter(tmp_path / "part-1.bin") as writer:
        for i, row in enumerate(rows):
            writer.append(np.full((NUM_BINS, NUM_FRAMES), i, dtype=np.float32), i % 2)
    write_sessions(tmp_path / "part-1.bin", rows)
    write_classes(tmp_path / "classes.txt", ["speaker0", "speaker1"])
    return open_dataset([tmp_path])


def test_save_and_load(dataset: Dataset, tmp_path: Path) -> None:
    split = split_dataset(dataset, seed=2)
    save_split(tmp_path / "split.json", split, dataset)
    loaded = load_split(tmp_path / "split.json", dataset)
    assert (loaded.seed, loaded.by) == (2, "session")
    for side in sides(split):
        np.testing.assert_array_equal(sides(loaded)[side], sides(split)[side])


def change(path: Path, key: str, value: Optional[object]) -> None:
    stored = json.loads(path.read_text())
    stored[key] = value
    path.write_text(json.dumps(stored))


@pytest.mark.parametrize("key, value, message", [
    ("data", "0" * 16, "was made for other data"),
    ("records", 13, "was made for other data"),
    ("format", 2, "format 2 is not 1"),
    ("by", "speaker", "'by' must be one of session"),
    ("seed", "1", "'seed' must be of type int, not str"),
    ("extra", 1, "exactly the keys"),
    ("train", [12], r"train\[0\] is 12, not a record number in 0\.\.11"),
    ("test", [0.0], r"test\[0\] is 0\.0, not a record number"),
    ("dev", [True], r"dev\[0\] is True, not a record number"),
    ("train", [1, 1], "listed twice"),
])
def test_bad_split_files(dataset: Dataset, tmp_path: Path, key: str, value: object, message: str) -> None:
    path = tmp_path / "split.json"
    save_split(path, split_dataset(dataset), dataset)
    change(path, key, value)
    with pytest.raises(UserError, match=rf"split\.json: .*{message}"):
        load_split(path, dataset)


def test_stored_split_that_leaks_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    split = split_dataset(dataset)
    leaking = dataclasses.replace(dataset, recordings=np.array(["one"] * 12))
    save_split(tmp_path / "split.json", split, dataset)
    with pytest.raises(UserError, match="the recording 'one' is on both sides train and test"):
        load_split(tmp_path / "split.json", leaking)


def test_official_split(dataset: Dataset) -> None:
    assert dataset.recordings is not None
    official = {name: ("train", "dev", "test")[i % 3] for i, name in enumerate(dataset.recordings)}
    data = dataclasses.replace(dataset, official_split=official)
    split = split_dataset(data)
    assert split.by == "official"
    assert split.train.tolist() == [0, 3, 6, 9] and split.dev.tolist() == [1, 4, 7, 10]
    with pytest.raises(UserError, match=r"does not name the recording 'speaker0/s0/0\.wav' \(1 of 12 are missing\)"):
        official_split(dataclasses.replace(dataset, official_split={k: v for k, v in official.items()
                                                                    if k != "speaker0/s0/0.wav"}))
    with pytest.raises(UserError, match="leaves 'speaker1' without training records"):
        official_split(dataclasses.replace(data, official_split={
            name: "train" if name.startswith("speaker0") else "test" for name in official}))
    with pytest.raises(UserError, match="needs sidecars"):
        official_split(dataclasses.replace(data, recordings=None))


def test_less_training_is_a_part_of_more_speaker_by_speaker(tiny_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset([tiny_data])
    labels, whole = dataset.records.labels, split_dataset(dataset)
    parts = [with_less_training(whole, labels, share, 0) for share in (0.01, 0.3, 0.5, 1.0)]
    assert [np.bincount(labels[part.train]).tolist() for part in parts] == [[1] * 4, [2] * 4, [3] * 4, [6] * 4]
    assert all(set(less.train) < set(more.train) for less, more in zip(parts, parts[1:]))
    assert all(np.array_equal(getattr(part, side), getattr(whole, side)) for part in parts for side in ("dev", "test"))
    assert parts[3].train.tolist() == whole.train.tolist()
    assert with_less_training(whole, labels, 0.5, 1).train.tolist() != parts[2].train.tolist()
    save_split(tmp_path / "split.json", parts[1], dataset)
    assert load_split(tmp_path / "split.json", dataset).train.tolist() == parts[1].train.tolist()
