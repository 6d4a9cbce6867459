"""Small text and JSON files, read defensively and written whole or not at all.

    from common.files import read_json, read_text, write_json, write_text
"""
from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Tuple

from common.errors import UserError

MAX_TEXT_BYTES = 64 * 2**20  # far above any honest file; a record file named by mistake is larger
_PIECE = 2**16
_MAX_DIGITS = 20             # integers beyond 64 bits; parsing a million digits takes seconds


def read_text(path: Path, what: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The whole of a UTF-8 file (a byte order mark is dropped); `what` names it in errors.

    Raises `UserError` for a file that is missing, unreadable, too large, or not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            # In pieces: the size of a pipe is not known beforehand, and read(limit) would allocate the limit.
            data = bytearray()
            while len(data) <= max_bytes:
                piece = file.read(_PIECE)
                if not piece:
                    break
                data += piece
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}; check the path") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read this {what}: {error.strerror}") from None
    except ValueError as error:  # a NUL character in the path
        raise UserError(f"{str(path)!r}: cannot read this {what}: {error}") from None
    if len(data) > max_bytes:
        raise UserError(f"{path}: more than {max_bytes} bytes is too long for a {what}; is it another file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8, so this is not a {what}; "
                        "save it as UTF-8 text") from None


def read_json(path: Path, what: str) -> Any:
    """Parse strict JSON: no NaN, no repeated keys, no absurd numbers or nesting. Raises `UserError`."""
    text = read_text(path, what)

    def refuse(reason: str) -> NoReturn:
        raise UserError(f"{path}: not a valid {what}: {reason}")

    def parse_int(digits: str) -> int:
        if len(digits) > _MAX_DIGITS:
            refuse(f"the number {digits[:_MAX_DIGITS]}... has {len(digits)} digits")
        return int(digits)

    def parse_float(number: str) -> float:
        value = float(number)
        return value if abs(value) != float("inf") else refuse(f"the number {number[:40]} is out of range")

    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        for key, times in Counter(key for key, _ in pairs).items():
            if times > 1:
                refuse(f"the key {key[:60]!r} appears {times} times")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=parse_int, parse_float=parse_float,
                          parse_constant=lambda name: refuse(f"{name} is not a JSON number"))
    except json.JSONDecodeError as error:
        refuse(f"{error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        refuse("nested too deeply")


def write_text(path: Path, text: str) -> None:
    """Write through a temporary name in the same folder, so that no half-written file has the real one."""
    temporary = path.with_name(path.name + ".partial")
    try:
        temporary.write_bytes(text.encode("utf-8"))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot write: {error.strerror}; check the folder and the free space") from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys: the same value gives the same bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def make_folder(path: Path) -> None:
    """Make a folder with its parents, or find it there. Raises `UserError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot make this folder: {error.strerror}; choose another") from None


def natural_key(path: Path) -> List[Tuple[int, int, str]]:
    """Sort key that puts `part-2.bin` before `part-10.bin`."""
    pieces = re.split(r"([0-9]+)", path.name)
    return [(1, int(piece), piece) if piece.isdigit() else (0, 0, piece) for piece in pieces]
