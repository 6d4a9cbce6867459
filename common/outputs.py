"""Where a command puts what it found: in a folder of its own, so that nothing earlier is lost.

    with output(options.out, "profile-tdnn", ["profile.md", "profile.json", "*.png"], options.force) as folder: ...
"""
from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Iterator, Optional, Sequence

from common.errors import UserError
from common.files import make_folder

RUNS = Path("runs")  # in the current folder
_LONGEST = 80        # characters of a name: what the data are called goes into it


@contextlib.contextmanager
def output(out: Optional[Path], name: str, writes: Sequence[str], force: bool = False) -> Iterator[Path]:
    """A folder for what a command writes: `out`, or else a new one, see `numbered`; gone again if nothing came into it.

    writes: patterns of the command's files, see `vacate`. Raises UserError.
    """
    ours = out is None or not out.exists()
    if out is not None:
        vacate(out, writes, force)
        make_folder(out)
    folder = numbered(name) if out is None else out
    try:
        yield folder
    finally:
        if ours:
            remove_if_empty(folder)


def numbered(name: str) -> Path:
    """Make the next folder of runs/, such as runs/0007-NAME. Raises UserError."""
    make_folder(RUNS)
    name = plain(name)
    number = max((int(path.name[:4]) for path in RUNS.glob("[0-9][0-9][0-9][0-9]-*")), default=0)
    while True:
        number += 1
        folder = RUNS / f"{number:04d}-{name}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:  # another process was quicker
            continue
        except OSError as error:
            raise UserError(f"{folder}: cannot make this folder: {error.strerror}; choose another with --out") from None


def plain(name: str) -> str:
    """A name for a folder of runs/, of what the data are called."""
    return re.sub(r"[^\w.+-]", "_", name)[:_LONGEST]


def vacate(folder: Path, writes: Sequence[str], force: bool, option: str = "--out") -> None:
    """Raise UserError for a folder that holds anything; with `force` delete what matches `writes`, and nothing else.

    option: of the command, by which the folder was named

    So that of two runs nothing lies side by side as if it were of one. Hidden files are no obstacle.
    """
    if not force:
        check_vacant(folder, option)
    for path in (path for pattern in writes for path in folder.glob(pattern)):
        try:
            path.unlink()
        except OSError as error:  # such as a folder of this name
            raise UserError(f"{path}: cannot be replaced: {error.strerror}; take it away, or name another folder with "
                            f"{option}") from None


def check_vacant(folder: Path, option: str = "--out") -> None:
    """Raise UserError for a folder that holds anything but hidden files."""
    if folder.is_dir() and not all(path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty, and nothing in it shall be lost: name another folder with {option}, or have "
                        "what this command wrote there replaced with --force")


def new_file(path: Path, force: bool) -> None:
    """Make a file's folder; raises UserError where there is such a file already, unless `force`."""
    if path.exists() and not force:
        raise UserError(f"{path} is there already, and shall not be lost: name another file with --out, or have it "
                        "replaced with --force")
    make_folder(path.parent)


def remove_if_empty(folder: Path) -> None:
    """Take a folder of ours away unless there are files in it."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        with contextlib.suppress(OSError):  # a file, or a folder with files
            path.rmdir()
