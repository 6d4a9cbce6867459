"""A local web page to try a trained model: record or drop a recording, see who speaks, and enroll new voices.

    python -m common.page                # a model that comes with the project
    python -m common.page runs/mine      # a run's folder, with the ONNX file that `export` made of its best.npz

TensorFlow, Caffe2 and ONNX Runtime answer side by side: the frameworks from a checkpoint (npz), ONNX
Runtime from the file that `export` made of it. Nobody but this computer reaches the page unless --host
says otherwise. No recording is kept. Ctrl-C ends it.
"""
from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

from common.commands.options import add_options, prepare_threads
from common.errors import UserError, friendly
from common.machine import PROJECT
from common.parser import Parser

if TYPE_CHECKING:  # slow to import, and --help does not need it
    from common.page.state import Page

_SHIPPED = PROJECT / "results" / "models" / "real35"
_PACKAGES, _REQUIREMENTS = ("flask", "waitress"), PROJECT / ".requirements-page.txt"


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    options = _parser().parse_args(argv)
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"the page needs {' and '.join(missing)}, which nothing else here does; this installs them:\n"
                        f"  uv pip install --python {shlex.quote(sys.executable)} -r {shlex.quote(str(_REQUIREMENTS))}")
    threads = prepare_threads(options.threads)

    from common.page.models import find, start
    from common.page.state import Page

    files = find(options.model)
    for path, kind, silent in ((files.checkpoint, "checkpoint", "neither TensorFlow nor Caffe2 answers"),
                               (files.onnx, "ONNX file", "ONNX Runtime does not answer")):
        if path is None:
            print(f"note: there is no {kind} of this model beside {options.model}, so {silent}", file=sys.stderr)
    with Page(*start(files, threads), options.gallery) as page:
        _serve(page, options.host, options.port)
    return 0


def _serve(page: Page, host: str, port: int) -> None:
    """Until Ctrl-C, or the signal that ends processes."""
    from common.page.app import make_server

    own_names_only = ipaddress.ip_address(host).is_loopback
    if not own_names_only:
        print(f"WARNING: whoever reaches {host} over the network can use this page, and browsers give it the microphone "
              "only where it is called localhost", file=sys.stderr)
    server = make_server(page, host, port, own_names_only)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    name = f"[{host}]" if ":" in host else host
    print(f"open http://{name}:{server.effective_port}/ in a browser; Ctrl-C ends the page", flush=True)
    server.run()


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m common.page", __doc__)
    parser.add_argument("model", type=Path, nargs="?", default=_SHIPPED, help="a run's folder, a checkpoint (npz) or an "
                        "ONNX file; the other kind is looked for beside it (results/models/real35)")
    parser.add_argument("--port", type=_port, default=8000, help="0: any that is free (8000)")
    parser.add_argument("--host", type=_address, default="127.0.0.1",
                        help="the address to listen at (127.0.0.1: this computer only)")
    parser.add_argument("--gallery", type=Path, metavar="FILE", help="keep the voices that are enrolled in this file, see "
                        "python -m common.enroll (default: they are forgotten when the page ends)")
    add_options(parser, "--threads")
    return parser


def _port(text: str) -> int:
    """An argparse type."""
    if not (text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to {2**16 - 1}")
    return int(text)


def _address(text: str) -> str:
    """An argparse type."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as 127.0.0.1") from None


if __name__ == "__main__":
    sys.exit(main())
