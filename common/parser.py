"""How every command reads its options: written in full, and what is wrong with them is told in one line.

    parser = Parser("python -m common.doctor", __doc__)
"""
from __future__ import annotations

import argparse
import difflib
import re
from typing import Any, List, NoReturn, Optional, Sequence, Tuple

from common.errors import UserError
from common.machine import available_cores


def number(text: str) -> int:
    """An argparse type: of things there has to be one of, at least."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return int(text)


class Parser(argparse.ArgumentParser):
    """Shows its description as it is laid out. No abbreviations: `--batch-size` is one command's, `--batch-sizes` another's."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
                         allow_abbrev=False)
        self._given: List[str] = []

    def parse_known_args(self, args: Optional[Sequence[str]] = None, namespace: Any = None) -> Tuple[Any, List[str]]:
        self._given = list(args or ())
        return super().parse_known_args(args, namespace)

    def add_workers(self, what: str) -> None:
        """--workers N, of the threads or processes that share the work."""
        self.add_argument("--workers", type=number, default=available_cores(), metavar="N", help=f"{what} (default: one a core)")

    def error(self, message: str) -> NoReturn:
        """Raises UserError; who leaves something out is shown the description's first example, who misspells what is near."""
        missing = message.partition("arguments are required: ")[2]
        example = re.search(r"^ +(python .*?) *(  #.*)?$", self.description or "", re.MULTILINE)
        if missing and example:
            raise UserError(f"missing: {missing}; such as in: {example[1]}")
        unknown = next((word.partition("=")[0] for word in self._given if word.startswith("--") and len(word) > 2
                        and word.partition("=")[0] not in self._option_string_actions), None)
        if unknown and not message.startswith("unrecognized"):  # what it was to be given went to another, which refused it
            message = f"unrecognized arguments: {unknown}"
        near = difflib.get_close_matches(unknown, self._option_string_actions, 1) if unknown else []
        raise UserError(f"{message}; " + (f"did you mean {near[0]}? " if near else "") + f"{self.prog} --help lists the options")
