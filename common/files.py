"""Files read defensively and written whole or not at all, and locks on what one process may write at a time.

    from common.files import csv_text, locked, read_json, read_text, replacing, write_json, write_text
"""
from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import re
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import IO, Any, Dict, Iterable, Iterator, List, NoReturn, Sequence, Tuple

from common.errors import UserError

MAX_TEXT_BYTES = 64 * 2**20  # far above any honest file; a record file named by mistake is larger
_PIECE = 2**16
_MAX_DIGITS = 20             # integers beyond 64 bits; parsing a million digits takes seconds


def read_text(path: Path, what: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The whole of a UTF-8 file (a byte order mark is dropped); `what` names it in errors.

    Raises `UserError` for a file that is missing, unreadable, too large, or not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            # In pieces: the size of a pipe is not known beforehand, and read(limit) would allocate the limit.
            data = bytearray()
            while len(data) <= max_bytes:
                piece = file.read(_PIECE)
                if not piece:
                    break
                data += piece
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}; check the path") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read this {what}: {error.strerror}") from None
    except ValueError as error:  # a NUL character in the path
        raise UserError(f"{str(path)!r}: cannot read this {what}: {error}") from None
    if len(data) > max_bytes:
        raise UserError(f"{path}: more than {max_bytes} bytes is too long for a {what}; is it another file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8, so this is not a {what}; "
                        "save it as UTF-8 text") from None


def read_json(path: Path, what: str) -> Any:
    """Parse strict JSON: no NaN, no repeated keys, no absurd numbers or nesting. Raises `UserError`."""
    text = read_text(path, what)

    def refuse(reason: str) -> NoReturn:
        raise UserError(f"{path}: not a valid {what}: {reason}")

    def parse_int(digits: str) -> int:
        if len(digits) > _MAX_DIGITS:
            refuse(f"the number {digits[:_MAX_DIGITS]}... has {len(digits)} digits")
        return int(digits)

    def parse_float(number: str) -> float:
        value = float(number)
        return value if abs(value) != float("inf") else refuse(f"the number {number[:40]} is out of range")

    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        for key, times in Counter(key for key, _ in pairs).items():
            if times > 1:
                refuse(f"the key {key[:60]!r} appears {times} times")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=parse_int, parse_float=parse_float,
                          parse_constant=lambda name: refuse(f"{name} is not a JSON number"))
    except json.JSONDecodeError as error:
        refuse(f"{error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        refuse("nested too deeply")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`; what is written there gets the real one if the block ends well.

    Whatever ends the block, no half-written file is left, and one that was there before stays as it was.
    Raises `UserError` for a disk that is full, read-only or fails.
    """
    target = Path(os.path.realpath(path))  # a link is written through, not replaced
    special = target.exists() and not target.is_file()  # such as /dev/null, which nothing should replace
    temporary = target if special else target.with_name(target.name + ".partial")
    try:
        yield temporary
        if not special:
            os.replace(temporary, target)
    except OSError as error:
        raise UserError(f"{path}: cannot write: {error.strerror or error}; check the folder and the free space") from None
    finally:
        if not special:
            with contextlib.suppress(OSError):  # in a read-only folder there is nothing to take away
                temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all. Raises `UserError`."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: Any, sort: bool = True) -> None:
    """Write `value` as indented JSON; with sorted keys the same value gives the same bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=sort, allow_nan=False, ensure_ascii=False) + "\n")


def csv_text(rows: Iterable[Sequence[object]], line_end: str = "\n") -> str:
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator=line_end).writerows(rows)
    return text.getvalue()


def word(path: Path) -> str:
    """A path as a shell's command line has it, and as no command takes for an option."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


def cache_folder() -> Path:
    """The folder in the user's cache for what is made once: $XDG_CACHE_HOME, if it is absolute as it has to be, or ~/.cache.

    A user who has no home has it among the temporary files.
    """
    place = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(place):
        try:
            place = str(Path.home() / ".cache")
        except (KeyError, RuntimeError):  # no HOME, nor is the user known to the system
            place = os.path.join(tempfile.gettempdir(), f"cache-of-{os.getuid()}")
    return Path(place) / "speaker-comparison"


def make_folder(path: Path) -> None:
    """Make a folder with its parents, or find it there. Raises `UserError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot make this folder: {error.strerror}; choose another") from None


@contextlib.contextmanager
def locked(path: Path, busy: str, wait: bool = False, hint: str = "choose another folder") -> Iterator[None]:
    """Hold the lock file at `path`, which is made and stays; the system lets go however the process ends.

    busy: what a `UserError` says where another process holds it; with `wait` it is waited for
    hint: what to do where the folder cannot be written to
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")
    except OSError as error:
        raise UserError(f"{path.parent}: cannot write here: {error.strerror}; {hint}") from None
    with file:
        lock(file, busy, wait)
        yield


def lock(file: IO[Any], busy: str, wait: bool = False) -> None:
    """Lock an open file for as long as it is open; see `locked`. Where the file system has no locks it goes on."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise UserError(busy) from None
        print(f"note: {file.name}: no lock can be held here ({error.strerror}); "
              "see that no other process writes to this folder", file=sys.stderr)


def temporary_root(longest: int) -> str:
    """The system's folder for temporary files; where that is longer than so many bytes, as TMPDIR may be, another."""
    chosen = tempfile.gettempdir()
    others = [folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.access(folder, os.W_OK)]
    return others[0] if others and len(os.fsencode(chosen)) > longest else chosen


def natural_key(path: Path) -> List[Tuple[int, int, str]]:
    """Sort key that puts `part-2.bin` before `part-10.bin`."""
    pieces = re.split(r"([0-9]+)", path.name)
    return [(1, int(piece), piece) if piece.isdigit() else (0, 0, piece) for piece in pieces]
