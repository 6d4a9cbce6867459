"""Train, dev and test: who is on which side, decided by seed, and no recording ever on two sides.

    python -c "from common.data.dataset import open_dataset; from common.data.splits import split_dataset;
    print(split_dataset(open_dataset(['data']), seed=0))"
"""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short  # a file may hold anything, of any length
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from common.data import randomness
from common.data.dataset import SIDES, Dataset, sides_of
from common.errors import UserError
from common.files import read_json, write_json

FORMAT = 1
_DEV, _TEST = 0.1, 0.3  # shares of each speaker
MIXED = "session, or recording for speakers with a single session"
BY = ("session", MIXED, "recording", "record", "official")


@dataclass(frozen=True)
class Split:
    """Record numbers of each side, sorted int64, disjoint.

    by: what was kept whole of the speakers on the test side: "session", "recording" (each has a single session, or none
        is known), MIXED, "record" (nothing is known about the records), "official" (the sides that came with the data);
        in the stored files of results/real-speech "session" also stands for the other two of these three
    """

    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray
    seed: int
    by: str


def split_dataset(dataset: Dataset, seed: int = 0) -> Split:
    """The official split where the data have one, else `make_split`."""
    if dataset.official_split is not None:
        return official_split(dataset)
    return make_split(dataset.records.labels, dataset.sessions, dataset.recordings, seed)


def make_split(labels: np.ndarray, sessions: Optional[np.ndarray] = None, recordings: Optional[np.ndarray] = None,
               seed: int = 0) -> Split:
    """Split every speaker's records into about a tenth for development, three for tests, and the rest for training.

    labels: int (N,); sessions, recordings: str (N,), what must stay together. A speaker with several
    sessions is split by session, one with a single session by recording, one record at a time only if
    neither is known. A speaker with two groups has no dev, one with a single group is in training only.
    Raises `UserError` where one recording is under two speakers or sessions.
    """
    randomness.seed(seed)
    sides: Dict[str, List[np.ndarray]] = {side: [] for side in SIDES}
    kinds: List[Tuple[str, bool]] = []  # of each speaker, and whether it is on the test side
    for speaker in np.unique(labels):
        records = np.flatnonzero(labels == speaker)
        kind = _kept_whole(records, sessions, recordings)
        values = {"session": sessions, "recording": recordings, "record": np.arange(len(labels))}[kind][records]
        groups = [records[values == value] for value in np.unique(values)]
        # A generator of its own for each speaker: adding a speaker does not move the others.
        order = np.random.Generator(np.random.PCG64([seed, int(speaker)])).permutation(len(groups))
        chosen = _deal([groups[i] for i in order], len(records))
        for side in SIDES:
            sides[side] += chosen[side]
        kinds.append((kind, bool(chosen["test"])))
    found = {kind for kind, tested in kinds if tested} or {kind for kind, _ in kinds} or {"record"}
    by = MIXED if len(found) > 1 else found.pop()
    train, dev_side, test_side = (_sorted(sides[side]) for side in SIDES)
    split = Split(train, dev_side, test_side, seed, by)
    check_no_leak(split, recordings)
    return split


def _kept_whole(records: np.ndarray, sessions: Optional[np.ndarray], recordings: Optional[np.ndarray]) -> str:
    """Of what one speaker's records must stay together, as `Split.by` names it."""
    if sessions is not None and (recordings is None or len(set(sessions[records])) > 1):
        return "session"
    return "record" if recordings is None else "recording"


def _deal(groups: List[np.ndarray], records: int) -> Dict[str, List[np.ndarray]]:
    """Give one speaker's shuffled groups to the sides."""
    left = list(groups)
    chosen = {"test": _take(left, _TEST * records, at_least_one=len(groups) >= 2)}
    chosen["dev"] = _take(left, _DEV * records, at_least_one=len(groups) >= 3)
    chosen["train"] = left
    return chosen


def _take(left: List[np.ndarray], wanted: float, at_least_one: bool) -> List[np.ndarray]:
    """Take groups from `left` as long as each brings the number of records nearer to `wanted`; one stays."""
    taken: List[np.ndarray] = []
    count = 0
    for group in list(left):
        if len(left) > 1 and abs(count + len(group) - wanted) < abs(count - wanted):
            taken.append(group)
            count += len(group)
            left[:] = [other for other in left if other is not group]
    if not taken and at_least_one and len(left) > 1:
        taken.append(left.pop(int(np.argmin([len(group) for group in left]))))
    return taken


def _sorted(groups: List[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(groups)).astype(np.int64) if groups else np.zeros(0, dtype=np.int64)


def official_split(dataset: Dataset) -> Split:
    """The sides that came with the data. Raises `UserError` for a recording without one."""
    official, recordings = dataset.official_split, dataset.recordings
    if official is None or recordings is None:
        raise UserError(f"{dataset.name}: an official split needs sidecars that name each record's recording")
    names, index = np.unique(recordings, return_inverse=True)
    found = sides_of(names.tolist(), official)
    missing = [name for name, side in found.items() if not side]
    if missing:
        raise UserError(f"{dataset.name}: the official split does not name the recording {missing[0]!r} "
                        f"({len(missing)} of {len(names)} are missing); are its paths below another folder?")
    sides = np.array([SIDES.index(found[name]) for name in names.tolist()])[index]  # (N,)
    train, dev, test = (np.flatnonzero(sides == side).astype(np.int64) for side in range(len(SIDES)))
    absent = np.setdiff1d(dataset.records.labels, dataset.records.labels[train])
    if absent.size:
        raise UserError(f"{dataset.name}: the official split leaves {dataset.speakers[absent[0]]!r} "
                        "without training records")
    return Split(train, dev, test, seed=0, by="official")


def with_less_training(split: Split, labels: np.ndarray, share: float, seed: int) -> Split:
    """The same with a share of each speaker's training records, at least one of them; the rest is on no side.

    labels: int (N,) of all records. By the same seed a smaller share is a part of a larger one.
    Raises `UserError` for a share that is none.
    """
    check_share(share)
    kept = []
    for speaker in np.unique(labels[split.train]):
        own = split.train[labels[split.train] == speaker]
        order = np.random.Generator(np.random.PCG64([seed, int(speaker), 1])).permutation(len(own))  # another than the sides'
        kept.append(own[order[:max(1, round(share * len(own)))]])
    return dataclasses.replace(split, train=_sorted(kept))


def check_share(share: float) -> None:
    """Raise `UserError` for a share of the training side that is none."""
    if not 0 < share <= 1:
        raise UserError(f"a share of the training side must be above 0 and at most 1, not {share}")


def shortcomings(split: Split, labels: np.ndarray, speakers: Sequence[str]) -> List[Tuple[str, str]]:
    """(code, message) of what makes data too small to train or to test with, such as an empty test side.

    labels: int (N,) of all records, speakers: the names by label
    """
    found = []
    present, tested, trained = (set(np.unique(values).tolist()) for values in (labels, labels[split.test], labels[split.train]))
    if len(present) == 1:
        found.append(("one-speaker", "there is one speaker only, so there is nothing to tell apart"))
    why = "" if split.by == "official" else ", for of a single recording nothing can be held out"
    if not tested:
        found.append(("no-test-side", f"the test side is empty (split by {split.by}){why}: accuracy cannot be measured"))
    elif present - tested:
        found.append(("speakers-not-tested", f"speakers with nothing on the test side{why}: {len(present - tested)} of "
                      f"{len(present)}, such as {speakers[min(present - tested)]}"))
    if present - trained:
        found.append(("speakers-not-trained", f"speakers with nothing on the training side: {len(present - trained)} of "
                      f"{len(present)}, such as {speakers[min(present - trained)]}"))
    return found


def check_no_leak(split: Split, recordings: Optional[np.ndarray]) -> None:
    """Raise `UserError` when a recording has records on two sides."""
    if recordings is None:
        return
    seen: Dict[str, str] = {}
    for side in SIDES:
        for name in np.unique(recordings[getattr(split, side)]):
            if seen.setdefault(name, side) != side:
                raise UserError(f"the recording {name!r} is on both sides {seen[name]} and {side}: the sidecars list "
                                "it under two speakers or sessions, or the split belongs to other data")


def save_split(path: Path, split: Split, dataset: Dataset) -> None:
    """Store the split as JSON with the fingerprint of its data."""
    sides = {side: getattr(split, side).tolist() for side in SIDES}
    write_json(path, {"format": FORMAT, "data": dataset.fingerprint(), "records": len(dataset.records),
                      "seed": split.seed, "by": split.by, **sides})


def load_split(path: Path, dataset: Dataset) -> Split:
    """Read a stored split. Raises `UserError` if it is damaged or belongs to other data."""
    stored = read_json(path, "split file")
    _check_fields(path, stored)
    if stored["records"] != len(dataset.records) or stored["data"] != dataset.fingerprint():
        raise UserError(f"{path}: this split was made for other data ({stored['records']} records, fingerprint "
                        f"{stored['data'][:60]!r}) than {dataset.name} ({len(dataset.records)} records, fingerprint "
                        f"{dataset.fingerprint()!r}); give those data, or make a new split")
    sides = [_indices(path, side, stored[side], len(dataset.records)) for side in SIDES]
    if np.unique(np.concatenate(sides)).size != sum(len(side) for side in sides):
        raise UserError(f"{path}: a record is listed twice; make the split again")
    split = Split(*sides, seed=stored["seed"], by=stored["by"])
    check_no_leak(split, dataset.recordings)
    return split


def splits_data(path: Path, dataset: Dataset) -> bool:
    """Whether there is a stored split at `path`, and it was made of these data."""
    stored = read_json(path, "split file") if path.exists() else None
    return isinstance(stored, dict) and stored.get("data") == dataset.fingerprint()


def _check_fields(path: Path, stored: Any) -> None:
    kinds = {"format": int, "data": str, "records": int, "seed": int, "by": str, "train": list, "dev": list, "test": list}
    if not isinstance(stored, dict) or set(stored) != set(kinds):
        raise UserError(f"{path}: not a split file: it must be an object with exactly the keys {', '.join(kinds)}")
    for key, kind in kinds.items():
        if type(stored[key]) is not kind:
            raise UserError(f"{path}: {key!r} must be of type {kind.__name__}, not {type(stored[key]).__name__}")
    if stored["format"] != FORMAT:
        raise UserError(f"{path}: format {stored['format']} is not {FORMAT}; it was written by another version")
    if stored["by"] not in BY:
        raise UserError(f"{path}: 'by' must be one of {', '.join(BY)}, not {stored['by'][:60]!r}")


def _indices(path: Path, side: str, values: List[Any], records: int) -> np.ndarray:
    for position, value in enumerate(values):
        if type(value) is not int or not 0 <= value < records:
            raise UserError(f"{path}: {side}[{position}] is {short(value)}, not a record number in 0..{records - 1}")
    return np.sort(np.array(values, dtype=np.int64))
