"""A run that is killed at any moment, a file half written included, ends as the one that nobody killed, bit for bit."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from kills import differences, kill_and_resume


def test_killed_three_times_it_is_the_same_run(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form, in the framework that starts quicker; the long form is in results/kills.

    As in another home, or after another measurement: what is remembered of convolutions is another thing after each kill.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def remember(otherwise: bool = True) -> None:
        file, = tmp_path.glob("cache/*/convolutions/caffe2_impl-tdnn-*.json")
        found = json.loads(file.read_text())
        found["candidates"] = []  # nothing is left that the next run would measure
        if otherwise:
            found["plan"] = {} if found["plan"] else {"frame2": 6}
        file.write_text(json.dumps(found))

    kill_and_resume("caffe2_impl", tiny_data, tmp_path / "whole", kills=0, epochs=30)
    remember(otherwise=False)
    made = kill_and_resume("caffe2_impl", tiny_data, tmp_path / "killed", kills=3, epochs=30, after_kill=remember)
    assert differences(tmp_path / "killed", tmp_path / "whole") == []
    assert sum(made.values()) == 3
