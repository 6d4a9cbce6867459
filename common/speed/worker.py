"""A framework in a process of its own: the line between who asks and an object that answers, such as a `Bench`.

    with Worker("tf_impl.worker", threads=2) as worker:
        worker.ask("open", work={...}, config={...})
    with Workers(threads=2) as workers:      # for what comes before: one a framework, when first needed
        workers.of(CONTENDERS["caffe2-direct"]).ask("selfcheck", work={...})

One JSON object a line each way. A worker's own output (frameworks chatter on stdout) goes to a log
file, so that it cannot be taken for an answer; it is shown when a worker fails.
"""
from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, TypeVar

from common.contenders import CONTENDERS, Contender
from common.errors import UserError
from common.machine import PROJECT, THREAD_VARIABLES

_LAST_LINES = 15
_SECONDS_BETWEEN_LOOKS = 0.5
T = TypeVar("T")


class WorkerError(UserError):
    """A worker failed; the message holds the end of its log."""


class Worker:
    """The parent's end of a worker process. Use as a context: leaving it ends the process."""

    def __init__(self, module: str, threads: int, *arguments: str,
                 environment: Mapping[str, Optional[str]] = {}) -> None:
        """Start `python -m module arguments`, which has to call `serve`.

        environment: variables of the process; None: the variable is not set.
        """
        self.module = module
        self.started_at = time.monotonic()
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        variables = {**os.environ, **environment, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=PROJECT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            env={name: value for name, value in variables.items() if value is not None})

    @classmethod
    def of(cls, contender: Contender, threads: int, *arguments: str) -> Worker:
        """Start the worker of a contender."""
        return cls(contender.module, threads, *arguments, environment=contender.environment)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, command: str, **arguments: Any) -> Dict[str, Any]:
        """Have the worker run a method of what it serves; blocks until it answers.

        Raises WorkerError if the worker dies, UserError for what the worker calls a user's error.
        """
        try:
            self.process.stdin.write(json.dumps({"do": command, "with": arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise WorkerError(f"the worker {self.module} ended during {command!r} with status "
                              f"{self.process.wait()}; its last words:\n{self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"])
        if "defect" in answer:
            raise WorkerError(f"the worker {self.module} failed in {command!r}: "
                              f"{answer['defect']}\n{self._last_words()}")
        return answer["result"]

    def close(self) -> None:
        """End the process, kindly first: it leaves when its input ends."""
        with contextlib.suppress(BrokenPipeError):  # it may have died with a request unread
            self.process.stdin.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        return "".join(self._log.readlines()[-_LAST_LINES:])


class Workers:
    """Processes for what is done before the work itself. Use as a context: leaving it ends them.

    One for each framework, started when it is first asked for: starting costs as much as a check.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._workers: Dict[str, Worker] = {}
        self._left, self._starting = False, threading.Lock()

    def of(self, contender: Contender) -> Worker:
        """That of the contender's framework; whoever asks says by which plan it is to compute.

        Raises WorkerError once the context was left: a thread may still ask, and nobody would end what it starts.
        """
        name = contender.own_of or contender.key
        with self._starting:
            if self._left:
                raise WorkerError(f"the processes were ended before {name} was asked for")
            if name not in self._workers:
                self._workers[name] = Worker.of(CONTENDERS[name], self._threads)
            return self._workers[name]

    def __enter__(self) -> Workers:
        return self

    def close(self) -> None:
        """End all that run; who is asked for after that is started again."""
        while self._workers:
            self._workers.popitem()[1].close()

    def __exit__(self, *_: object) -> None:
        with self._starting:
            self._left = True
        self.close()


def at_once(asked: Sequence[Callable[[], T]]) -> List[T]:
    """What these return, all called side by side: for what several workers do while nothing is timed.

    Raises the first error of any, without waiting for the others: they end when whoever asked leaves the context
    of their workers, by an error of their own that nobody sees.
    """
    pool = ThreadPoolExecutor(max(1, len(asked)))
    try:
        return [future.result() for future in [pool.submit(each) for each in asked]]
    finally:
        pool.shutdown(wait=False)


def command(name: str, served: Sequence[object]) -> Callable[..., Any]:
    """What is asked for by this name, of the first that can be asked for it."""
    return getattr(next((each for each in served if hasattr(each, name)), served[-1]), name)


def serve(*served: object) -> NoReturn:
    """The worker's end: run commands from standard input until it ends, or the parent is gone."""
    # Ctrl-C reaches the whole process group; the parent decides what happens to its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a framework prints goes to the log
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": command(request["do"], served)(**request["with"])}
        except UserError as error:
            answer = {"error": str(error)}
        except Exception as error:  # reported to the parent, which stops the comparison
            import traceback
            traceback.print_exc()
            answer = {"defect": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # frameworks take a second to tidy up what is gone with the process


def _end_with_parent(parent: int) -> None:
    """A command can take minutes; if the parent is killed meanwhile, nobody wants its answer."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)
