"""Tables fit the terminal they are shown in, and lose nothing by it."""
from __future__ import annotations

import re

import pytest

from common.tables import table

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
