"""The one writer and the one lock, on disks that are full or read-only and file systems without locks."""
from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, List

import numpy as np
import pytest
from commands import PATHS, PROJECT

from common.doctor.plots import plot
from common.doctor.report import HealthReport
from common.errors import UserError, friendly
from common.files import cache_folder, locked, replacing, temporary_root, write_text
from common.network import params as parameters
from common.prepare.samples import write_wav


def full_disk() -> None:
    """Stands for one: no file of this process may grow beyond 1,000 bytes."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def write_onnx(path: Path) -> None:
    from onnx import TensorProto, helper

    from common.network import onnx_file

    weights = helper.make_tensor("w", TensorProto.FLOAT, [300, 2], [0.0] * 600)
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("MatMul", ["h", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 300])], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])], [weights])
    onnx_file.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)]), path)


def write_plot(path: Path) -> None:
    """The doctor's, whose name is its own."""
    report = HealthReport((), 0, 2, {"Ada": 3, "Bea": 4}, "bins", "log", 0, 0, 0, None, ())
    os.replace(plot(None, report, path.parent)[0], path)


WRITERS = {
    "text": lambda path: write_text(path, "line\n" * 1000),
    "parameters": lambda path: parameters.save(path, params={"w": np.zeros(1000, np.float32)}),
    "recording": lambda path: write_wav(path, np.zeros(1000, np.float32)),
    "onnx": write_onnx, "plot": write_plot}

WRITE_ALL = """
import sys, json
from pathlib import Path
from test_files import WRITERS, UserError, full_disk
full_disk()
said = {}
for name, write in WRITERS.items():
    try:
        write(Path(sys.argv[1]) / name)
    except UserError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    for name in WRITERS:
        (tmp_path / name).write_text(f"old {name}")
    done = subprocess.run([sys.executable, "-c", WRITE_ALL, tmp_path], cwd=Path(__file__).parent, text=True,
                          env={**os.environ, "PYTHONPATH": PATHS}, capture_output=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    said = json.loads(done.stdout)
    for name in WRITERS:
        assert "cannot write: File too large; check the folder and the free space" in said[name]
        assert "\n" not in said[name] and (tmp_path / name).read_text() == f"old {name}"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(WRITERS)


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
def test_a_read_only_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]) -> None:
    """Injected: the tests may run as root, whom permissions do not stop."""
    real = io.open

    def refuse(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "w" in mode and str(tmp_path) in str(file):
            raise OSError(errno.EROFS, "Read-only file system", str(file))
        return real(file, mode, *arguments, **options)

    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match="cannot write: Read-only file system"):
        write(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError])
def test_what_is_interrupted_leaves_nothing(tmp_path: Path, failure: type) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(failure):
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise failure
    assert (tmp_path / "a").read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["a"]


def test_links_are_written_through_and_devices_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "file").read_text() == "text"
    os.mkfifo(tmp_path / "pipe")
    got: List[str] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_text(tmp_path / "pipe", "through")
    reader.join()
    assert got == ["through"] and (tmp_path / "pipe").is_fifo()
    with pytest.raises(UserError, match="folder: cannot write: Is a directory"):
        write_text(tmp_path / "folder", "text")


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with locked(tmp_path / "run" / "lock", "somebody works here"):
        with pytest.raises(UserError, match="^somebody works here$"):
            with locked(tmp_path / "run" / "lock", "somebody works here"):
                pass
    with locked(tmp_path / "run" / "lock", "somebody works here"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_without_locks_it_goes_on_and_says_so(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "lock", "busy"):
        assert capsys.readouterr().err == (f"note: {tmp_path}/lock: no lock can be held here ({os.strerror(number)}); "
                                           "see that no other process writes to this folder\n")


def test_a_lock_in_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot write here: .*; choose another folder"):
        with locked(tmp_path / "file" / "lock", "busy"):
            pass


def test_the_cache_is_the_users_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given, place in ((str(tmp_path / "cache"), tmp_path / "cache"), ("relative", tmp_path / "home" / ".cache"),
                         ("", tmp_path / "home" / ".cache")):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache_folder() == place / "speaker-comparison"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a user without an entry
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder() == tmp_path / f"cache-of-{os.getuid()}" / "speaker-comparison"


def test_a_long_tmpdir_is_avoided_where_a_path_must_be_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "d" * 110)
    assert temporary_root(200) == "/tmp/" + "d" * 110 and len(temporary_root(70)) < 70


@pytest.mark.parametrize("number, status", [(errno.ENOSPC, 2), (errno.EROFS, 2), (errno.EPIPE, 141)])
def test_what_the_machine_refuses_anywhere_is_one_line(number: int, status: int, capsys: pytest.CaptureFixture) -> None:
    def main(argv: object = None) -> int:
        raise OSError(number, os.strerror(number), "/a/place")

    assert friendly(main)() == status
    assert capsys.readouterr().err == (f"error: /a/place: {os.strerror(number)}; check the place and the free space\n"
                                       if status == 2 else "")


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    def main(argv: object = None) -> int:
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError):
        friendly(main)()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["/nowhere"]], ids=["written", "nothing to write"])
def test_standard_output_that_is_full(arguments: List[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "common.doctor", *arguments], cwd=PROJECT, stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert ("standard output" in done.stderr) == (arguments == ["--help"])
