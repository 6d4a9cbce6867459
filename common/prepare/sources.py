"""Where the recordings are: a tree of audio files read as speakers, sessions and recordings.

    from common.prepare.sources import find_recordings
    recordings = find_recordings(Path("my_recordings"))

Three layouts are told apart by what is there:
    SPEAKER/SESSION/*.flac               what is deeper counts to its session
    SPEAKER/VIDEO_NNN.wav                the homework's samples: the session is the video. Any other
                                         file right below its speaker is in a session named "-"
    [.../]idNNNNN/VIDEO/NNNNN.wav        VoxCeleb, whatever is above the speakers (wav, dev/aac, ...)
"""
from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Set, Tuple

from common.errors import UserError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a")
NO_SESSION = "-"
_MAX_NAME = 1000  # characters; a sidecar takes no longer field
_VOXCELEB_SPEAKER = re.compile(r"id\d{5}")
_SAMPLE = re.compile(r"(.+)_\d+")


@dataclass(frozen=True)
class Recording:
    """One audio file.

    name: what it is called in sidecars and splits; for VoxCeleb it begins at the speaker's folder
    path: the file, relative to its tree, with forward slashes
    """

    name: str
    path: str
    speaker: str
    session: str
    bytes: int


def find_recordings(tree: Path) -> List[Recording]:
    """Every recording below `tree`, links followed, sorted by name. Raises UserError when there is none."""
    if not tree.is_dir():
        raise UserError(f"{tree}: no such folder; expected a tree SPEAKER/SESSION/*{AUDIO_SUFFIXES[0]}")
    found = sorted(_recordings(tree), key=lambda recording: recording.name)
    if not found:
        raise UserError(f"{tree}: no recordings in it; expected SPEAKER/SESSION/ with files that end in "
                        + ", ".join(AUDIO_SUFFIXES))
    for one, other in zip(found, found[1:]):
        if one.name == other.name:
            raise UserError(f"{tree}: {one.path} and {other.path} are both called {one.name}; remove one of them")
    return found


def _recordings(tree: Path) -> Iterator[Recording]:
    for folder, name in audio_files(tree):
        path = folder.relative_to(tree) / name
        full = folder / name
        try:
            path.as_posix().encode("utf-8")
        except UnicodeEncodeError:
            raise UserError(f"{os.fsencode(full)!r}: the name is not UTF-8, and no sidecar can hold it; "
                            "rename the file") from None
        parts = _below_voxceleb(path.parts)
        if len(parts) < 2:
            raise UserError(f"{full}: a recording must be in its speaker's folder, as SPEAKER/SESSION/{name}")
        if len("/".join(parts)) > _MAX_NAME:
            raise UserError(f"{full}: the path is longer than {_MAX_NAME} characters; shorten it")
        yield Recording("/".join(parts), path.as_posix(), parts[0], _session(parts),
                        full.stat().st_size if full.exists() else 0)  # a broken link: reported when it is read


def audio_files(tree: Path) -> Iterator[Tuple[Path, str]]:
    """(folder, name) of what looks like audio. A folder that is reached twice by links is entered once."""
    entered: Set[str] = set()

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot list this folder: {error.strerror}")

    for folder, subfolders, names in os.walk(tree, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in entered:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Path(folder), name


def _below_voxceleb(parts: Tuple[str, ...]) -> Tuple[str, ...]:
    """The path from a folder like id10001 on, if it has one."""
    for position, part in enumerate(parts[:-1]):
        if _VOXCELEB_SPEAKER.fullmatch(part):
            return parts[position:]
    return parts


def _session(parts: Tuple[str, ...]) -> str:
    """parts: speaker, folders, file."""
    if len(parts) > 2:
        return "/".join(parts[1:-1])
    sample = _SAMPLE.fullmatch(Path(parts[-1]).stem)
    return sample.group(1) if sample else NO_SESSION
