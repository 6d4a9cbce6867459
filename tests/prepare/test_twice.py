"""One recording under two names, and what `prepare` says at its end."""
from __future__ import annotations

import csv
import os
import shutil
import subprocess
from pathlib import Path
from typing import Dict

import numpy as np
import pytest
import soundfile
from commands import PROJECT, command
from containers import encode, sweep
from recordings import contents, write_tree

from common.data.dataset import open_dataset
from common.prepare import __main__ as prepare
from common.prepare import building

SESSIONS = [f"{speaker}/{session}/1.wav" for speaker in ("ann", "bob") for session in "abc"]


def run(source: Path, out: Path, *options: str) -> int:
    return prepare.main([str(source), str(out), "--workers", "1", *options])


def skipped(out: Path) -> Dict[str, str]:
    with open(out / "skipped.csv", newline="") as file:
        return dict(list(csv.reader(file))[1:])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings, and a seventh five times: as wav, as m4a, at 8 kHz, softer, and as a copy in another session."""
    tree = write_tree(tmp_path_factory.mktemp("twice") / "tree", SESSIONS)
    encode(tree / "ann/a/rec.m4a", "aac")
    soundfile.write(tree / "ann/a/rec.wav", sweep(48_000), 48_000)
    soundfile.write(tree / "ann/a/low.wav", sweep(8_000), 8_000)
    soundfile.write(tree / "ann/a/soft.flac", 0.2 * sweep(16_000), 16_000)
    shutil.copy(tree / "ann/a/rec.wav", tree / "ann/b/copy.wav")
    return tree


@pytest.mark.parametrize("options", [[], ["--crop", "random"], ["--crop", "fixed"], ["--scale", "log", "--raw"]])
def test_one_of_each_is_kept(tree: Path, tmp_path: Path, options: list) -> None:
    assert run(tree, tmp_path / "data", *options) == 0
    kept = set(open_dataset([tmp_path / "data"]).recordings)
    assert kept == {*SESSIONS, "ann/a/rec.wav"}
    assert set(skipped(tmp_path / "data").values()) == {"there twice: the same recording as ann/a/rec.wav"}
    assert len(skipped(tmp_path / "data")) == 4


def test_under_two_speakers_none_is_kept(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "tree")
    shutil.copy(tree / "ann/a/rec.wav", tmp_path / "tree/bob/a/mine.wav")
    assert run(tmp_path / "tree", tmp_path / "data") == 0
    assert set(open_dataset([tmp_path / "data"]).recordings) == set(SESSIONS)
    reasons = skipped(tmp_path / "data")
    assert len(reasons) == 6 and all("two speakers" in reason for reason in reasons.values())
    assert reasons["ann/a/rec.wav"].endswith("bob/a/mine.wav") and not reasons["bob/a/mine.wav"].endswith("bob/a/mine.wav")


@pytest.mark.parametrize("step", ["find_twice", "read_json", "summarise"])
def test_interrupted_while_copies_are_taken_out_the_bytes_are_the_same(tree: Path, tmp_path: Path, step: str,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tree, tmp_path / "whole", "--parts", "3") == 0

    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(building, step, end)
        assert run(tree, tmp_path / "data", "--parts", "3") == 130
    if step == "summarise":  # as if killed while that part was written again
        (tmp_path / "data/unfinished/part-2.done.json").unlink()
    assert run(tree, tmp_path / "data", "--parts", "3") == 0
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def test_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tree = write_tree(tmp_path / "tree", SESSIONS)
    soundfile.write(tree / "ann/a/silent.wav", np.zeros(60_000), 16_000)
    soundfile.write(tree / "ann/a/noise.wav", np.random.default_rng(0).integers(0, 2, 60_000).astype(np.int16), 16_000)
    soundfile.write(tree / "ann/a/high.wav", np.stack([sweep(44_100), -sweep(44_100)], axis=1), 44_100)
    (tree / "ann/a/notes.txt").write_text("x")
    out = tree / "data"  # inside the recordings
    assert run(tree, out) == 0
    said = capsys.readouterr().out
    for line in ("data: 7 utterances from 7 recordings", "speakers     2: ann, bob", "sessions     6", "recordings   7 of 9",
                 "utterances   7 of 3.015 s, 0.01 hours", "resampled    to 16000 Hz from 44100 Hz (1 recordings)",
                 "left out     2 recordings", "2  silent", "kept         1 recordings although: channels that cancel",
                 "passed over  1 .txt"):
        assert line in said
    before = contents(out)
    assert run(tree, out) == 0 and contents(out) == before and capsys.readouterr().out == said
    assert run(tree, tmp_path / "second") == 0  # the first data folder is no speaker
    assert open_dataset([tmp_path / "second"]).speakers == ("ann", "bob") and "1 data folders" in capsys.readouterr().out


@pytest.mark.parametrize("names, warning", [
    (["ann/a/1.wav", "bob/a/1.wav"], "the test side is empty (split by recording), for of a single recording"),
    (["ann/a/1.wav", "bob/a/1.wav", "bob/b/1.wav"], "nothing on the test side, for of a single recording nothing can be held "
                                                    "out: 1 of 2, such as ann")])
def test_too_little_is_told_by_both(tmp_path: Path, names: list, warning: str, capsys: pytest.CaptureFixture) -> None:
    from common.doctor import __main__ as doctor

    assert run(write_tree(tmp_path / "tree", names), tmp_path / "data") == 0
    assert warning in " ".join(line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: "))
    doctor.main([str(tmp_path / "data")])
    assert warning in capsys.readouterr().out


def test_one_speaker_is_refused_with_the_folder_to_give(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_tree(tmp_path / "tree/wav", SESSIONS)
    assert run(tmp_path / "tree", tmp_path / "data") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"give {tmp_path}/tree/wav" in error and "--speakers 1" in error


def test_a_name_that_stdout_cannot_hold_is_escaped(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", ["\u00e9va/a/1.wav", "bob/a/1.wav"])
    done = subprocess.run(command("common.prepare", tree, tmp_path / "\u00e9"), cwd=PROJECT, capture_output=True,
                          env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and b"\\xe9va" in done.stdout and (tmp_path / "\u00e9/dataset.json").exists()
