"""How the tests in `fuzz/` damage files, and what is watched while a reader meets them."""
from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, List, Sequence

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.errors import UserError

INPUTS = int(os.environ.get("FUZZ_INPUTS", "25"))  # for each reader
LONG = "FUZZ_INPUTS" in os.environ

SPEAKERS = ["Ada", "Bea"]

# Far above what an honest file takes, and far below a hang or a bomb.
MOST_SECONDS = 20.0
MOST_MIB = 64.0  # and three times the size of the file

# What parsers stumble over: ends of lines and strings, numbers too large, other scripts' digits,
# floats that are no numbers, the heads of other kinds of file.
TOKENS = [b"", b"\0", b"\n", b"\r", b"\r\n", b'"', b"'", b",", b" ", b"\t", b"\\", b"{", b"}", b"[" * 3000, b"]", b":",
          b"-1", b"0", b"00", b"1e999", b"9" * 30, b"9" * 5000, b"NaN", b"-Infinity", b"true", b"null", b"\xff\xfe",
          b"\xef\xbb\xbf", b"\xed\xa0\x80", "\u0663".encode(), "\u2028".encode(), "\u202e".encode(), b"../../escaped",
          b"/tmp/escaped", b"\x1b[31m", b"\x80\x04cos\nsystem\n(S'true'\ntR.", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f",
          b"\x00\x00\x80\xff", b"\xff\xff\x7f\x7f", b"\x01\x00\x00\x00", b"PK\x03\x04", b"\x1f\x8b", b"\x93NUMPY"]


@st.composite
def damaged_bytes(draw: st.DrawFn, original: bytes, places: Sequence[int] = ()) -> bytes:
    """`original` after one to five edits; `places` are offsets where an edit is likely to matter."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 5))):
        anywhere = st.integers(0, max(0, len(data)))
        at = draw(st.one_of(anywhere, st.sampled_from(places)) if places else anywhere)
        length = draw(st.one_of(st.integers(0, 8), st.integers(0, 2 * len(data) + 1)))
        piece = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=40)))
        edit = draw(st.sampled_from(["overwrite", "overwrite", "insert", "delete", "cut", "repeat", "flip", "all"]))
        if edit == "overwrite":
            data[at:at + len(piece)] = piece
        elif edit == "insert":
            data[at:at] = piece
        elif edit == "delete":
            del data[at:at + length]
        elif edit == "cut":
            del data[at:]
        elif edit == "repeat":
            data[at:at] = data[at:at + min(length, 3 * len(original))]
        elif edit == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif edit == "all":
            data = bytearray(piece)
    return bytes(data)


def anything(path: Path) -> st.SearchStrategy[bytes]:
    """Damaged versions of a file, and files of something else."""
    return st.one_of(damaged_bytes(path.read_bytes()), st.binary(max_size=300))


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")


MAGNITUDES = [3e38, -3e38, 1.1e15, 9e14, 1e-14, -1e-16, 1e-30, 1e-40, -1e-45, 0.0]
HEADS = [b"\x93NUMPY\x01\x00v\x00" + bytes(118), b"RIFF", b"PK\x03\x04", b"<html>", bytes(4)]  # of other kinds of file
TYPES = [">f4", "<f8", ">f8", "<f2", "<i4", ">i4", "<i2", "<f4"]


@st.composite
def other_numbers(draw: st.DrawFn, values: np.ndarray) -> np.ndarray:
    """Float32 `values` after one or two of what happens to numbers: odd magnitudes here or everywhere, another type."""
    for _ in range(draw(st.integers(1, 2))):
        values = values.copy() if values.dtype.kind == "f" else values.astype("<f4")
        edit = draw(st.sampled_from(["some", "some", "all", "scale", "type", "swap"]))
        with np.errstate(all="ignore"):
            if edit == "some":
                places = draw(st.lists(st.integers(0, values.size - 1), min_size=1, max_size=4))
                values.flat[places] = draw(st.sampled_from(MAGNITUDES))
            elif edit == "all":
                values[...] = draw(st.sampled_from(MAGNITUDES))
            elif edit == "scale":
                values = values * values.dtype.type(draw(st.sampled_from(MAGNITUDES)))
            elif edit == "type":
                values = values.astype(draw(st.sampled_from(TYPES)))
            elif edit == "swap":
                values = values.byteswap()
    return values


TAG = b"TITLETITLE"  # stands in the files that `rearranged` is given


@st.composite
def rearranged(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    """One to three of the files joined end to end: some cut at either end, some with bytes of any kind for a tag."""
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        piece = draw(st.sampled_from(files))
        if draw(st.booleans()):
            tag = draw(st.one_of(st.binary(min_size=len(TAG), max_size=len(TAG)), st.binary(max_size=40)))
            piece = piece.replace(TAG, tag)
        cut = draw(st.sampled_from(["no", "no", "end", "start", "both"]))
        begin = draw(st.integers(0, len(piece))) if cut in ("start", "both") else 0
        end = draw(st.integers(begin, len(piece))) if cut in ("end", "both") else len(piece)
        pieces.append(piece[begin:end])
    return b"".join(pieces)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.integers(), st.sampled_from([2**63, -2**64, 10**30]),
              st.floats(), st.text(max_size=8), st.sampled_from(["\0", "\ud800", "../x", "/etc/passwd", "x" * 5000])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8)


@st.composite
def damaged_json(draw: st.DrawFn, original: Any) -> bytes:
    """The JSON of `original` after one to three values or keys in it were replaced, removed or added."""
    value = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(1, 3))):
        value = _replace_somewhere(draw, value)
    return json.dumps(value).encode()


def _replace_somewhere(draw: st.DrawFn, value: Any) -> Any:
    edit = draw(st.sampled_from(["descend", "descend", "descend", "replace", "remove", "add"]))
    if edit == "replace" or not isinstance(value, (dict, list)) or not value:
        return draw(VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    if edit == "descend":
        value[key] = _replace_somewhere(draw, value[key])
    elif edit == "remove":
        del value[key]
    elif isinstance(value, dict):
        value[draw(st.one_of(st.sampled_from(keys), st.text(max_size=8)))] = draw(VALUES)
    else:
        value.insert(key, draw(VALUES))
    return value


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    slowest_seconds: float = 0.0
    largest_mib: float = 0.0

    def refuse(self, error: UserError, name: str) -> None:
        """Count a refusal, which must be one printable line that names the file."""
        message = str(error)
        assert name in message, f"does not name {name}: {message[:300]}"
        assert message.isprintable() and len(message) < 4000, f"not for a person: {message[:300]!r}"
        self.refused += 1


_forbidden: List[str] = []
_allowed_folder: List[str] = []
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
            "os.chown", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile"}
_NEVER = {"pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "exec",
          "marshal.loads"}


def _audit(event: str, arguments: tuple) -> None:
    if not _allowed_folder:
        return
    if event == "exec" and not arguments[0].co_filename.startswith(("<", _allowed_folder[0])):
        return  # the import of an installed module, which libraries do late
    if event in _NEVER:
        _forbidden.append(f"{event} {str(arguments)[:200]}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        _check_path(event, arguments[0])
    elif event in _CHANGES:
        for path in arguments[:2]:
            _check_path(event, path)


def _check_path(event: str, path: Any) -> None:
    if isinstance(path, (str, bytes, os.PathLike)):
        real = os.path.realpath(os.fsdecode(path))
        inside = (real + os.sep).startswith(_allowed_folder[0] + os.sep)
        if not inside and real != os.devnull and "__pycache__" not in real:
            _forbidden.append(f"{event} {real}")


sys.addaudithook(_audit)


@contextmanager
def watched(folder: Path, tally: Tally, most_seconds: float, most_mib: float) -> Iterator[None]:
    """Fail when what happens inside writes outside `folder`, unpickles, runs anything, or takes too much."""
    _forbidden.clear()
    _allowed_folder.append(os.path.realpath(folder))
    tracemalloc.start()
    start = time.perf_counter()
    try:
        yield
    finally:  # however the reader ends: a refusal may cost no more than a result
        seconds, mib = time.perf_counter() - start, tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        _allowed_folder.clear()
        tally.slowest_seconds = max(tally.slowest_seconds, seconds)
        tally.largest_mib = max(tally.largest_mib, mib)
        assert not _forbidden, _forbidden
        assert seconds < most_seconds, f"took {seconds:.1f} s"
        assert mib < most_mib, f"took {mib:.0f} MiB"


def examine(tally: Tally, path: Path, data: bytes, read: Callable[[], Any], verify: Callable[[Any], None]) -> None:
    """Write `data` to `path` and `read` it; what that returns must pass `verify`."""
    path.write_bytes(data)
    tally.inputs += 1
    try:
        with watched(path.parent, tally, MOST_SECONDS, MOST_MIB + 3 * len(data) / 2**20):
            result = read()
    except UserError as error:
        tally.refuse(error, path.name)
    else:
        verify(result)
        tally.read += 1


def fuzz(tally: Tally, path: Path, damaged: st.SearchStrategy[bytes], read: Callable[[], Any],
         verify: Callable[[Any], None]) -> None:
    """`examine` INPUTS damaged versions of the file at `path`, after the whole one."""
    verify(read())
    whole = path.read_bytes()
    for data in (b"", b"something else"):  # once unwatched: readers import what they need for it late
        path.write_bytes(data)
        with suppress(UserError):
            read()
    path.write_bytes(whole)

    # Without shrinking: the failing bytes are shown, and making them smaller may take minutes.
    @settings(max_examples=INPUTS, derandomize=not LONG, database=None, deadline=None, phases=[Phase.generate],
              report_multiple_bugs=False, suppress_health_check=list(HealthCheck))
    @given(damaged)
    def run(data: bytes) -> None:
        examine(tally, path, data, read, verify)

    run()
