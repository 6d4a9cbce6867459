"""Errors a person at a command line can cause, and how a command reports them.

    from common.errors import UserError, friendly
"""
from __future__ import annotations

import functools
import sys
from typing import Callable, List, Optional


class UserError(Exception):
    """Bad input. The message says what was wrong, where, and what to do about it."""


def friendly(main: Callable[[Optional[List[str]]], int]) -> Callable[[Optional[List[str]]], int]:
    """Wrap a command's `main(argv)`: user errors become one line on stderr and exit status 2.

    Anything else is a defect of ours and keeps its traceback. Ctrl-C ends with status 130, and a
    reader that closes the pipe (`| head`) with 141, as a shell reports those signals.
    """

    @functools.wraps(main)
    def wrapped(argv: Optional[List[str]] = None) -> int:
        try:
            return main(argv)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:
            return 141

    return wrapped
