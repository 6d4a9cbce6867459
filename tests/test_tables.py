"""Tables fit the terminal they are shown in, and lose nothing by it."""
from __future__ import annotations

import re

import pytest

from common.tables import table, table_of_numbers

HEADERS = ["", *(f"contender number {number}" for number in range(8))]
ROWS = [["training, utterances/s", *(f"{100 + number}.5 [99.1, 1234.56]" for number in range(8))]]


@pytest.mark.parametrize("width", (60, 80, 120, 300))
def test_fits_the_width(width: int) -> None:
    assert max(map(len, table(ROWS, HEADERS, "simple", width).splitlines())) <= width


@pytest.mark.parametrize("width", (60, 80, 120, 300, None))
def test_every_cell_is_there(width: int) -> None:
    words = re.findall(r"\S+", table(ROWS, HEADERS, "simple", width))
    for number in range(8):
        assert words.count(f"{100 + number}.5") == 1
    assert words.count("1234.56]") == 8


def test_without_a_width_a_row_is_a_line() -> None:
    assert len(table(ROWS, HEADERS, "github").splitlines()) == 3


def test_what_fits_is_left_as_it_is() -> None:
    assert table([["a", "b"]], ["x", "y"], "simple", 80) == table([["a", "b"]], ["x", "y"], "simple")


def test_a_bar_in_a_name_parts_no_cell_of_markdown() -> None:
    assert table([["a|b", 1]], ["speaker", "utterances"], "github").splitlines()[2].split() == ["|", r"a\|b", "|", "1", "|"]
    assert "a|b" in table([["a|b", 1]], ["speaker", "utterances"], "simple")


def test_text_that_looks_like_a_number_stands_as_it_is() -> None:
    *_, one, other = table_of_numbers([{"n": 1, "MiB": "983", "of": "1.00"}, {"n": 2, "MiB": "1,024", "of": "0.50"}], ".1f").splitlines()
    assert [one.split()[1::2], other.split()[1::2]] == [["1", "983", "1.00"], ["2", "1,024", "0.50"]]


def test_numbers_stand_to_the_right_in_the_form_that_is_asked_for() -> None:
    lines = table_of_numbers([{"step": "training", "batch": 16, "ms": 1234.56}, {"step": "latency", "batch": 1000, "ms": None}],
                             ".1f").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["step", "batch", "ms"]
    assert cells[2:] == [["training", "16", "1234.6"], ["latency", "1,000", ""]]
    assert lines[2].index("16") > lines[3].index("1,000")
