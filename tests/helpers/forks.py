"""Commands by the dozen, each in a process of its own: copies of one that has imported what most of them need.

    with Forks("numpy") as forks:
        done = forks.run(["tensorflow"], "common.doctor", "data/mine")

A copy is there in a millisecond, where a new interpreter with NumPy takes a third of a second.
"""
from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, List

PROJECT = Path(__file__).parents[2]
MOST_SECONDS = 3  # of the processor, with the imports


class Forks:
    """The process that is copied; use as a context. `modules`: what it imports first."""

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules], cwd=PROJECT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(PROJECT)})

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, slow: List[str], module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`python -m module arguments`, or of a file; fails if it imported what is `slow`, or took long."""
        words = [module, *map(str, arguments)]
        with tempfile.TemporaryFile("r+") as out, tempfile.TemporaryFile("r+") as err:
            request = {"words": words, "slow": slow, "streams": [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (out, err)]}
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            status = int(self._process.stdout.readline())
            done = subprocess.CompletedProcess(words, status, out.read(), err.read())
        assert "SLOW" not in done.stderr, done.stderr
        return done


def serve(modules: List[str]) -> None:
    """Copy this process for every request of a line on standard input; answers with exit statuses."""
    del sys.path[0]  # the tests' folder, which is not there for a person
    for name in modules:
        importlib.import_module(name)
    spent = time.process_time()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(_become(json.loads(line), spent))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(request: Any, spent: float) -> int:
    """Run the command in this process; its exit status."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(request["streams"], 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    sys.argv = request["words"]
    status: Any = 0
    try:
        if sys.argv[0].endswith(".py"):
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    late, spent = set(request["slow"]) & set(sys.modules), spent + time.process_time()
    if late or spent > MOST_SECONDS:
        print(f"SLOW: {spent:.1f} s, imported {late}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve(sys.argv[1:])
