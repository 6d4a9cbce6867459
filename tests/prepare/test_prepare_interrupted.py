"""Preparation interrupted: by kill -9, by a full disk, by a decoder that dies. It must go on to the same bytes.

    KILLS=100 python -m pytest tests/prepare/test_prepare_interrupted.py -k any_moment     # the long form
"""
from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator, List, Optional

import numpy as np
import pytest
from commands import PROJECT
from recordings import contents, write_tree

from common.data.dataset import open_dataset
from common.data.records import RecordWriter
from common.errors import UserError
from common.files import locked
from common.prepare import __main__ as prepare
from common.prepare.options import Options
from common.prepare.parts import PartJob, build_part
from common.prepare.sources import find_recordings

KILLS = int(os.environ.get("KILLS", 2))


def run(source: Path, out: Path) -> int:
    return prepare.main([str(source), str(out), "--workers", "1"])


def start(source: Path, out: Path, *options: str, before: Optional[Callable[[], None]] = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "common.prepare", str(source), str(out), "--workers", "2", *options]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=before)


def wait_for(folder: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    """Until preparation has made such a file, or ended."""
    deadline = time.monotonic() + 60
    while not list(folder.glob(f"unfinished/{pattern}")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)


def workers_of(process: subprocess.Popen[str]) -> List[int]:
    """The processes that its helpers, such as the one that copies itself into workers, have started."""
    return [worker for helper in children_of(process.pid) for worker in children_of(helper)]


def children_of(process: int) -> List[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [f"s{speaker}/v{video}/1.wav" for speaker in range(3) for video in range(4)]
    return write_tree(tmp_path_factory.mktemp("tree"), names, seconds=9.5)


@pytest.fixture(scope="module")
def whole(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run in one go makes of it."""
    out = tmp_path_factory.mktemp("out") / "data"
    assert run(tree, out) == 0
    return out


def test_killed_at_any_moment_it_completes_to_the_same_bytes(tree: Path, whole: Path, tmp_path: Path) -> None:
    """The first kills come when the first part is begun and when it is done, the others at a random time after."""
    generator = np.random.default_rng(0)
    kills = 0
    while kills < KILLS:
        out = tmp_path / f"data-{kills // 10}"  # ten kills each, as far as it takes so many
        process = start(tree, out)
        wait_for(out, ("*.bin.partial", "*.done.json")[kills % 2], process)
        time.sleep(0 if kills < 2 else generator.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        assert contents(out) == contents(whole) or (out / "unfinished").exists() or not list(out.glob("*.bin"))
    for out in tmp_path.glob("data-*"):
        process = start(tree, out)
        assert (process.wait(), contents(out) == contents(whole)) == (0, True), process.stderr.read()


@contextlib.contextmanager
def ending_before_move(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End this process's run before its n-th move into place: too quick to be hit by a kill from outside."""
    move, moves = os.replace, itertools.count(1)

    def move_or_end(source: Path, target: Path) -> None:
        if not str(source).endswith(".partial") and next(moves) == number:
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", move_or_end)
        yield


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose parts are all complete, and none of them moved."""
    out = tmp_path_factory.mktemp("built") / "data"
    with ending_before_move(1, pytest.MonkeyPatch()):
        assert run(tree, out) == 130
    assert not list(out.glob("*.bin")) and len(list(out.glob("unfinished/*.bin"))) == 8
    return out


@pytest.mark.parametrize("number", [2, 3, 9, 10, 17, 18])  # classes.txt, 8 parts, 8 sidecars, samples
def test_an_end_within_the_moves_is_made_good(tree: Path, whole: Path, built: Path, tmp_path: Path, number: int,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    out = shutil.copytree(built, tmp_path / "data")
    with ending_before_move(number, monkeypatch):
        assert run(tree, out) == 130
    assert (out / "classes.txt").exists() and not (out / "dataset.json").exists()
    with pytest.raises(UserError, match="interrupted"):
        open_dataset([out])
    assert run(tree, out) == 0
    assert contents(out) == contents(whole)


def test_a_full_disk_is_a_clear_error_that_leaves_what_was_valid(tree: Path, whole: Path, tmp_path: Path) -> None:
    def limit() -> None:  # stands for the disk: no file may grow beyond two records
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

    process = start(tree, tmp_path / "data", before=limit)
    error = " ".join(process.communicate()[1].split())
    assert process.returncode == 2 and "Traceback" not in error
    assert "cannot write record 2" in error and "the same command goes on from there" in error
    assert run(tree, tmp_path / "data") == 0
    assert contents(tmp_path / "data") == contents(whole)


def test_a_disk_that_is_full_from_the_start_loses_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part whose first record cannot be written is not one without records."""
    tree = write_tree(tmp_path / "tree", ["s1/v/1.wav", "s2/v/1.wav"], seconds=3.1)
    recordings = find_recordings(tree).recordings
    job = PartJob(tree, tmp_path, 1, tuple(recordings), frozenset(), {"s1": 0, "s2": 1}, Options())

    def full(self: RecordWriter, *_: object) -> None:
        raise self._cannot_write(OSError(errno.ENOSPC, "No space left on device"))

    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "append", full)
        with pytest.raises(UserError, match="part-1.bin: cannot write record 0 .*No space left"):
            build_part(job)
    assert not job.done_path.exists() and build_part(job).records == 2


def test_two_at_once_do_not_mix(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with locked(tmp_path / "data" / "unfinished" / "lock", "busy"):
        assert run(tree, tmp_path / "data") == 2
    assert "another process is preparing" in capsys.readouterr().err


def test_a_decoder_that_dies_is_reported_with_what_it_read(tree: Path, tmp_path: Path) -> None:
    process = start(tree, tmp_path / "data")
    wait_for(tmp_path / "data", "*.bin.partial", process)
    for worker in workers_of(process):
        os.kill(worker, signal.SIGSEGV)
    error = process.communicate()[1]
    assert process.returncode == 2 and "a worker process died" in error and ".wav" in error
    assert run(tree, tmp_path / "data") == 0


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", [f"s{number % 2}/v/{number}.wav" for number in range(16)], seconds=60.0)
    process = start(tree, tmp_path / "data")
    wait_for(tmp_path / "data", "*.bin.partial", process)
    workers = workers_of(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}/status").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers and not [worker for worker in workers if Path(f"/proc/{worker}/status").exists()]
