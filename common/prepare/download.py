"""A download that is partly there: the bytes, and what is known of the file they are the beginning of.

    with Download.opened(Path("data/part-1.bin"), url) as download: ...      # used by common.prepare.fetch
"""
from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Iterator, Optional

from common.errors import UserError
from common.files import lock, read_json, write_json
from common.typed import typed


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server."""

    url: str
    length: Optional[int] = None
    validator: Optional[str] = None  # its ETag or date: while that stays the same, so do the bytes


class Download:
    """NAME.part beside its target, with NAME.part.json, for one process alone. Open it with `opened`."""

    def __init__(self, target: Path, url: str, file: BinaryIO) -> None:
        self.path = _part_path(target)
        self.size = file.seek(0, os.SEEK_END)
        self._target = target
        self._file = file
        self._state = target.with_name(target.name + ".part.json")
        self.source = self._stored(url)

    @staticmethod
    @contextlib.contextmanager
    def opened(target: Path, url: str) -> Iterator[Download]:
        """What is there of a target, new or left by an earlier download. Raises UserError."""
        path = _part_path(target)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "ab", buffering=0)
        except OSError as error:
            raise UserError(f"{path}: cannot write here: {error.strerror}; choose another folder") from error
        with file:
            lock(file, f"{path}: another process is downloading this file; wait for it")
            yield Download(target, url, file)

    @property
    def resumable(self) -> int:
        """Bytes that need not be asked for again."""
        return self.size if self.source.length is not None and self.size <= self.source.length else 0

    def start(self, source: RemoteFile) -> None:
        """Forget the bytes, and begin `source` from its first. Raises UserError if the disk is too small."""
        self._file.truncate(0)
        self.size = 0
        self.source = source
        free = shutil.disk_usage(self.path.parent).free
        if source.length is not None and source.length > free:
            raise UserError(f"{self._target}: has {source.length} bytes, and the disk has room for {free}; make room")
        write_json(self._state, dataclasses.asdict(source))

    def append(self, data: bytes) -> None:
        """Add bytes at the end. Raises UserError when the disk is full."""
        try:
            while data:
                written = self._file.write(data)
                self.size += written
                data = data[written:]
        except OSError as error:
            hint = "make room and start the same command again, it goes on from there" \
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "check the disk"
            raise UserError(f"{self.path}: cannot write after {self.size} bytes: {error.strerror}; {hint}") from error

    def complete(self) -> Path:
        """Give the file its name."""
        return self._move(self._target)

    def refuse(self) -> Path:
        """Put away what is whole but not what it should be, so that the next download starts anew."""
        return self._move(self._target.with_name(self._target.name + ".refused"))

    def _move(self, name: Path) -> Path:
        os.replace(self.path, name)
        self._state.unlink(missing_ok=True)
        return name

    def _stored(self, url: str) -> RemoteFile:
        """What an earlier download knew. Nothing, if that was another address or the file is damaged."""
        try:
            source = typed(RemoteFile, read_json(self._state, "state of a download"), "")
        except UserError:
            return RemoteFile(url)
        sound = type(source.length) is not bool  # which counts as a whole number in Python
        return source if sound and source.url == url else RemoteFile(url)


def _part_path(target: Path) -> Path:
    return target.with_name(target.name + ".part")
