"""Augmented copies for training: what is in them, that they come from the seed, and that no other side has one."""
from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
import pytest
import soundfile
from recordings import contents, write_noise, write_tree

from common.data.dataset import open_dataset
from common.data.form import SAMPLE_RATE
from common.data.splits import split_dataset
from common.errors import UserError
from common.files import read_json
from common.prepare import __main__ as prepare
from common.prepare.distortion import distort, load, rms
from common.prepare.options import Copies

SESSIONS = [f"{speaker}/{session}/{number}.wav" for speaker in ("ann", "bob") for session in "abcd" for number in "12"]


def run(source: Path, out: Path, *options: object) -> int:
    return prepare.main([str(source), str(out), "--workers", "1", "--parts", "2", *map(str, options)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree, noises of two rates, and a room with an echo."""
    place = tmp_path_factory.mktemp("place")
    write_tree(place / "tree", SESSIONS, seconds=4.0)
    write_noise(place / "noise/street.wav", seconds=1.0)
    write_noise(place / "noise/more/fan.wav", seconds=5.0, rate=8_000)
    response = np.zeros(4_000, np.float32)
    response[[100, 3_000]] = 0.8, 0.4
    (place / "rooms").mkdir()
    soundfile.write(place / "rooms/hall.wav", response, SAMPLE_RATE)
    return place


@pytest.fixture(scope="module")
def made(place: Path) -> Path:
    out = place / "made"
    assert run(place / "tree", out, "--copies", 2, "--noise", place / "noise", "--channel", place / "rooms") == 0
    return out


def copies_in(folder: Path) -> np.ndarray:
    """bool (N,): the records that lie in parts of copies; with two parts those are 3 to 6."""
    records = open_dataset([folder]).records
    return np.concatenate([np.full(len(labels), int(path.stem.split("-")[1]) > 2)
                           for path, labels in zip(records.paths, records.labels_by_file())])


def test_only_the_training_side_has_copies(made: Path) -> None:
    dataset = open_dataset([made])
    copied = copies_in(made)
    for seed in range(5):
        split = split_dataset(dataset, seed=seed)
        assert copied[split.train].sum() == copied.sum() == read_json(made / "dataset.json", "")["copies"]
        assert len(split.dev) and len(split.test) and not copied[split.dev].any() and not copied[split.test].any()
        sessions = [set(zip(dataset.records.labels[side], dataset.sessions[side])) for side in (split.train, split.test)]
        assert sessions[0].isdisjoint(sessions[1])
    assert copied.sum() == 2 * (~copied)[split.train].sum()  # recordings of 4 s have one window each


def test_the_originals_are_those_of_a_run_without_copies(place: Path, made: Path) -> None:
    assert run(place / "tree", place / "plain") == 0
    plain = contents(place / "plain")
    same = [name for name in plain if name.startswith("part-") or name == "classes.txt"]
    assert len(same) == 5 and all(contents(made)[name] == plain[name] for name in same)
    assert "copies" not in read_json(place / "plain" / "dataset.json", "")


def test_copies_differ_from_each_other_and_from_the_original(made: Path) -> None:
    dataset = open_dataset([made])
    spectrograms, _ = dataset.records.read(range(len(dataset.records)))
    one = dataset.recordings[np.flatnonzero(copies_in(made))[0]]
    same = spectrograms[dataset.recordings == one]
    assert len(same) == 3 and all(np.abs(a - b).max() > 0.5 for a, b in ((same[0], same[1]), (same[1], same[2])))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(place: Path, made: Path, tmp_path: Path) -> None:
    options = ["--copies", 2, "--noise", place / "noise", "--channel", place / "rooms"]
    assert run(place / "tree", tmp_path / "again", *options, "--workers", 2) == 0
    assert contents(tmp_path / "again") == contents(made)
    assert run(place / "tree", tmp_path / "other", *options, "--seed", 1) == 0
    assert contents(tmp_path / "other")["part-3.bin"] != contents(made)["part-3.bin"]
    assert run(place / "tree", made, *options, "--snr", 0, 5) == 2  # another plan, so not this folder


def test_crops_alone(place: Path, tmp_path: Path) -> None:
    assert run(place / "tree", tmp_path / "data", "--copies", 1) == 0
    dataset = open_dataset([tmp_path / "data"])
    copied = copies_in(tmp_path / "data")
    assert copied.any() and not copied[split_dataset(dataset).test].any()


def test_an_official_split_says_who_is_copied(place: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "wav", [name for name in SESSIONS if name.endswith("1.wav")])
    sides = dict(zip("abcd", "1123"))
    (tree / "iden_split.txt").write_text("".join(
        f"{sides[name.split('/')[1]]} {name}\n" for name in SESSIONS if name.endswith("1.wav")))
    assert run(tree, tmp_path / "data", "--copies", 1, "--noise", place / "noise") == 0
    dataset = open_dataset([tmp_path / "data"])
    assert set(dataset.sessions[copies_in(tmp_path / "data")]) == {"a", "b"}


def test_copies_beside_data_without_a_split_are_refused(place: Path, made: Path) -> None:
    """Together the sides would be drawn anew, and copies might be tested on."""
    if not (place / "plain").exists():
        assert run(place / "tree", place / "plain") == 0
    with pytest.raises(UserError, match="augmented copies"):
        open_dataset([made, place / "plain"])


def test_noise_is_as_loud_as_asked(place: Path) -> None:
    speech = write_and_load(place / "speech.wav")
    path = place / "noise/more/fan.wav"
    for snr in (0.0, 20.0):
        copies = Copies(1, frozenset(), noise=((str(path), 1),), snr=(snr, snr))
        noisy = distort(speech, copies, np.random.default_rng(0))
        assert rms(noisy) == pytest.approx(rms(speech), rel=1e-3)
        gain = float(speech @ noisy / (speech @ speech))  # what is left of the speech
        noise = noisy - gain * speech
        assert 20 * np.log10(gain * rms(speech) / rms(noise)) == pytest.approx(snr, abs=0.5)


def test_the_room_is_heard_and_does_not_delay(place: Path) -> None:
    speech = write_and_load(place / "speech.wav")
    heard = distort(speech, Copies(1, frozenset(), channel=((str(place / "rooms/hall.wav"), 1),)), np.random.default_rng(0))
    echo = np.concatenate([np.zeros(2_900, np.float32), speech[:-2_900]])
    expected = 0.8 * speech + 0.4 * echo
    np.testing.assert_allclose(heard, expected * (rms(speech) / rms(expected)), atol=1e-3)


def write_and_load(path: Path) -> np.ndarray:
    return load(str(write_noise(path)))


@pytest.mark.parametrize("options, message", [
    (["--noise", "noise"], "--copies"), (["--copies", "-1"], "--copies"), (["--copies", "1", "--snr", "9", "3"], "--snr"),
    (["--copies", "1", "--noise", "nowhere"], "no such folder"), (["--copies", "1", "--noise", "empty"], "no recordings"),
    (["--copies", "1", "--channel", "bad"], "not a recording"), (["--copies", "1", "--noise", "silent"], "is silent"),
])
def test_what_cannot_be_is_told_before_the_work(place: Path, tmp_path: Path, options: List[str], message: str,
                                                monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for name in ("empty", "bad", "silent"):
        (tmp_path / name).mkdir()
    (tmp_path / "bad/1.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "silent/1.wav", np.zeros(10_000), SAMPLE_RATE)
    monkeypatch.chdir(tmp_path)
    assert run(place / "tree", tmp_path / "data", *options) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "data").exists()
