"""From recordings to records: what is in them, in which order, and what happens after an interruption."""
from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import numpy as np
import pytest
import soundfile

from common import prepare
from common.audio import load_audio
from common.dataset import SessionRow, open_dataset, read_sessions
from common.features import SEGMENT_SAMPLES, spectrogram
from common.records import RecordSet

SPEAKERS = ("ann", "bob")


def make_tree(root: Path, speakers: Dict[str, Dict[str, int]], seconds: float = 3.2) -> Path:
    """speakers: {speaker: {session: recordings}}; every recording is noise of its own."""
    generator = np.random.default_rng(0)
    for speaker, sessions in speakers.items():
        for session, recordings in sessions.items():
            folder = root / speaker / session
            folder.mkdir(parents=True)
            for number in range(recordings):
                noise = generator.normal(0, 0.1, round(seconds * 16_000))
                soundfile.write(folder / f"{number:05d}.wav", noise, 16_000)
    return root


def data_bytes(folder: Path) -> Dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(tree: Path, out: Path, *options: str) -> int:
    return prepare.main([str(tree), str(out), "--workers", "1", *options])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("tree"), {"ann": {"a": 3, "b": 2}, "bob": {"c": 4, "d": 1}})


@pytest.fixture(scope="module")
def folder(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "data"
    assert run(tree, out) == 0
    return out


def all_rows(folder: Path) -> List[SessionRow]:
    rows: List[SessionRow] = []
    for path in sorted(folder.glob("part-*.bin")):
        rows += read_sessions(path, len(RecordSet.open([path])))
    return rows


def test_every_record_is_the_spectrogram_its_sidecar_names(tree: Path, folder: Path) -> None:
    dataset = open_dataset([folder])
    assert dataset.speakers == SPEAKERS
    assert dataset.scale == "magnitude" and dataset.normalised and not dataset.synthetic
    spectrograms, labels = dataset.records.read(range(len(dataset.records)))
    rows = all_rows(folder)
    assert len(rows) == len(spectrograms) == 10
    for row, bins, label in zip(rows, spectrograms, labels):
        samples = load_audio(tree / row.recording)[row.start:row.start + SEGMENT_SAMPLES]
        np.testing.assert_array_equal(bins, spectrogram(samples))
        assert row.recording.startswith(f"{row.speaker}/{row.session}/") and SPEAKERS[label] == row.speaker


def test_a_second_start_changes_nothing(tree: Path, folder: Path, capsys: pytest.CaptureFixture) -> None:
    before = data_bytes(folder)
    assert run(tree, folder) == 0
    assert data_bytes(folder) == before
    assert "10 utterances of 2 speakers" in capsys.readouterr().out


def test_the_bytes_depend_on_neither_the_workers_nor_the_place(tree: Path, folder: Path, tmp_path: Path) -> None:
    assert prepare.main([str(tree), str(tmp_path / "other"), "--workers", "3"]) == 0
    assert data_bytes(tmp_path / "other") == data_bytes(folder)


def test_a_folder_of_other_options_is_not_touched(tree: Path, folder: Path, capsys: pytest.CaptureFixture) -> None:
    before = data_bytes(folder)
    assert run(tree, folder, "--scale", "log") == 2
    assert "other options" in capsys.readouterr().err
    assert data_bytes(folder) == before


def test_scale_and_raw_reach_the_records(tree: Path, tmp_path: Path) -> None:
    assert run(tree, tmp_path / "data", "--scale", "log", "--raw") == 0
    dataset = open_dataset([tmp_path / "data"])
    assert dataset.scale == "log" and dataset.normalised is False
    row = all_rows(tmp_path / "data")[0]
    expected = spectrogram(load_audio(tree / row.recording)[:SEGMENT_SAMPLES], normalise=False, scale="log")
    np.testing.assert_array_equal(dataset.records.read([0])[0][0], expected)


def test_what_cannot_be_used_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tree = make_tree(tmp_path / "tree", {"ann": {"a": 2}, "bob": {"b": 2}})
    (tree / "ann/a/bad.wav").write_bytes(b"no sound")
    soundfile.write(tree / "bob/b/short.wav", np.ones(16_000) * 0.1, 16_000)
    soundfile.write(tree / "bob/b/silent.wav", np.zeros(60_000), 16_000)
    assert run(tree, tmp_path / "data") == 0
    listed = (tmp_path / "data/skipped.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed] == ["recording", "ann/a/bad.wav", "bob/b/short.wav",
                                                       "bob/b/silent.wav"]
    out = capsys.readouterr().out
    assert "4 utterances" in out and "left out: 3 recordings" in out
    assert len(open_dataset([tmp_path / "data"]).records) == 4


def test_nothing_usable_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tree = make_tree(tmp_path / "tree", {"ann": {"a": 2}}, seconds=1.0)
    assert run(tree, tmp_path / "data") == 2
    assert "none of the 2 recordings" in capsys.readouterr().err


