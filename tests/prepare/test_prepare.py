"""From recordings to records: what is in them, and in which order."""
from __future__ import annotations

import tarfile
from pathlib import Path
from typing import List

import numpy as np
import pytest
import soundfile
from recordings import contents, write_noise, write_tree

from common.data.dataset import SessionRow, open_dataset, read_sessions
from common.data.form import SEGMENT_SAMPLES
from common.data.records import RecordSet
from common.data.splits import split_dataset
from common.files import natural_key
from common.prepare import __main__ as prepare
from common.prepare.audio import load_audio
from common.prepare.features import spectrogram

TEN = [f"ann/a/{number:05d}.wav" for number in range(5)] + [f"bob/{session}/00001.wav" for session in "cdefg"]


def run(source: Path, out: Path, *options: str) -> int:
    return prepare.main([str(source), str(out), "--workers", "1", *options])


def all_rows(folder: Path) -> List[SessionRow]:
    rows: List[SessionRow] = []
    for path in sorted(folder.glob("part-*.bin"), key=natural_key):
        rows += read_sessions(path, len(RecordSet.open([path])))
    return rows


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"), TEN)


@pytest.fixture(scope="module")
def folder(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "data"
    assert run(tree, out) == 0
    return out


def test_every_record_is_the_spectrogram_its_sidecar_names(tree: Path, folder: Path) -> None:
    dataset = open_dataset([folder])
    assert dataset.speakers == ("ann", "bob")
    assert dataset.scale == "magnitude" and dataset.normalised and not dataset.synthetic
    spectrograms, labels = dataset.records.read(range(len(dataset.records)))
    rows = all_rows(folder)
    assert len(rows) == len(spectrograms) == 10 and {row.recording for row in rows} == set(TEN)
    for row, bins, label in zip(rows, spectrograms, labels):
        samples = load_audio(tree / row.recording)[row.start:row.start + SEGMENT_SAMPLES]
        np.testing.assert_array_equal(bins, spectrogram(samples))
        assert row.recording.startswith(f"{row.speaker}/{row.session}/") and dataset.speakers[label] == row.speaker


def test_the_samples_folder_is_the_homeworks(folder: Path) -> None:
    names = sorted(path.relative_to(folder / "samples").as_posix() for path in (folder / "samples").rglob("*.*"))
    assert len(names) == 12 and "ann/a_000.wav" in names or "ann/a_001.wav" in names
    for wav in (folder / "samples").rglob("*.wav"):
        samples, rate = soundfile.read(wav, dtype="float32")
        assert rate == 16_000 and len(samples) == SEGMENT_SAMPLES
        [bins], [label] = RecordSet.open([wav.with_suffix(".bin")]).read([0])
        assert ("ann", "bob")[label] == wav.parent.name
        np.testing.assert_allclose(bins, spectrogram(samples), atol=1e-2)


def test_a_second_start_changes_nothing(tree: Path, folder: Path, capsys: pytest.CaptureFixture) -> None:
    before = contents(folder)
    assert run(tree, folder) == 0
    assert contents(folder) == before
    assert "10 utterances from 10 recordings" in capsys.readouterr().out


def test_the_bytes_depend_on_neither_the_workers_nor_the_place(tree: Path, folder: Path, tmp_path: Path) -> None:
    assert prepare.main([str(tree), str(tmp_path / "other"), "--workers", "3"]) == 0
    assert contents(tmp_path / "other") == contents(folder)


def test_a_folder_of_other_options_is_not_touched(tree: Path, folder: Path, capsys: pytest.CaptureFixture) -> None:
    before = contents(folder)
    assert run(tree, folder, "--scale", "log") == 2
    assert "other options" in capsys.readouterr().err
    assert contents(folder) == before


def test_record_files_of_somebody_else_are_not_touched(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "voxceleb-abridged-1.bin").write_bytes(b"")
    assert run(tree, tmp_path) == 2
    assert "already holds record files" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "voxceleb-abridged-1.bin"]


def test_options_reach_the_records(tree: Path, tmp_path: Path) -> None:
    assert run(tree, tmp_path / "data", "--scale", "log", "--raw", "--crop", "random", "--parts", "2",
               "--samples", "0", "--speakers", "1") == 0
    dataset = open_dataset([tmp_path / "data"])
    assert dataset.scale == "log" and dataset.normalised is False
    assert len(dataset.speakers) == 1 and len(dataset.records.paths) == 2
    assert not (tmp_path / "data" / "samples").exists()
    rows = all_rows(tmp_path / "data")
    assert len(rows) == 5 and len({row.start for row in rows}) > 1
    samples = load_audio(tree / rows[0].recording)[rows[0].start:rows[0].start + SEGMENT_SAMPLES]
    expected = spectrogram(samples, normalise=False, scale="log")
    np.testing.assert_array_equal(dataset.records.read([0])[0][0], expected)


def test_sliding_windows_of_recordings_in_any_format(tmp_path: Path) -> None:
    tone = 0.4 * np.sin(2 * np.pi * 300 * np.arange(8 * 44_100) / 44_100)
    for pitch, name, rate, subtype in ((280, "eight.wav", 8_000, "PCM_U8"), (300, "studio.wav", 96_000, "PCM_24"),
                                       (320, "float.wav", 44_100, "FLOAT"), (340, "some.flac", 48_000, "PCM_16")):
        (tmp_path / "tree/ann/s").mkdir(parents=True, exist_ok=True)
        tone = 0.4 * np.sin(2 * np.pi * 300 * np.arange(8 * rate) / rate)
        soundfile.write(tmp_path / "tree/ann/s" / name, np.stack([tone, tone], 1), rate, subtype=subtype)
    assert run(tmp_path / "tree", tmp_path / "data", "--hop", "2", "--raw", "--speakers", "1") == 0
    rows = all_rows(tmp_path / "data")
    assert sorted(row.start for row in rows if row.recording.endswith("studio.wav")) == [0, 32_000, 64_000]
    assert len(rows) == 12
    spectrograms, _ = open_dataset([tmp_path / "data"]).records.read(range(12))
    assert set(spectrograms.sum(axis=2).argmax(axis=1)) == {round(300 * 1024 / 16_000)}


def test_voxceleb_with_its_names_and_its_split(tmp_path: Path) -> None:
    names = [f"id1000{speaker}/{video}/00001.wav" for speaker in (1, 2) for video in ("vid-A", "vid_B", "vidC")]
    tree = write_tree(tmp_path / "vox1" / "wav", names)
    (tree.parent / "vox1_meta.csv").write_text("VoxCeleb1 ID\tVGGFace1 ID\nid10001\tA.J._Buckley\nid10002\tEd\n")
    sides = {"vid-A": "1", "vid_B": "2", "vidC": "3"}
    (tree.parent / "iden_split.txt").write_text("".join(f"{sides[name.split('/')[1]]} {name}\n" for name in names))
    assert run(tree.parent, tmp_path / "data") == 0
    dataset = open_dataset([tmp_path / "data"])
    assert dataset.speakers == ("A.J._Buckley", "Ed")
    split = split_dataset(dataset)
    assert split.by == "official"
    assert set(dataset.sessions[split.train]) == {"vid-A"} and set(dataset.sessions[split.test]) == {"vidC"}
    assert run(tree.parent, tmp_path / "own", "--own-split") == 0
    assert split_dataset(open_dataset([tmp_path / "own"])).by == "session"


def test_an_archive_of_samples_is_a_source(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "samples.tar.gz", "w:gz") as tar:
        tar.add(folder / "samples", "samples")
    assert run(tmp_path / "samples.tar.gz", tmp_path / "data") == 0
    dataset = open_dataset([tmp_path / "data"])
    assert dataset.speakers == ("ann", "bob") and len(dataset.records) == 6
    assert set(dataset.sessions[dataset.records.labels == 0]) == {"a"}


def test_what_cannot_be_used_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tree = write_tree(tmp_path / "tree", ["ann/a/1.wav", "ann/a/2.wav", "bob/b/1.wav"])
    (tree / "ann/a/bad.wav").write_bytes(b"no sound")
    write_noise(tree / "bob/b/short.wav", seconds=1.0)
    soundfile.write(tree / "bob/b/silent.wav", np.zeros(60_000), 16_000)
    whole = write_noise(tree / "bob/b/cut.flac", seconds=60.0)
    whole.write_bytes(whole.read_bytes()[:500_000])
    (tree / "eve").mkdir()
    (tree / "eve/1.wav").symlink_to(tmp_path / "nowhere")
    assert run(tree, tmp_path / "data") == 0
    listed = dict(line.split(",", 1) for line in (tmp_path / "data/skipped.csv").read_text().splitlines())
    assert list(listed) == ["recording", "ann/a/bad.wav", "bob/b/cut.flac", "bob/b/short.wav", "bob/b/silent.wav",
                            "eve/1.wav"]
    assert "not a recording" in listed["ann/a/bad.wav"] and "no such file" in listed["eve/1.wav"]
    kept = [row for row in all_rows(tmp_path / "data") if row.recording == "bob/b/cut.flac"]
    assert kept and f"its {len(kept)} utterances are kept" in listed["bob/b/cut.flac"]
    out = capsys.readouterr().out
    assert "4 recordings, and 1 read in part" in out and "no utterance of 1 speakers" in out and "eve" in out
    assert not (tmp_path / "data/unfinished").exists()


def test_nothing_usable_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_noise(tmp_path / "tree/ann/a/1.wav", seconds=1.0)
    assert run(tmp_path / "tree", tmp_path / "data", "--speakers", "1") == 2
    assert "none of the 1 recordings" in capsys.readouterr().err


@pytest.mark.parametrize("options, message", [
    (["--speakers", "3"], "cannot draw 3"), (["--hop", "0"], "--hop"), (["--hop", "nan"], "--hop"),
    (["--workers", "0"], "--workers"), (["--seed", "-1"], "--seed"), (["--parts", "0"], "--parts"),
])
def test_options_that_cannot_be(tree: Path, tmp_path: Path, options: List[str], message: str,
                                capsys: pytest.CaptureFixture) -> None:
    assert run(tree, tmp_path / "data", *options) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "data").exists()
