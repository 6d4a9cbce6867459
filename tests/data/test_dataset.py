"""Data folders: files in natural order, classes, sidecars and descriptions, and every way they can be wrong."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest

from common.data.classes import write_classes
from common.data.dataset import SessionRow, open_dataset, sidecar_path, write_sessions
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RecordWriter
from common.errors import UserError

SPEAKERS = ["Ada", "Bea", "Cleo"]


def write_part(path: Path, labels: Sequence[int], sidecar: bool = True) -> None:
    """Records whose values are all their label, each from a recording of its own."""
    with RecordWriter(path) as writer:
        for label in labels:
            writer.append(np.full((NUM_BINS, NUM_FRAMES), label, dtype=np.float32), label)
    if sidecar:
        write_sessions(path, [SessionRow(SPEAKERS[label], f"s{label}", f"{SPEAKERS[label]}/s{label}/{path.stem}-{i}.wav",
                                         i * 48_240) for i, label in enumerate(labels)])


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_classes(folder / "classes.txt", SPEAKERS)
    write_part(folder / "part-2.bin", [1, 0])
    write_part(folder / "part-10.bin", [2])
    return folder


def describe(folder: Path, value: Any) -> None:
    (folder / "dataset.json").write_text(json.dumps(value))


def test_folder_in_natural_order(folder: Path) -> None:
    (folder / "._part-1.bin").write_bytes(b"left by another system")
    data = open_dataset([folder])
    assert [path.name for path in data.records.paths] == ["part-2.bin", "part-10.bin"]
    assert data.records.labels.tolist() == [1, 0, 2]
    assert data.speakers == ("Ada", "Bea", "Cleo") and data.name == "data"
    assert data.sessions is not None and data.sessions.tolist() == ["s1", "s0", "s2"]
    assert data.recordings is not None
    assert data.recordings.tolist() == ["Bea/s1/part-2-0.wav", "Ada/s0/part-2-1.wav", "Cleo/s2/part-10-0.wav"]
    assert (data.synthetic, data.scale, data.normalised, data.official_split) == (False, None, None, None)


def test_files_find_their_classes(folder: Path) -> None:
    (folder / "classes.txt").rename(folder / "voxceleb-abridged-classes.txt")  # the homework's name
    assert open_dataset([folder / "part-10.bin"]).speakers == tuple(SPEAKERS)


def test_names_given_by_the_caller_need_no_classes_file(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    assert open_dataset([folder], speakers=SPEAKERS).speakers == tuple(SPEAKERS)
    with pytest.raises(UserError, match=r"data: no classes\.txt beside the record files"):
        open_dataset([folder])


def test_names_of_a_model_must_be_those_of_the_data(folder: Path) -> None:
    assert open_dataset([folder], speakers=SPEAKERS).speakers == tuple(SPEAKERS)
    with pytest.raises(UserError, match=r"data/classes\.txt and the speakers of the model differ"):
        open_dataset([folder], speakers=["Bea", "Ada", "Cleo"])


def test_description(folder: Path) -> None:
    split = {"Ada/s0/part-2-1.wav": "dev"}
    describe(folder, {"synthetic": True, "scale": "log", "normalised": True, "split": split, "made_by": {"any": 1}})
    data = open_dataset([folder])
    assert (data.synthetic, data.scale, data.normalised, data.official_split) == (True, "log", True, split)


def test_official_split_in_a_file(folder: Path) -> None:
    (folder / "iden_split.txt").write_text("3 Ada/s0/a b.wav\n1 Bea/s1/1.wav\n\n2 Bea/s1/2.wav\n")
    describe(folder, {"split": "iden_split.txt"})
    assert open_dataset([folder]).official_split == {"Ada/s0/a b.wav": "test", "Bea/s1/1.wav": "train",
                                                     "Bea/s1/2.wav": "dev"}


@pytest.mark.parametrize("line, message", [
    ("4 Ada/a.wav", "line 2 .* is not `1`, `2` or `3`"),
    ("1", "line 2 .* is not `1`, `2` or `3` and a recording"),
    ("1 first.wav", "line 2: 'first.wav' is on two sides"),
])
def test_bad_official_split(folder: Path, line: str, message: str) -> None:
    (folder / "iden_split.txt").write_text(f"3 first.wav\n{line}\n")
    describe(folder, {"split": "iden_split.txt"})
    with pytest.raises(UserError, match=rf"iden_split\.txt: {message}"):
        open_dataset([folder])


@pytest.mark.parametrize("value, message", [
    ([], "must be a JSON object"),
    ({"synthetic": "yes"}, "'synthetic' must be true or false, not 'yes'"),
    ({"normalised": 1}, "'normalised' must be true or false"),
    ({"scale": "mel"}, "'scale' must be one of magnitude, log, not 'mel'"),
    ({"split": {"a.wav": "validation"}}, "'split' must map each recording"),
    ({"split": ["a.wav"]}, "'split' must map each recording"),
    ({"split": "../iden_split.txt"}, "'split' must name a file in the same folder"),
])
def test_bad_description(folder: Path, value: Any, message: str) -> None:
    describe(folder, value)
    with pytest.raises(UserError, match=rf"dataset\.json: {message}"):
        open_dataset([folder])


@pytest.mark.parametrize("text, message", [
    ("{", "Expecting property name .* at line 1, column 2"),
    ('{"a": 1, "a": 2}', "the key 'a' appears 2 times"),
    ('{"a": NaN}', "NaN is not a JSON number"),
    ('{"a": 1e999}', "out of range"),
    ('{"a": ' + "9" * 100_000 + "}", "has 100000 digits"),
    ("[" * 100_000, "nested too deeply"),
], ids=range(6))
def test_description_that_is_not_json(folder: Path, text: str, message: str) -> None:
    (folder / "dataset.json").write_text(text)
    with pytest.raises(UserError, match=rf"dataset\.json: not a valid data set description: .*{message}"):
        open_dataset([folder])


def sidecar_error(folder: Path, text: str) -> str:
    sidecar_path(folder / "part-2.bin").write_text(text)
    with pytest.raises(UserError, match=r"part-2\.sessions\.csv: ") as caught:
        open_dataset([folder])
    return str(caught.value)


def test_sidecar_with_a_header_and_quotes(folder: Path) -> None:
    sidecar_path(folder / "part-2.bin").write_text('speaker,session,recording,start\r\nBea,"a,b",x.wav,0\r\nAda,s,y.wav,5\r\n')
    sessions = open_dataset([folder]).sessions
    assert sessions is not None and sessions.tolist() == ["a,b", "s", "s2"]


def test_bad_sidecars(folder: Path) -> None:
    good = "Bea,s,a.wav,0\n"
    assert "1 lines for the 2 records" in sidecar_error(folder, good)
    assert "line 3: more lines than the 2 records" in sidecar_error(folder, good + "Ada,s,b.wav,0\n" * 2)
    assert "record 1 is of speaker 'Bea', but its label says 'Ada'" in sidecar_error(folder, good * 2)
    assert "line 1 (record 0): 3 fields in place of 4" in sidecar_error(folder, "Bea,s,a.wav\n")
    assert "line 1 (record 0): start '-1' is not" in sidecar_error(folder, "Bea,s,a.wav,-1\n")
    assert "a field is empty or longer than 1000" in sidecar_error(folder, "Bea,,a.wav,0\n")
    assert "line 1: line contains NUL" in sidecar_error(folder, "Bea,\0,a.wav,0\n")
    assert "too long for a sidecar" in sidecar_error(folder, "x" * 100_000)


def test_sidecars_for_some_files_only(folder: Path) -> None:
    sidecar_path(folder / "part-10.bin").unlink()
    with pytest.raises(UserError, match=r"part-10\.bin has no part-10\.sessions\.csv beside it but .*part-2\.bin has"):
        open_dataset([folder])


def test_without_sidecars(folder: Path) -> None:
    for path in folder.glob("*.csv"):
        path.unlink()
    data = open_dataset([folder])
    assert data.sessions is None and data.recordings is None


def test_two_folders(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "more"
    other.mkdir()
    write_classes(other / "classes.txt", SPEAKERS)
    write_part(other / "part-1.bin", [0])
    describe(other, {"synthetic": True, "scale": "log"})
    data = open_dataset([folder, other])
    assert data.name == "data+more" and data.synthetic and data.scale is None
    assert data.records.labels.tolist() == [1, 0, 2, 0]
    write_classes(other / "classes.txt", SPEAKERS[::-1])
    with pytest.raises(UserError, match=r"more/classes\.txt and .*data/classes\.txt differ"):
        open_dataset([folder, other])


def test_the_same_file_twice(folder: Path) -> None:
    with pytest.raises(UserError, match=r"part-2\.bin: given 2 times"):
        open_dataset([folder, folder / "part-2.bin"])


def test_unfinished_and_empty_folders(folder: Path, tmp_path: Path) -> None:
    (folder / "unfinished").mkdir()
    with pytest.raises(UserError, match="preparation was interrupted"):
        open_dataset([folder])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no \.bin record files in this folder"):
        open_dataset([tmp_path / "empty"])
    with pytest.raises(UserError, match="no data given"):
        open_dataset([])


def test_label_without_a_class(folder: Path) -> None:
    write_classes(folder / "classes.txt", SPEAKERS[:2])
    with pytest.raises(UserError, match=r"part-10\.bin: record 0 at byte 0 has the label 2, outside the classes 0\.\.1"):
        open_dataset([folder])


def test_fingerprint_tells_data_apart(folder: Path) -> None:
    before = open_dataset([folder]).fingerprint()
    assert len(before) == 16 and open_dataset([folder]).fingerprint() == before
    with open(folder / "part-10.bin", "r+b") as file:
        file.seek(4000)
        file.write(np.float32(5).tobytes())
    assert open_dataset([folder]).fingerprint() != before
