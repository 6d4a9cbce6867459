"""From recordings to a data folder, see `common.prepare.command`.

    python -m common.prepare MY_RECORDINGS data/mine
"""
import sys

from common.errors import friendly
from common.prepare import command

main = friendly(command.run)

if __name__ == "__main__":
    sys.exit(main())
