"""What is shown while a command works: in a terminal a bar, in a log file a line for every stage, on stdout nothing."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.progress import BYTES, THINGS, Progress

PROJECT = Path(__file__).parents[1]


def test_a_log_file_gets_a_line_for_every_stage(capsys: pytest.CaptureFixture) -> None:
    with Progress() as progress:
        progress.show("starting", 0, 2)
        progress.print("a result")
        progress.time("timing", 61.0, 5.0)
    told = capsys.readouterr()
    assert told.err == "[1/2] starting\n[1:01, about 0:05 left] timing\n" and told.out == "a result\n"


@pytest.mark.parametrize("counted", [THINGS, BYTES])
def test_and_none_for_every_step(counted: str, capsys: pytest.CaptureFixture) -> None:
    with Progress(counted) as progress:
        progress.show("loss 0.1", 3, 10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("counted, told", [(THINGS, "3/10"), (BYTES, "3/10 bytes")])
def test_a_terminal_gets_a_bar_beside_what_is_printed(counted: str, told: str, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("TERM", "xterm")
    with Progress(counted) as progress:
        progress.show("reading", 3, 10)
        progress.print("a result")
    shown = capsys.readouterr()
    assert shown.out == "a result\n" and told in shown.err and "reading" in shown.err


def test_it_is_the_only_way() -> None:
    users = [path.relative_to(PROJECT).as_posix() for folder in ("common", "tf_impl", "caffe2_impl")
             for path in (PROJECT / folder).rglob("*.py") if re.search(r"(from|import) (rich|tqdm)", path.read_text())]
    assert users == ["common/progress.py"]
