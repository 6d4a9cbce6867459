"""The recordings that a command line names: files, folders of them, standard input; and what is to be said of one.

    with contextlib.ExitStack() as held:
        for source in sources(["a.wav", "more/", "-"], held): ...
"""
from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, List, Sequence

from common.errors import UserError

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.identify.pieces import Source

HELP = "wav, flac, ogg, mp3, m4a, ..., a folder of them, or - for standard input"
_STDIN = "-"


def sources(words: Sequence[str], held: contextlib.ExitStack) -> List[Source]:
    """The recordings that words mean, each once, also where it is in a folder that is named.

    held: keeps what came on standard input for as long as it is open
    Raises UserError for one that is not there, and for a folder without any.
    """
    return list(dict.fromkeys(source for word in dict.fromkeys(words) for source in _meant(word, held)))


def _meant(word: str, held: contextlib.ExitStack) -> Iterator[Source]:
    from common.identify.pieces import Source, kept
    from common.prepare.sources import audio_files

    if word == _STDIN:
        yield held.enter_context(kept(sys.stdin.buffer, "standard input"))
        return
    path = Path(word)
    if not path.exists():
        raise UserError(f"there is no recording {word}")
    found = [folder / name for folder, name in audio_files(path)] if path.is_dir() else [path]
    if not found:
        raise UserError(f"{path}: no recordings in this folder, nor in those in it")
    for each in found:
        yield Source(str(each), each)


def say(name: str, remarks: Sequence[str], error: str) -> None:
    """What a person should know of a recording, and why it cannot be used, if so, on standard error."""
    for remark in remarks:
        print(f"{name}: {remark}", file=sys.stderr)
    if error:
        print(f"error: {name}: {error}", file=sys.stderr)


def exit_status(errors: Sequence[str]) -> int:
    """0 where every recording could be used, "" in `errors`; 1 where only some, 2 where none."""
    wrong = sum(map(bool, errors))
    return 0 if not wrong else 1 if wrong < len(errors) else 2
