"""The homework's classes file: one line `LABEL NAME` for every speaker.

    python -c "from common.data.classes import read_classes; print(read_classes('data/classes.txt'))"
"""
from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Dict, List, Sequence, Union

from common.errors import UserError
from common.files import read_text, write_text

_MAX_CLASSES_BYTES = 16 * 2**20


def read_classes(path: Union[str, Path]) -> List[str]:
    """Speakers' names by label from lines such as `0 Miley_Cyrus`, in any order, none missing.

    Raises `UserError` with the line number.
    """
    names: Dict[int, str] = {}
    text = read_text(Path(path), "classes file", _MAX_CLASSES_BYTES)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        label, name = (line.split(maxsplit=1) + [""])[:2]
        name = name.strip()
        problem = _class_problem(label, name, names)
        if problem:
            raise UserError(f"{path}: line {number} ({line.strip()[:60]!r}) {problem}; "
                            "each line must be like `0 Miley_Cyrus`")
        names[int(label)] = name
    if not names:
        raise UserError(f"{path}: the classes file is empty; it needs lines like `0 Miley_Cyrus`")
    missing = next((label for label in range(len(names)) if label not in names), None)
    if missing is not None:
        raise UserError(f"{path}: label {missing} has no line but label {max(names)} has; "
                        "labels must run from 0 without gaps")
    name, times = Counter(names.values()).most_common(1)[0]
    if times > 1:
        raise UserError(f"{path}: the name {name[:60]!r} has {times} labels; every speaker needs one of their own")
    return [names[label] for label in range(len(names))]


def _class_problem(label: str, name: str, seen: Dict[int, str]) -> str:
    if not (label.isascii() and label.isdigit()) or len(label) > 8:
        return "does not begin with a label"
    if not name:
        return "has no name"
    if not name.isprintable():
        return "has a name with characters that cannot be printed"
    return f"repeats label {int(label)}" if int(label) in seen else ""


def write_classes(path: Union[str, Path], names: Sequence[str]) -> None:
    """Write the homework's classes file; `names[label]` is the speaker. Raises `UserError` for a bad name."""
    times = Counter(names)
    for label, name in enumerate(names):
        if not name or name != name.strip() or not name.isprintable() or times[name] > 1:
            raise UserError(f"{path}: {name!r} cannot name speaker {label}: names must be unique, printable, "
                            "not empty, without spaces around them")
    write_text(Path(path), "".join(f"{label} {name}\n" for label, name in enumerate(names)))
