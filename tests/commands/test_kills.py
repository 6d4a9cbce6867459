"""A run that is killed at any moment, a file half written included, ends as the one that nobody killed, bit for bit."""
from __future__ import annotations

from pathlib import Path

from kills import differences, kill_and_resume


def test_killed_four_times_it_is_the_same_run(tiny_data: Path, tmp_path: Path) -> None:
    """The short form, in the framework that starts quicker; the long form is in results/kills."""
    made = kill_and_resume("caffe2_impl", tiny_data, tmp_path / "killed", kills=4, epochs=6)
    assert sum(made.values()) == 4
    kill_and_resume("caffe2_impl", tiny_data, tmp_path / "whole", kills=0, epochs=6)
    assert differences(tmp_path / "killed", tmp_path / "whole") == []
