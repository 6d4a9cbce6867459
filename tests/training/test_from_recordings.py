"""`train --recordings`: what is refused before anything is prepared, and where the same command finds the data again."""
from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any, List

import pytest
from commands import SMALL

from common.commands import train
from common.errors import UserError, friendly
from common.prepare import command

WORDS = ["--epochs", "1", *SMALL]


@pytest.fixture
def prepared(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> List[Any]:
    """Stands for `prepare`, in an empty folder; what it was asked for."""
    asked: List[Any] = []

    def run(words: List[str]) -> None:
        asked.append(command.build_parser().parse_args(words))
        if not asked[-1].out.exists():
            shutil.copytree(tiny_data, asked[-1].out)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.chdir(tmp_path)
    return asked


def begin(*words: str) -> Path:
    """The folder of a run that begins."""
    with train.new_run(train.build_parser("train").parse_args([*words, *map(str, WORDS)])) as (*_, folder):
        return folder


def test_data_are_prepared_once_and_found_again(prepared: List[Any]) -> None:
    Path("voices").mkdir()
    assert [begin("--recordings", "voices").name[:4] for _ in range(2)] == ["0001", "0002"]
    assert {str(each.out) for each in prepared} == {"runs/voices-data"} and prepared[0].scale == "log" and prepared[0].raw


@pytest.mark.parametrize("words, data", [
    (["--recordings=-x"], "runs/-x-data"), (["--recordings", "./-x", "--out", "./-y"], "{0}/-y-data"),
    (["--recordings", ".", "--out", "."], "{0}-data"), (["--recordings", ".", "--out", "new/../.."], "{0.parent}-data"),
    (["--recordings", "."], "runs/{0.name}-data")])
def test_unusual_names_of_folders(prepared: List[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: List[str],
                                  data: str) -> None:
    """None is taken for an option, and no data are hidden."""
    place = tmp_path / "deep" / "place"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    begin(*words, *(["--force"] if ".." in str(words) else []))
    assert str(prepared[0].out) == data.format(place) and prepared[0].out.is_dir()


@pytest.mark.parametrize("words, told", [
    (["--out", "full"], "full is not empty"), (["--out", "run"], "run already holds a run; go on with --resume run"),
    (["--out", "file"], "file: cannot write here"), (["--share", "2"], "a share of the training side"),
    (["--epochs", "0"], "epochs must be"), (["--recordings", "data"], "data: these are data.* give them with --data"),
    (["--recordings", "parts"], "parts: these are data")])
def test_what_is_refused_is_so_before_anything_is_prepared(prepared: List[Any], words: List[str], told: str) -> None:
    for name in ("full/notes.txt", "run/last.npz", "file", "data/dataset.json", "parts/part-1.bin", "voices/note"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("{}")
    before = sorted(Path().rglob("*"))
    options = train.build_parser("train").parse_args(["--recordings", "voices", *map(str, WORDS), *words])
    with pytest.raises(UserError, match=told), train.new_run(options):
        pass
    assert not prepared and sorted(Path().rglob("*")) == before


def test_data_of_other_recordings_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "runs" / "voices-data" / "dataset.json"
    for path in (made, tmp_path / "voices" / "ada" / "a.wav", tmp_path / "voices" / "bea" / "b.wav"):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    with pytest.raises(UserError, match="already holds a data set.* --out, or train .* --data runs/voices-data"):
        begin("--recordings", "voices")
    made.unlink()
    with pytest.raises(UserError, match="none of the 2 recordings could be used"):
        begin("--recordings", "voices")
    assert not made.parent.exists(), "no folder is left of it"


@pytest.mark.parametrize("begun, told", [
    (False, "nothing is prepared yet"), (True, "what is prepared is kept in {}/new-data; go on with: the same command")])
def test_stopped_while_preparing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, begun: bool,
                                 told: str) -> None:
    def run(words: List[str]) -> None:
        if begun:
            (tmp_path / "new-data").mkdir()
            (tmp_path / "new-data" / "part-1.bin").touch()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command, "run", run)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        assert friendly(lambda words: len(str(begin(*words))))(["--recordings", "voices", "--out", "new"]) == 130
    assert capsys.readouterr().err.startswith(f"interrupted: {told.format(tmp_path)}")
    assert [path.name for path in tmp_path.iterdir()] == ["new-data"] * begun
