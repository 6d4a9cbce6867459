"""Repair: the good records in a new folder, with their sidecars; the originals are only read.

    from common.doctor.repair import repair
"""
from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from common.data.classes import write_classes
from common.data.dataset import SessionRow, read_info, read_sessions, write_sessions
from common.data.records import RecordWriter
from common.doctor.scan import Scan
from common.errors import UserError
from common.files import write_json


class Repaired(NamedTuple):
    """What was written: record files, how many records, and whether the sidecars went along."""

    files: List[Path]
    records: int
    sidecars: bool


def repair(scan: Scan, good: np.ndarray, speakers: Optional[Sequence[str]], out: Path) -> Repaired:
    """Write the records marked in `good` (bool (N,)) to files of the same names in the new folder `out`.

    Sidecars go along if all of them can be read. classes.txt comes last, so that an interrupted repair
    does not look like a data folder.
    Raises `UserError` if `out` holds anything already, or nothing would be left.
    """
    if not good.any():
        raise UserError("nothing to repair: no record is good, so these are probably not record files; "
                        "see the problems above")
    if len({file.path.name for file in scan.files}) < len(scan.files):
        raise UserError("cannot repair files of the same name into one folder; repair one folder at a time")
    _make_folder(out)
    kept = [np.flatnonzero(part) for part in np.split(good, np.cumsum([file.records for file in scan.files])[:-1])]
    rows = _sidecars(scan, kept, speakers)
    written: List[Path] = []
    first = 0  # record of the file among all
    for number, file in enumerate(scan.files):
        if kept[number].size:
            target = out / file.path.name
            with RecordWriter(target) as writer:
                for record in kept[number]:
                    writer.append(scan.read(first + record), int(scan.labels[first + record]))
            if rows is not None:
                write_sessions(target, rows[number])
            written.append(target)
        first += file.records
    _describe(scan, out)
    if speakers is not None:
        write_classes(out / "classes.txt", speakers)
    return Repaired(written, int(good.sum()), rows is not None)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UserError(f"{out}: holds files already; repair only writes to a new or empty folder")
    except OSError as error:
        raise UserError(f"{out}: cannot use this folder: {error.strerror}") from None


def _sidecars(scan: Scan, kept: Sequence[np.ndarray],
              speakers: Optional[Sequence[str]]) -> Optional[List[List[SessionRow]]]:
    """The rows to keep for each file; None unless every file has a sidecar that fits its good records."""
    if speakers is None:
        return None
    result: List[List[SessionRow]] = []
    first = 0
    try:
        for file, records in zip(scan.files, kept):
            rows = read_sessions(file.path, file.records, more=file.tail_bytes > 0)
            result.append([rows[record] for record in records])
            labels = scan.labels[first + records].astype(np.int64)
            if [row.speaker for row in result[-1]] != [speakers[label] for label in labels]:
                return None
            first += file.records
    except UserError:
        return None
    return result


def _describe(scan: Scan, out: Path) -> None:
    """Pass on what dataset.json says of the spectrograms, where it is one and can be read."""
    folders = {file.path.parent for file in scan.files}
    try:
        info = read_info(folders.pop()) if len(folders) == 1 else {}
    except UserError:
        return
    stated = {key: info[key] for key in ("synthetic", "scale", "normalised", "split") if key in info}
    if stated:
        write_json(out / "dataset.json", {**stated, "made_by": "common.doctor --repair"})
