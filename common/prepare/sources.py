"""Where the recordings are: a tree of audio files read as speakers, sessions and recordings.

    from common.prepare.sources import find_recordings
    found = find_recordings(Path("my_recordings"))

Three layouts are told apart by what is there:
    SPEAKER/SESSION/*.flac               what is deeper counts to its session
    SPEAKER/VIDEO_NNN.wav                the homework's samples: the session is the video. Any other
                                         file right below its speaker is in a session named "-"
    [.../]idNNNNN/VIDEO/NNNNN.wav        VoxCeleb, whatever is above the speakers (wav, dev/aac, ...)

Names of speakers and sessions are compared as people read them: composed and decomposed Unicode are one.
"""
from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Set, Tuple

from common.data.form import AUDIO_SUFFIXES, composed
from common.errors import UserError

NO_SESSION = "-"
DATA_FOLDERS = "data folders"  # counted with the suffixes that are passed over
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


@dataclass
class Found:
    """What is in a tree.

    recordings: sorted by name
    left_out:   (file or folder, reason) of what cannot be one
    ignored:    files by suffix that were passed over
    """

    recordings: List[Recording] = field(default_factory=list)
    left_out: List[Tuple[str, str]] = field(default_factory=list)
    ignored: Dict[str, int] = field(default_factory=Counter)


def find_recordings(tree: Path, out: Optional[Path] = None) -> Found:
    """Every recording below `tree`, links followed. Raises UserError when there is none.

    out: a folder in it that is passed over, as all data folders are
    """
    if not tree.is_dir():
        raise UserError(f"{tree}: no such folder; expected a tree SPEAKER/SESSION/*{AUDIO_SUFFIXES[0]}")
    found = Found()
    by_name: Dict[str, Recording] = {}
    for folder, name in _files(tree, found.ignored, out, lambda path, why: found.left_out.append((_shown(path, tree), why))):
        recording, reason = _recording(tree, folder, name)
        first = by_name.setdefault(recording.name, recording)
        if first is not recording:
            reason = reason or f"has the name of another: {first.path} is called {recording.name} as well"
        if reason:
            found.left_out.append((_shown(folder / name, tree), reason))
        if reason and first is recording:
            del by_name[recording.name]
    found.recordings += sorted(by_name.values(), key=lambda recording: recording.name)
    if not found.recordings:
        raise UserError(f"{tree}: no recordings in it" + "".join(f"; {name}: {reason}" for name, reason in found.left_out[:1])
                        + "; expected SPEAKER/SESSION/ with files that end in " + ", ".join(AUDIO_SUFFIXES))
    return found


def _recording(tree: Path, folder: Path, name: str) -> Tuple[Recording, str]:
    """What a file would be, and why it cannot be one."""
    path = (folder / name).relative_to(tree)
    parts = _below_voxceleb(path.parts)
    speaker, session = (composed(part) for part in (parts[0], _session(parts)))
    full = "/".join(parts)
    try:
        size = (folder / name).stat().st_size
    except OSError:  # a broken link: reported when it is read
        size = 0
    return Recording(full, path.as_posix(), speaker, session, size), _why_not(parts, full, speaker)


def _why_not(parts: Tuple[str, ...], full: str, speaker: str) -> str:
    try:
        full.encode("utf-8")
    except UnicodeEncodeError:
        return "a name that is not UTF-8, which no sidecar can hold: rename it"
    if len(parts) < 2:
        return "not in a speaker's folder: expected SPEAKER/SESSION/FILE"
    if len(full) > _MAX_NAME:
        return f"a path that is longer than {_MAX_NAME} characters: shorten it"
    if not speaker.isprintable() or speaker != speaker.strip():
        return "a speaker's folder that cannot name a speaker, for spaces around it or unprintable characters: rename it"
    return ""


def _shown(path: Path, tree: Path) -> str:
    """A path as text that any file can hold."""
    relative = os.fsencode(path.relative_to(tree).as_posix())
    return relative.decode("utf-8", "backslashreplace")


def audio_files(tree: Path) -> Iterator[Tuple[Path, str]]:
    """(folder, name) of what looks like audio. Raises UserError for a folder that cannot be listed."""

    def refuse(folder: Path, reason: str) -> None:
        raise UserError(f"{folder}: {reason}")

    return _files(tree, Counter(), None, refuse)


def _files(tree: Path, ignored: Dict[str, int], out: Optional[Path],
           refuse: Callable[[Path, str], None]) -> Iterator[Tuple[Path, str]]:
    """Audio files, in order. A folder that is reached twice by links is entered once, a data folder below `tree` never."""
    entered: Set[str] = set()
    beside = {os.path.realpath(out)} if out else set()
    walk = os.walk(tree, followlinks=True, onerror=lambda error: refuse(
        Path(error.filename), f"cannot list this folder: {error.strerror}"))
    for folder, subfolders, names in walk:
        real = os.path.realpath(folder)
        is_data = real != os.path.realpath(tree) and is_data_folder(Path(folder))
        if is_data and real not in beside:
            ignored[DATA_FOLDERS] += 1
        if real in entered or real in beside or is_data:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            if not name.startswith(".") and suffix in AUDIO_SUFFIXES:
                yield Path(folder), name
            elif not name.startswith("."):
                ignored[suffix.encode("ascii", "backslashreplace").decode() or "without a suffix"] += 1


def is_data_folder(folder: Path) -> bool:
    """Whether this program has made it, or begun to."""
    return (folder / "dataset.json").exists() or (folder / "unfinished" / "plan.json").exists()


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
