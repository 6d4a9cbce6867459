"""Damaged records, and what lies beside them in a data folder."""
from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import List, Tuple

import numpy as np
import pytest
from fuzzing import HEADS, SPEAKERS, Tally, anything, damaged_bytes, damaged_json, fuzz, other_numbers, rearranged, text_of
from hypothesis import strategies as st

from common.data.classes import read_classes, write_classes
from common.data.dataset import Dataset, SessionRow, open_dataset, write_sessions
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RECORD_BYTES, RecordSet, RecordWriter
from common.data.splits import Split, load_split, save_split, split_dataset
from common.data.values import bad_values
from common.doctor.diagnosis import Diagnosis, diagnose
from common.doctor.scan import scan_files
from common.errors import UserError

LABELS = [0, 1, 0]


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    """A whole data folder of three records, with an official split in a file of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    random = np.random.default_rng(0)
    with RecordWriter(folder / "part-1.bin") as writer:
        for label in LABELS:
            writer.append(random.standard_normal((NUM_BINS, NUM_FRAMES)).astype(np.float32), label)
    write_sessions(folder / "part-1.bin", [SessionRow(SPEAKERS[label], f"s{i}", f"{SPEAKERS[label]}/s{i}/{i}.wav", 0)
                                           for i, label in enumerate(LABELS)])
    write_classes(folder / "classes.txt", SPEAKERS)
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION))
    (folder / "iden_split.txt").write_text("1 Ada/s0/0.wav\n1 Bea/s1/1.wav\n3 Ada/s2/2.wav\n")
    return folder


DESCRIPTION = {"synthetic": False, "scale": "magnitude", "normalised": True, "split": "iden_split.txt",
               "made_by": "common.prepare", "options": {"seed": 0}}


def damaged_records(path: Path) -> st.SearchStrategy[bytes]:
    """Damage anywhere, and often where labels and records begin; other numbers, joined files, records turned round."""
    whole = path.read_bytes()
    edges = [record * RECORD_BYTES + byte for record in range(len(LABELS) + 1) for byte in (0, 1, 2, 3, 4, 400)]
    records = np.frombuffer(whole, "<f4").reshape(len(LABELS), -1)

    def with_values(values: np.ndarray) -> bytes:
        return np.concatenate([records[:, :1], values.astype("<f4")], axis=1).tobytes()

    turned = records[:, 1:].reshape(-1, NUM_BINS, NUM_FRAMES).transpose(0, 2, 1).reshape(len(LABELS), -1)
    return st.one_of(
        damaged_bytes(whole, edges), other_numbers(records).map(lambda values: values.tobytes()),
        rearranged([whole, whole, *HEADS]),
        other_numbers(records[:, 1:]).filter(lambda values: values.dtype.itemsize == 4).map(with_values),
        st.just(with_values(turned)))


def test_records(data: Path, tally: Tally) -> None:
    path = data / "part-1.bin"

    def read() -> Tuple[np.ndarray, np.ndarray]:
        records = RecordSet.open([path], num_speakers=len(SPEAKERS))
        return records.read(range(len(records)))

    def verify(result: Tuple[np.ndarray, np.ndarray]) -> None:
        floats = np.fromfile(path, dtype="<f4").reshape(-1, RECORD_BYTES // 4)
        np.testing.assert_array_equal(result[1], floats[:, 0])
        np.testing.assert_array_equal(result[0].reshape(len(floats), -1), floats[:, 1:])
        assert not any(bad_values(record).any() for record in floats[:, 1:]) and set(result[1]) <= {0, 1}

    fuzz(tally, path, damaged_records(path), read, verify)


def test_doctor(data: Path, tally: Tally) -> None:
    path = data / "part-1.bin"

    def verify(diagnosis: Diagnosis) -> None:
        """The doctor finds a problem of the file exactly where training would stop."""
        found = {finding.code for finding in diagnosis.report.findings if finding.severity == "problem"}
        found -= {"mixed-normalisation", "two-speakers-one-recording", "duplicates-across-split"}
        try:
            dataset = open_dataset([data])
            dataset.records.read(range(len(dataset.records)))
            split_dataset(dataset)
        except UserError as error:
            assert found, error
        else:
            assert not found
        assert len(diagnosis.good) == path.stat().st_size // RECORD_BYTES

    fuzz(tally, path, damaged_records(path), lambda: diagnose(scan_files([path], workers=1)), verify)


def test_classes(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "classes.txt"
    write_classes(path, ["Miley_Cyrus", "Hye-kyo_Song", "Zoë Kravitz"])

    def verify(names: List[str]) -> None:
        lines = [line.split(maxsplit=1) for line in text_of(path).split("\n") if line.strip()]
        assert sorted((int(label), name.strip()) for label, name in lines) == list(enumerate(names))
        write_classes(tmp_path / "again.txt", names)
        assert read_classes(tmp_path / "again.txt") == names

    fuzz(tally, path, anything(path), lambda: read_classes(path), verify)


def test_sidecar(data: Path, tally: Tally) -> None:
    path = data / "part-1.sessions.csv"
    (data / "dataset.json").unlink()

    def verify(dataset: Dataset) -> None:
        rows = [row for row in csv.reader(io.StringIO(text_of(path), newline="")) if row][-len(LABELS):]
        assert [row[0] for row in rows] == [SPEAKERS[label] for label in LABELS]
        assert dataset.sessions is not None and dataset.sessions.tolist() == [row[1] for row in rows]
        assert dataset.recordings is not None and dataset.recordings.tolist() == [row[2] for row in rows]

    fuzz(tally, path, anything(path), lambda: open_dataset([data]), verify)


def test_description(data: Path, tally: Tally) -> None:
    path = data / "dataset.json"
    split = {"Ada/s0/0.wav": "train", "Bea/s1/1.wav": "train", "Ada/s2/2.wav": "test"}

    def verify(dataset: Dataset) -> None:
        stated = json.loads(text_of(path))
        assert dataset.synthetic is stated.get("synthetic", False)
        assert dataset.scale == stated.get("scale") and dataset.normalised is stated.get("normalised")
        expected = split if stated.get("split") == "iden_split.txt" else stated.get("split") or None
        assert dataset.official_split == expected

    damaged = st.one_of(damaged_json(DESCRIPTION), damaged_json({**DESCRIPTION, "split": split}), anything(path))
    fuzz(tally, path, damaged, lambda: open_dataset([data]), verify)


def test_official_split(data: Path, tally: Tally) -> None:
    path = data / "iden_split.txt"

    def verify(dataset: Dataset) -> None:
        lines = [line.split(maxsplit=1) for line in text_of(path).split("\n") if line.strip()]
        expected = {name.strip(): ("train", "dev", "test")[int(side) - 1] for side, name in lines}
        assert dataset.official_split == (expected or None)

    fuzz(tally, path, anything(path), lambda: open_dataset([data]), verify)


def test_stored_split(data: Path, tally: Tally) -> None:
    path = data / "split.json"
    dataset = open_dataset([data])
    save_split(path, split_dataset(dataset), dataset)

    def verify(split: Split) -> None:
        stated = json.loads(text_of(path))
        for side in ("train", "dev", "test"):
            assert getattr(split, side).dtype == np.int64
            assert getattr(split, side).tolist() == sorted(stated[side])
        listed = stated["train"] + stated["dev"] + stated["test"]
        assert set(listed) <= {0, 1, 2} and len(set(listed)) == len(listed)
        assert (split.seed, split.by) == (stated["seed"], stated["by"])

    damaged = st.one_of(damaged_json(json.loads(path.read_text())), anything(path))
    fuzz(tally, path, damaged, lambda: load_split(path, dataset), verify)
