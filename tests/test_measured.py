"""The head of what is kept in results/: it says when, where, with which code and versions."""
from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.measured import commit, facts, told


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True,
                          capture_output=True, text=True).stdout.strip()


@pytest.fixture()
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "results").mkdir()
    for name in ("code.py", "results/figures.md"):
        (tmp_path / name).write_text("first")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_it_names_all_that_a_figure_depends_on() -> None:
    found = facts(threads=3)
    assert found["date"] == datetime.date.today().isoformat() and found["threads"] == "3"
    assert found["python"] == ".".join(map(str, sys.version_info[:3])) and found["numpy"] == np.__version__
    assert found["tensorflow"].startswith("2.") and found["torch"].startswith("1.10") and found["processor"]
    assert told({"threads": 3, "date": "today"}) == "threads 3; date today"


def test_the_commit_and_whether_it_is_all(clone: Path) -> None:
    name = git(clone, "rev-parse", "--short", "HEAD")
    (clone / "results" / "figures.md").write_text("measured again")  # no change of what was measured
    (clone / "notes.txt").write_text("nobody's business")
    assert commit(clone) == name
    (clone / "code.py").write_text("second")
    assert commit(clone) == f"{name} and changes"


def test_without_a_clone_or_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) == "unknown"
