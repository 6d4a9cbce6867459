"""Commands as a person runs them, in this process and in one of their own."""
from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

from threadpoolctl import threadpool_limits

from common.compare.session import Session
from common.contenders import Contender
from common.speed.worker import Worker
from common.speed.worker import command as asked

PROJECT = Path(__file__).parents[2]
PATHS = f"{PROJECT}:{PROJECT / 'tests/helpers'}"  # PYTHONPATH of a process that imports both
SMALL = ["--network", "tdnn", "--width", "0.05", "--batch-size", "8", "--threads", "1", "--convolutions", "default"]


def command(module: str, *arguments: Any) -> List[str]:
    """The words of `python -m module arguments`, or of `python compare.py arguments`."""
    how = [str(PROJECT / module)] if module.endswith(".py") else ["-m", module]
    return [sys.executable, *how, *map(str, arguments)]


def attended() -> None:
    """A process's `preexec_fn`: it heeds Ctrl-C, though a shell may have started the tests in the background, where all
    ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_apart(module: str, *arguments: Any, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a process of its own."""
    return subprocess.run(command(module, *arguments), cwd=cwd, capture_output=True, text=True, timeout=240)


def run(module: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run a command's `main` here, its workers too: frameworks are imported once for all. As if it had been a process.

    A framework that runs already keeps its number of threads, the tests' 1: give --threads 1. What --threads, or every
    core without it, does to NumPy's ends with the command.
    """
    words = list(map(str, arguments))
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ), threadpool_limits(1), mock.patch.object(Worker, "of", WorkerHere.of), \
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main_of(module)(words)
        except SystemExit as end:  # argparse's
            status = end.code
    return subprocess.CompletedProcess([module, *words], status, out.getvalue(), err.getvalue())


def main_of(module: str) -> Any:
    """The function that a command runs."""
    name = module.replace(".py", "")
    found = importlib.import_module(name)
    return (importlib.import_module(f"{name}.__main__") if hasattr(found, "__path__") else found).main


def succeed(module: str, *arguments: Any) -> str:
    """Run a command here that has to succeed; returns what it printed."""
    done = run(module, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class WorkerHere:
    """What `common.speed.worker.Worker` is, in this process; for a framework's twin."""

    def __init__(self, contender: Contender) -> None:
        self.started_at = time.monotonic()
        load = importlib.import_module(contender.module.partition(".")[0]).load
        self._session = Session(load)

    @classmethod
    def of(cls, contender: Contender, threads: int, *arguments: str) -> WorkerHere:
        assert contender.is_twin and threads == 1, (contender, threads)
        return cls(contender)

    def __enter__(self) -> WorkerHere:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing ends: the process goes on."""

    def ask(self, command: str, **arguments: Any) -> Dict[str, Any]:
        """Through JSON both ways, as there."""
        answer = asked(command, (self._session, self._session.bench))(**json.loads(json.dumps(arguments)))
        return json.loads(json.dumps(answer))
