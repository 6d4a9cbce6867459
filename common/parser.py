"""How every command reads its options: written in full, and what is wrong with them is told in one line.

    parser = Parser("python -m common.doctor", __doc__)
"""
from __future__ import annotations

import argparse
import difflib
import re
from typing import NoReturn

from common.errors import UserError


class Parser(argparse.ArgumentParser):
    """Shows its description as it is laid out. No abbreviations: `--batch-size` is one command's, `--batch-sizes` another's."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
                         allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises UserError; who leaves something out is shown the description's first example, who misspells what is near."""
        missing = message.partition("arguments are required: ")[2]
        example = re.search(r"^ +(python .*?) *(  #.*)?$", self.description or "", re.MULTILINE)
        if missing and example:
            raise UserError(f"missing: {missing}; such as in: {example[1]}")
        unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
        near = difflib.get_close_matches(unknown[1], self._option_string_actions, 1) if unknown else []
        raise UserError(f"{message}; " + (f"did you mean {near[0]}? " if near else "") + f"{self.prog} --help lists the options")
