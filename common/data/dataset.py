"""A data set as every command takes it with --data: record files with what is known about them.

A data folder holds `part-1.bin`, `part-2.bin`, ..., `classes.txt`, and where it is known
    part-1.sessions.csv   one line a record: speaker,session,recording,start (first sample at 16 kHz)
    dataset.json          how it was made: {"synthetic": false, "scale": "magnitude", "normalised": true,
                          "split": {RECORDING: "train" | "dev" | "test"} or the name of a file in the folder
                          with lines such as `3 id10001/1zcIwhmdeo4/00001.wav` (VoxCeleb1's iden_split.txt),
                          "copies": how many records are augmented copies of training recordings; needs "split"}

    python -c "from common.data.dataset import open_dataset; print(open_dataset(['data']).speakers)"
"""
from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np

from common.data.classes import read_classes
from common.data.form import AUDIO_SUFFIXES, SCALES, composed
from common.data.records import RecordSet
from common.errors import UserError
from common.files import csv_text, natural_key, read_json, read_text, write_text

SIDES = ("train", "dev", "test")  # VoxCeleb1's iden_split.txt numbers them 1, 2, 3
_MAX_FIELD = 1000        # characters of one field of a sidecar
_FINGERPRINT_SAMPLE = 16  # records whose values go into the fingerprint


class SessionRow(NamedTuple):
    """Where one record comes from: one line of a sidecar."""

    speaker: str
    session: str
    recording: str  # path of the source inside its tree
    start: int      # first sample of the window, at 16 kHz


@dataclass(frozen=True)
class Dataset:
    """Records, the names of their speakers, and what is known about where they come from.

    sessions, recordings: str arrays (N,), None where no sidecar says; so are
    starts:               int64 (N,), of each record in its recording, in samples
    scale, normalised:    None where no dataset.json says
    official_split:       side of every recording, where the makers of the data fixed it
    named:                whether the data themselves say whose labels these are; else who opened them said so
    """

    records: RecordSet
    speakers: Tuple[str, ...]
    sessions: Optional[np.ndarray] = None
    recordings: Optional[np.ndarray] = None
    starts: Optional[np.ndarray] = None
    synthetic: bool = False
    name: str = "data"
    scale: Optional[str] = None
    normalised: Optional[bool] = None
    official_split: Optional[Dict[str, str]] = None
    named: bool = True

    def check_form(self, scale: Optional[str], normalised: Optional[bool]) -> None:
        """Raise UserError where a model was trained on spectrograms made in another way; None is not known."""
        for name, of_model in (("scale", scale), ("normalised", normalised)):
            own = getattr(self, name)
            if None not in (own, of_model) and own != of_model:
                raise UserError(f"the model was trained on spectrograms with {name} = {of_model}, but those of "
                                f"{self.name} have {name} = {own}; prepare the recordings in the same way")

    def unknown(self, scale: Optional[str], normalised: Optional[bool]) -> str:
        """What nothing says of these data beside a model that was trained on such spectrograms; "" where all is known."""
        unknown = [] if self.named else ["whose labels these are (no classes.txt beside the records)"]
        if None in (self.scale, self.normalised, scale, normalised):
            unknown.append("whether the spectrograms were made like the model's (their scale and normalisation, in dataset.json)")
        return "; nor ".join(unknown)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell this data from other data: names, labels, a sample of the values."""
        sample = np.unique(np.linspace(0, len(self.records) - 1, _FINGERPRINT_SAMPLE).astype(np.int64))
        digest = hashlib.blake2b("\n".join(self.speakers).encode("utf-8"), digest_size=8)
        digest.update(self.records.labels.astype("<i4").tobytes())
        for index in sample:
            digest.update(self.records.read([index])[0].astype("<f4", copy=False).tobytes())
        return digest.hexdigest()


def open_dataset(paths: Sequence[Union[str, Path]], speakers: Optional[Sequence[str]] = None) -> Dataset:
    """Open data folders and record files as one data set.

    A folder stands for all its .bin files in natural order (part-2 before part-10).
    speakers: names by label, such as those stored with a model; a classes.txt may then be missing, but not differ
    Raises `UserError` that names the file and what to do.
    """
    files = [file for path in paths for file in record_files(Path(path))]
    if not files:
        raise UserError("no data given; name a data folder or record files")
    file, times = Counter(file.resolve() for file in files).most_common(1)[0]
    if times > 1:
        raise UserError(f"{file}: given {times} times; its records would be on both sides of a split")
    folders = list(dict.fromkeys(file.parent for file in files))
    names = _common_classes(folders, speakers)
    records = RecordSet.open(files, num_speakers=len(names))
    rows = _read_sidecars(records, names)
    infos = [read_info(folder) for folder in folders]
    official = _merge([info.get("split") for info in infos])
    _check_copies(folders, infos, official)
    return Dataset(
        records, names,
        sessions=np.array([row.session for row in rows]) if rows else None,
        recordings=np.array([row.recording for row in rows]) if rows else None,
        starts=np.array([row.start for row in rows], dtype=np.int64) if rows else None,
        synthetic=any(info.get("synthetic", False) for info in infos),
        name="+".join(dict.fromkeys(Path(path).resolve().name for path in paths)),
        scale=_if_same([info.get("scale") for info in infos]),
        normalised=_if_same([info.get("normalised") for info in infos]),
        official_split=official,
        named=bool(rows) or all(find_classes(folder) for folder in folders),
    )


def record_files(path: Path) -> List[Path]:
    """The .bin files of a folder in natural order, or the file itself. Raises `UserError`."""
    if not path.exists():
        raise UserError(f"{path}: no such data folder or record file; check the path")
    if not path.is_dir():
        return [path]
    if (path / "unfinished").is_dir():
        raise UserError(f"{path}: its preparation was interrupted; run the same `python -m common.prepare` again")
    files = sorted((file for file in path.glob("*.bin") if not file.name.startswith(".")), key=natural_key)
    if not files:
        raise UserError(f"{path}: no .bin record files in this folder; "
                        "make them with `python -m common.prepare RECORDINGS FOLDER`")
    return files


def find_classes(folder: Path) -> Optional[Path]:
    """`classes.txt`, or the one `*classes.txt` (the homework's has a longer name), or None."""
    if (folder / "classes.txt").exists():
        return folder / "classes.txt"
    others = sorted(folder.glob("*classes.txt"))
    return others[0] if len(others) == 1 else None


def _common_classes(folders: Sequence[Path], expected: Optional[Sequence[str]]) -> Tuple[str, ...]:
    """The names all folders agree about, which must be the expected ones where any are."""
    names, source = (None, "") if expected is None else (tuple(expected), "the speakers of the model")
    for folder in folders:
        path = find_classes(folder)
        if path is None and expected is None:
            raise UserError(f"{folder}: no classes.txt beside the record files; copy the one that came with them, "
                            "or write lines like `0 Miley_Cyrus`")
        found = names if path is None else tuple(read_classes(path))
        if names is not None and found != names:
            raise UserError(f"{path} and {source} differ, so the same label means different speakers; "
                            "prepare these data together")
        names, source = found, source or str(path)
    assert names is not None  # there is at least one record file
    return names


def sidecar_path(records_path: Path) -> Path:
    """`part-1.sessions.csv` for `part-1.bin`."""
    return records_path.with_name(records_path.stem + ".sessions.csv")


def write_sessions(records_path: Path, rows: Sequence[SessionRow]) -> None:
    """Write the sidecar of a record file: one row for each record, in order. Raises `UserError`."""
    write_text(sidecar_path(Path(records_path)), csv_text(rows))


def read_sessions(records_path: Path, records: int, more: bool = False) -> List[SessionRow]:
    """Read the sidecar of a file of so many records; a first line with the names of the columns is allowed.

    more: allow lines beyond those of the records, which a truncated record file leaves; they are ignored
    Raises `UserError` with the line number.
    """
    path = sidecar_path(Path(records_path))
    text = read_text(path, "sidecar", max_bytes=4 * _MAX_FIELD * (records + 1))
    lines = csv.reader(io.StringIO(text, newline=""))
    rows: List[SessionRow] = []
    try:
        for fields in lines:
            if not fields or (lines.line_num == 1 and fields == list(SessionRow._fields)):
                continue
            if len(rows) == records and more:
                break
            if len(rows) == records:
                raise UserError(f"{path}: line {lines.line_num}: more lines than the {records} records of "
                                f"{records_path}; is it the sidecar of another file?")
            problem = _row_problem(fields)
            if problem:
                raise UserError(f"{path}: line {lines.line_num} (record {len(rows)}): {problem}; "
                                "each line must be speaker,session,recording,start")
            rows.append(SessionRow(fields[0], fields[1], fields[2], int(fields[3])))
    except csv.Error as error:
        raise UserError(f"{path}: line {lines.line_num}: {error}") from None
    if len(rows) < records:
        raise UserError(f"{path}: {len(rows)} lines for the {records} records of {records_path}; "
                        "every record needs a line")
    return rows


def _row_problem(fields: List[str]) -> str:
    if len(fields) != len(SessionRow._fields):
        return f"{len(fields)} fields in place of {len(SessionRow._fields)}"
    if not all(field and len(field) <= _MAX_FIELD for field in fields):
        return f"a field is empty or longer than {_MAX_FIELD} characters"
    if not (fields[3].isascii() and fields[3].isdigit()) or len(fields[3]) > 15:
        return f"start {fields[3][:60]!r} is not a whole number of samples"
    return ""


def _read_sidecars(records: RecordSet, speakers: Sequence[str]) -> List[SessionRow]:
    """Rows of all records, or none when no file has a sidecar."""
    present = [path for path in records.paths if sidecar_path(path).exists()]
    if not present:
        return []
    if len(present) < len(records.paths):
        absent = next(path for path in records.paths if path not in present)
        raise UserError(f"{absent} has no {sidecar_path(absent).name} beside it but {present[0]} has one; "
                        "restore it, or move the others away to split without sessions")
    rows: List[SessionRow] = []
    for path, labels in zip(records.paths, records.labels_by_file()):
        of_file = read_sessions(path, len(labels))
        for record, (row, label) in enumerate(zip(of_file, labels)):
            if row.speaker != speakers[label]:
                raise UserError(f"{sidecar_path(path)}: record {record} is of speaker {row.speaker[:60]!r}, but its label "
                                f"says {speakers[label]!r}; is it the sidecar of another file?")
        rows += of_file
    return rows


def read_info(folder: Path) -> Dict[str, Any]:
    """What dataset.json says, checked, or nothing without one; what else its makers noted is left alone.

    Raises `UserError`.
    """
    path = folder / "dataset.json"
    if not path.exists():
        return {}
    info = read_json(path, "data set description")
    if not isinstance(info, dict):
        raise UserError(f"{path}: must be a JSON object such as {{\"synthetic\": false}}")
    for key in ("synthetic", "normalised"):
        if not isinstance(info.get(key, False), bool):
            raise UserError(f"{path}: {key!r} must be true or false, not {str(info[key])[:60]!r}")
    if type(info.get("copies", 0)) is not int:
        raise UserError(f"{path}: 'copies' must be a number of records, not {str(info['copies'])[:60]!r}")
    if "scale" in info and info["scale"] not in SCALES:
        raise UserError(f"{path}: 'scale' must be one of {', '.join(SCALES)}, not {str(info['scale'])[:60]!r}")
    split = info.get("split")
    if isinstance(split, str):
        info["split"] = split = _split_file(folder, split, path)
    if split is not None and not (isinstance(split, dict) and all(side in SIDES for side in split.values())):
        raise UserError(f"{path}: 'split' must map each recording to one of {', '.join(SIDES)}, or name a file")
    return info


def _split_file(folder: Path, name: str, path: Path) -> Dict[str, str]:
    if Path(name).name != name:
        raise UserError(f"{path}: 'split' must name a file in the same folder, not {name[:60]!r}")
    if not (folder / name).is_file():
        raise UserError(f"{path}: 'split' names {name[:60]!r}, but there is no such file beside it")
    return read_official_split(folder / name)


def read_official_split(path: Path) -> Dict[str, str]:
    """VoxCeleb1's iden_split.txt: lines `1|2|3 RECORDING` for train, dev, test. Raises `UserError`."""
    split: Dict[str, str] = {}
    for number, line in enumerate(read_text(path, "split file").split("\n"), start=1):
        if not line.strip():
            continue
        number_of_side, recording = (line.strip().split(maxsplit=1) + [""])[:2]
        side = dict(zip("123", SIDES)).get(number_of_side)
        if side is None or not recording:
            raise UserError(f"{path}: line {number} ({line.strip()[:60]!r}) is not `1`, `2` or `3` and a recording")
        if split.setdefault(recording, side) != side:
            raise UserError(f"{path}: line {number}: {recording[:60]!r} is on two sides")
    return split


def sides_of(names: Sequence[str], listed: Dict[str, str]) -> Dict[str, str]:
    """The side of each recording in a list of sides, "" where it names none.

    A list that was made for other suffixes (.wav, where the files are .flac) holds as well, and so does
    one that composes its letters (Unicode) in another way.
    """
    by_stem: Dict[str, Set[str]] = {}
    for name, side in listed.items():
        by_stem.setdefault(_stem(name), set()).add(side)
    clear = {stem: next(iter(sides)) for stem, sides in by_stem.items() if len(sides) == 1}
    return {name: listed.get(name) or clear.get(_stem(name), "") for name in names}


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return composed(stem if suffix.lower() in AUDIO_SUFFIXES else name)


def _check_copies(folders: Sequence[Path], infos: Sequence[Dict[str, Any]], official: Optional[Dict[str, str]]) -> None:
    """Augmented copies are safe only with the split they were made for: in another they would be tested on."""
    for folder, info in zip(folders, infos):
        if info.get("copies") and official is None:
            raise UserError(f"{folder}: holds augmented copies of the training side of its own split, but that is not "
                            "known for all of these data; use this folder alone, or prepare the recordings together")


def _if_same(values: List[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None


def _merge(splits: List[Optional[Dict[str, str]]]) -> Optional[Dict[str, str]]:
    """One official split, only if every folder has one."""
    merged: Dict[str, str] = {}
    for split in splits:
        if split is None:
            return None
        merged.update(split)
    return merged or None
