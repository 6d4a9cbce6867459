"""What was measured, as JSON and back: every field there, of its type, and no other.

    write_json(path, plain(report))
    report = typed(Report, read_json(path, "report"), f"{path}: this is no report")
"""
from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Type, TypeVar

from common.errors import UserError

_LONGEST = 200  # of an error's own words, which may repeat a file's whole content
T = TypeVar("T")


def plain(value: Any) -> Any:
    """A dataclass as JSON has it: None for every number that JSON does not have; broken contenders give them."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: Any) -> str:
    """What is `plain` of a value, for programs to read from standard output: names as they are, no NaN."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)


def typed(kind: Type[T], value: Any, refusal: str) -> T:
    """Parsed JSON as the dataclass that it was; null where a number has to be is NaN.

    Raises UserError, which begins with `refusal`, for a field that is missing, unknown or of another type.
    """
    from dacite import Config, DaciteError, from_dict

    if not isinstance(value, dict):
        raise UserError(refusal)
    try:
        return from_dict(kind, value, Config(strict=True, type_hooks={float: _number}))
    except (DaciteError, UserError) as error:
        raise UserError(f"{refusal} ({' '.join(ascii(str(error))[1:-1].split())[:_LONGEST]})") from None


def _number(value: Any) -> Any:
    return math.nan if value is None else value
