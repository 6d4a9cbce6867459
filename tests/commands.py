"""Commands as a person runs them: processes of their own."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, List

PROJECT = Path(__file__).parents[1]
SMALL = ["--network", "tdnn", "--width", "0.05", "--batch-size", "8", "--threads", "1", "--convolutions", "default"]


def command(module: str, *arguments: Any) -> List[str]:
    """The words of `python -m module arguments`, or of `python compare.py arguments`."""
    how = [str(PROJECT / module)] if module.endswith(".py") else ["-m", module]
    return [sys.executable, *how, *map(str, arguments)]


def run(module: str, *arguments: Any, cwd: Path = PROJECT) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(command(module, *arguments), cwd=cwd, capture_output=True, text=True, timeout=240)


def succeed(module: str, *arguments: Any, cwd: Path = PROJECT) -> str:
    """Run a command that has to succeed; returns what it printed."""
    done = run(module, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
