"""From recordings to a data folder, see `common.prepare.command`.

    python -m common.prepare MY_RECORDINGS data/mine
"""
from __future__ import annotations

import sys
from typing import List, Optional

from common.errors import friendly
from common.prepare import command


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    return command.run(argv)


if __name__ == "__main__":
    sys.exit(main())
