"""What watches while a reader meets a damaged file."""
from __future__ import annotations

import json
import pickle
import platform
from pathlib import Path

import numpy as np
import pytest
from fuzzing import MOST_MIB, MOST_SECONDS, Tally, watched

from common.errors import UserError
from common.machine import describe


def refuse_after_much() -> None:
    raise UserError(str(len(bytes(10**8))))


def test_the_watch_sees_what_it_must(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    for act in (lambda: outside.write_text("x"), lambda: (inside / ".." / "sly").touch(), (tmp_path / "folder").mkdir,
                lambda: pickle.loads(pickle.dumps(Path)), lambda: exec("1"),
                lambda: np.empty(10**8, np.uint8), refuse_after_much):
        with pytest.raises(AssertionError):
            with watched(inside, Tally(), MOST_SECONDS, MOST_MIB):
                act()
    with watched(inside, Tally(), MOST_SECONDS, MOST_MIB):
        (inside / "fine").write_text("x")


def test_machine_is_described_without_its_name() -> None:
    """What goes into results/ must say on which kind of machine, and name no path of it."""
    assert platform.node() not in json.dumps(describe()) and "/" not in json.dumps(describe())
