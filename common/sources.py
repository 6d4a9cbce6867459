"""Where the recordings are: a tree of audio files read as speakers, sessions and recordings.

    from common.sources import find_recordings
    recordings = find_recordings(Path("my_recordings"))

A tree is `SPEAKER/SESSION/*.flac`. What is deeper counts to its session; what lies right below the
speaker is a session of its own folder, named "-".
"""
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List

from common.errors import UserError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a")
NO_SESSION = "-"


@dataclass(frozen=True, order=True)
class Recording:
    """One audio file. `path` is relative to its tree, with forward slashes, and names it everywhere."""

    path: str
    speaker: str
    session: str
    bytes: int


def find_recordings(tree: Path) -> List[Recording]:
    """Every recording below `tree`, sorted by path. Raises UserError when there is none."""
    if not tree.is_dir():
        raise UserError(f"{tree}: no such folder; expected a tree SPEAKER/SESSION/*{AUDIO_SUFFIXES[0]}")
    found = sorted(_recordings(tree))
    if not found:
        raise UserError(f"{tree}: no recordings in it; expected SPEAKER/SESSION/ with files that end in "
                        + ", ".join(AUDIO_SUFFIXES))
    return found


def _recordings(tree: Path) -> Iterator[Recording]:
    for folder, subfolders, names in os.walk(tree):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        parts = Path(folder).relative_to(tree).parts
        for name in names:
            if name.startswith(".") or Path(name).suffix.lower() not in AUDIO_SUFFIXES:
                continue
            path = Path(folder, name)
            if not parts:
                raise UserError(f"{path}: a recording must be in its speaker's folder, as SPEAKER/SESSION/{name}")
            speaker = "_".join(parts[0].split())  # classes.txt has one name without spaces a line
            session = "/".join(parts[1:]) or NO_SESSION
            yield Recording(path.relative_to(tree).as_posix(), speaker, session, path.stat().st_size)
