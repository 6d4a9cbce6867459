"""The recordings of an archive such as the homework's samples.tar.gz, unpacked where they can do no harm.

    from common.prepare.archive import unpack_recordings
    tree = unpack_recordings(Path("voxceleb-abridged-samples.tar.gz"), Path("an_empty_folder"))
"""
from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Iterator, Tuple

from common.data.form import AUDIO_SUFFIXES
from common.errors import UserError

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_GZIP = b"\x1f\x8b"
_SPARE_BYTES = 2**28  # leave this much of the disk free
_MAX_READ = 2**24  # what tarfile may ask for at once; only a forged header is longer


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def unpack_recordings(archive: Path, folder: Path) -> Path:
    """Write the audio files of a tar archive below the empty `folder`; returns the folder of the speakers.

    That is `folder`, or the one folder in it that all else lies in, such as `samples`. Members that
    are not audio files are passed over, links and devices among them. Raises UserError for an archive
    that is damaged, that names a file outside of itself, or that does not fit on the disk.
    """
    try:
        with open(archive, "rb") as file:
            stream = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file
            for name, size, content in _members(archive, stream):
                _write(archive, folder / name, size, content)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{archive}: cannot be unpacked: {getattr(error, 'strerror', None) or error}; "
                        "fetch it again if it is damaged") from error
    inside = list(folder.iterdir())
    if not inside:
        raise UserError(f"{archive}: no recordings in it; expected SPEAKER/ with files that end in "
                        + ", ".join(AUDIO_SUFFIXES))
    wrapped = len(inside) == 1 and inside[0].is_dir() and any(path.is_dir() for path in inside[0].iterdir())
    return inside[0] if wrapped else folder


class _BoundedReads:
    """A stream that is never asked for much at once: a forged header would have it all in memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._stream.read(size)


def _members(archive: Path, stream: IO[bytes]) -> Iterator[Tuple[PurePosixPath, int, IO[bytes]]]:
    """(name, bytes, content) of the audio files in it, in order."""
    with tarfile.open(fileobj=_BoundedReads(stream), mode="r:") as tar:
        for member in tar:
            if member.isfile() and PurePosixPath(member.name).suffix.lower() in AUDIO_SUFFIXES:
                content = tar.extractfile(member)
                assert content is not None  # it is a file
                yield _safe_name(archive, member.name), member.size, content


def _safe_name(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
        raise UserError(f"{archive}: names the file {name[:200]!r}, which may be written outside of the folder; "
                        "do not trust this archive")
    return path


def _write(archive: Path, target: Path, size: int, content: IO[bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if size > shutil.disk_usage(target.parent).free - _SPARE_BYTES:
        raise UserError(f"{archive}: {target.name} has {size} bytes, more than fits into {target.parent}; "
                        "make room, or set TMPDIR to a folder on a larger disk")
    with open(target, "wb") as file:
        shutil.copyfileobj(content, file)
