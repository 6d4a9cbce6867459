"""Classes files: what is written is read back, every bad line is refused by its number."""
from __future__ import annotations

import os
from pathlib import Path
from typing import List

import pytest

from common.data.classes import read_classes, write_classes
from common.errors import UserError


def test_classes_round_trip(tmp_path: Path) -> None:
    names = ["Miley_Cyrus", "Hye-kyo_Song", "Zoë Kravitz"]
    write_classes(tmp_path / "classes.txt", names)
    assert (tmp_path / "classes.txt").read_text("utf-8").startswith("0 Miley_Cyrus\n1 Hye-kyo_Song\n")
    assert read_classes(tmp_path / "classes.txt") == names


def test_classes_from_another_editor(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbf1\tB\r\n\r\n0  A \r\n")
    assert read_classes(tmp_path / "classes.txt") == ["A", "B"]


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"),
    (b"Miley_Cyrus\n", "line 1 .* does not begin with a label"),
    (b"0 A\n-1 B\n", "line 2 .* does not begin with a label"),
    (b"0 A\n1\n", "line 2 .* has no name"),
    (b"0 A\n0 B\n", "line 2 .* repeats label 0"),
    (b"0 A\n2 B\n", "label 1 has no line"),
    (b"0 A\n1 A\n", "'A' has 2 labels"),
    (b"0 A\n1 B\x00\n", "line 2 .* cannot be printed"),
    (b"0 \xff\xfe\n", "byte 2 is not UTF-8"),
    (b"0 " + b"x" * 2**25, "too long for a classes file"),
], ids=range(10))
def test_bad_classes(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"classes\.txt.*{message}"):
        read_classes(path)


def test_missing_classes_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"classes\.txt: no such classes file"):
        read_classes(tmp_path / "classes.txt")


@pytest.mark.parametrize("names", [["A", "A"], [""], ["A\nB"], [" A"]])
def test_bad_names_are_not_written(tmp_path: Path, names: List[str]) -> None:
    with pytest.raises(UserError, match="cannot name speaker"):
        write_classes(tmp_path / "classes.txt", names)
    assert os.listdir(tmp_path) == []
