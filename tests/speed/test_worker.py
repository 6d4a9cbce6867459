"""Worker processes: their answers, their errors, their chatter, and that none is ever left behind."""
from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable

import pytest
from commands import PATHS, PROJECT

from common.contenders import Contender
from common.errors import UserError, friendly
from common.speed import worker
from common.speed.bench import Work
from common.speed.worker import Worker, WorkerError, Workers, at_once
from common.training.config import TrainingConfig

SERVE = """
import ctypes, os, signal, sys, time
import numpy_twin
from common.errors import UserError
from common.compare.session import Session
from common.speed.worker import serve

def load():
    {load}

session = Session(load)
serve(session, session.bench)
"""


@pytest.fixture()
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a package whose worker runs a source, and returns the name of the worker's module."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PATHS}")

    def make(source: str) -> str:
        (tmp_path / "made_impl").mkdir()
        (tmp_path / "made_impl" / "worker.py").write_text(source)
        return "made_impl.worker"

    return make


@pytest.fixture()
def job(tiny_data: Path) -> dict:
    config = TrainingConfig(network="tdnn", width=0.02, batch_size=4, epochs=2)
    work = Work("tdnn", 4, config.width, batch_size=4, data=[str(tiny_data)])
    return {"work": dataclasses.asdict(work), "config": dataclasses.asdict(config)}


def gone(pid: int) -> bool:
    """Whether the process ends within some seconds (a zombie that nobody waits for has ended)."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


def test_commands_run_one_after_the_other_on_one_session(package: Callable[[str], str], job: dict, tmp_path: Path) -> None:
    with Worker(package(SERVE.format(load="return numpy_twin.load()")), threads=1) as worker:
        opened = worker.ask("open", **job)
        assert opened["facts"]["engine"] == "NumPy"
        worker.ask("learn", folder=str(tmp_path / "run"))
        first, second = worker.ask("train_epoch"), worker.ask("train_epoch")
        assert len(first["losses"]) == len(second["losses"]) == 6
        assert second["losses"] != first["losses"]
        assert worker.ask("peak_memory")["mib"] > 10


def test_threads_of_blas_are_set(package: Callable[[str], str], job: dict) -> None:
    load = "raise UserError(os.environ['OMP_NUM_THREADS'] + os.environ['OPENBLAS_NUM_THREADS'])"
    with Worker(package(SERVE.format(load=load)), threads=3) as worker, pytest.raises(UserError, match="^33$"):
        worker.ask("open", **job)


def test_variables_of_a_contender_are_set_and_taken_away(package: Callable[[str], str], job: dict,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAKEN", "here")
    load = "raise UserError(str([os.environ.get(name) for name in ('TAKEN', 'GIVEN')]) + sys.argv[1])"
    row = Contender("made", "Made", package(SERVE.format(load=load)), "numpy", "red", environment={"TAKEN": None, "GIVEN": "1"})
    with Worker.of(row, 1, "direct") as worker, pytest.raises(UserError, match=r"^\[None, '1'\]direct$"):
        worker.ask("open", **job)


def test_chatter_of_a_framework_is_no_answer(package: Callable[[str], str], job: dict) -> None:
    """By way of Python, of the file descriptor and of C; before and while it answers."""
    load = r"""print('{"result": "from Python"}')
    os.write(1, b'{"result": "from the descriptor"}\n')
    ctypes.CDLL(None).puts(b'{"result": "from C"}')
    sys.stdout.write('no end of line')
    return numpy_twin.load()"""
    with Worker(package(SERVE.format(load=load)), threads=1) as worker:
        assert worker.ask("open", **job)["facts"]["framework"].startswith("NumPy")
        assert worker.ask("peak_memory")["mib"] > 10


def test_a_users_error_stays_one_and_the_worker_lives(package: Callable[[str], str], job: dict) -> None:
    with Worker(package(SERVE.format(load="raise UserError('no GPU; use --device cpu')")), threads=1) as worker:
        for _ in range(2):
            with pytest.raises(UserError, match="^no GPU; use --device cpu$") as caught:
                worker.ask("open", **job)
            assert not isinstance(caught.value, WorkerError)


def test_a_bad_job_is_named(package: Callable[[str], str], job: dict, tiny_data: Path) -> None:
    job["work"]["data"] = [str(tiny_data / "nothing.bin")]
    with Worker(package(SERVE.format(load="return numpy_twin.load()")), threads=1) as worker:
        with pytest.raises(UserError, match="nothing.bin"):
            worker.ask("open", **job)


def test_a_defect_comes_with_its_traceback(package: Callable[[str], str], job: dict) -> None:
    with Worker(package(SERVE.format(load="return 1 / 0")), threads=1) as worker:
        with pytest.raises(WorkerError, match="(?s)made_impl.*'open'.*division by zero.*return 1 / 0"):
            worker.ask("open", **job)
        with pytest.raises(WorkerError, match="no_such_command"):
            worker.ask("no_such_command")
        assert worker.ask("peak_memory")["mib"] > 10


@pytest.mark.parametrize("load, status", [
    ("print('about to fail'); sys.stdout.flush(); os._exit(3)", "3"),
    ("print('about to fail', file=sys.stderr); os.kill(os.getpid(), signal.SIGSEGV)", "-11"),
], ids=["exit", "segmentation fault"])
def test_a_worker_that_dies(package: Callable[[str], str], job: dict, load: str, status: str) -> None:
    with Worker(package(SERVE.format(load=load)), threads=1) as worker:
        for _ in range(2):  # asked again it is still dead
            with pytest.raises(WorkerError, match=f"(?s)'open' with status {status};.*about to fail"):
                worker.ask("open", **job)


def test_a_worker_that_does_not_start(package: Callable[[str], str], job: dict) -> None:
    with Worker(package("raise ImportError('libtorch.so is missing')"), threads=1) as worker:
        with pytest.raises(WorkerError, match="libtorch.so is missing"):
            worker.ask("open", **job)


def test_half_an_answer_is_none(package: Callable[[str], str]) -> None:
    source = "import os, sys\nsys.stdin.readline()\nos.write(1, b'{\"result\": {\"mib')\nos._exit(9)"
    with Worker(package(source), threads=1) as worker, pytest.raises(WorkerError, match="status 9"):
        worker.ask("peak_memory")


def test_the_error_of_a_dead_worker_reaches_the_person(package: Callable[[str], str], job: dict,
                                                       capsys: pytest.CaptureFixture) -> None:
    """Leaving the context, too, meets the broken pipe, and must not hide what was wrong."""
    name = package("import sys; sys.exit('no framework here')")

    @friendly
    def main(argv: object) -> int:
        with Worker(name, threads=1) as worker:
            worker.process.wait()
            worker.ask("open", **job)
        return 0

    assert main(None) == 2
    assert "no framework here" in capsys.readouterr().err


def test_leaving_the_context_ends_a_busy_worker(package: Callable[[str], str]) -> None:
    start = time.monotonic()
    with Worker(package(SERVE.format(load="time.sleep(60)")), threads=1) as worker:
        pid = worker.process.pid
        worker.process.stdin.write('{"do": "open", "with": {}}\n')
    assert gone(pid) and time.monotonic() - start < 10


PARENT = """
import json, sys
from common.speed.worker import Worker
with Worker("made_impl.worker", threads=1) as worker:
    worker.ask("peak_memory")
    print(worker.process.pid, flush=True)
    worker.ask(sys.argv[1], **json.loads(sys.argv[2]))
    sys.stdin.read()
"""


@pytest.mark.parametrize("command", ["open", "peak_memory"], ids=["busy", "idle"])
def test_no_worker_outlives_a_parent_that_is_killed(package: Callable[[str], str], job: dict, command: str) -> None:
    package(SERVE.format(load="time.sleep(60)"))
    arguments = json.dumps(job if command == "open" else {})
    parent = subprocess.Popen([sys.executable, "-c", PARENT, command, arguments], cwd=PROJECT, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with parent:
        worker = int(parent.stdout.readline())
        time.sleep(1)
        assert Path(f"/proc/{worker}").exists()
        parent.kill()
    assert gone(worker)


def test_ctrl_c_is_the_parents_business(package: Callable[[str], str]) -> None:
    with Worker(package(SERVE.format(load="return numpy_twin.load()")), threads=1) as worker:
        worker.ask("peak_memory")
        os.kill(worker.process.pid, signal.SIGINT)
        assert worker.ask("peak_memory")["mib"] > 10


def test_what_is_not_timed_runs_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=10)  # broken unless all three are there
    assert sorted(at_once([meeting.wait] * 3)) == [0, 1, 2]
    assert at_once([lambda: "first", lambda: "second"]) == ["first", "second"] and at_once([]) == []


def test_an_error_of_one_waits_for_no_other() -> None:
    ended = threading.Event()

    def wrong() -> None:
        raise UserError("wrong numbers")

    try:
        with pytest.raises(UserError, match="^wrong numbers$"):
            at_once([wrong, lambda: ended.wait(60)])
        assert not ended.is_set()
    finally:
        ended.set()


def test_workers_that_were_ended_start_again(package: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    row = Contender("made", "Made", package(SERVE.format(load="return numpy_twin.load()")), "numpy", "red")
    monkeypatch.setitem(worker.CONTENDERS, "made", row)
    with Workers(threads=1) as workers:
        first = workers.of(row)
        assert workers.of(row) is first
        workers.close()
        assert first.process.poll() is not None
        assert workers.of(row) is not first and workers.of(row).ask("peak_memory")["mib"] > 10


def test_no_worker_starts_once_the_context_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that `at_once` does not wait for may ask after an error has ended the work."""
    row = Contender("made", "Made", "made_impl.worker", "numpy", "red")
    monkeypatch.setattr(Worker, "of", lambda *_: pytest.fail("a process nobody ends"))
    with Workers(threads=1) as workers:
        pass
    with pytest.raises(WorkerError, match="ended before made was asked for"):
        workers.of(row)
