"""`python compare.py selfcheck`: do both frameworks compute right on this very machine?"""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, Optional

from common.commands.options import add_options, prepare_machine
from common.contenders import CONTENDERS
from common.errors import UserError
from common.parser import Parser
from common.twin import Twin

if TYPE_CHECKING:
    from common.speed.gate import SelfCheck

_DESCRIPTION = """Hold both frameworks against the float64 reference on tiny batches, on this very machine.

  python compare.py selfcheck
  DNNL_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 python compare.py selfcheck

Both networks at their real widths, with our convolutions and with each framework's own: three training
steps at two sizes layer by layer, each followed by a prediction. Prints the worst tensor of each and which
kernels were in use. Every command that trains, predicts or measures does the same for its own network
first, once for a processor, its settings and library versions; this does it now, whatever is
remembered. Exit status: 0 all is right; 1 something is wrong or did not run."""


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Print what was found, and in which kernels; exit status 1 if anything is wrong."""
    options = _parser().parse_args(argv)
    threads = prepare_machine(options, [loads[name] for name in options.frameworks])

    from common.network.architectures import build
    from common.remembered import settings
    from common.speed.bench import Work
    from common.speed.convolutions import as_known
    from common.speed.gate import selfcheck
    from common.speed.worker import Workers

    works = [Work(name, options.speakers, options.width, device=options.device, threads=threads) for name in options.networks]
    for name in options.networks:
        build(name, options.speakers, options.width)  # refuses what cannot be
    outcomes: List[SelfCheck] = []
    broken: Dict[str, str] = {}
    for row in CONTENDERS.values():
        if {row.key, row.own_of}.intersection(options.frameworks):
            try:  # each in a process of its own: one that dies in a kernel keeps nobody from seeing the others
                with Workers(threads) as workers:
                    outcomes += selfcheck(row, [as_known(row, work) for work in works], workers)
            except UserError as error:
                broken[row.label] = str(error)
    print(_text(outcomes, broken, settings()))
    return 1 if broken or any(outcome.wrong for outcome in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py selfcheck", _DESCRIPTION)
    add_options(parser, "--networks", "--frameworks", "--width", "--speakers", "--device", "--threads")
    return parser


def _text(outcomes: List[SelfCheck], broken: Dict[str, str], settings: Mapping[str, str]) -> str:
    from common.machine import describe
    from common.tables import table

    rows = [[outcome.contender.label, outcome.network, len(outcome.deviations), outcome.worst.where,
             f"{outcome.worst.error:.1e}", f"{outcome.worst.limit:.0e}",
             f"WRONG, {len(outcome.wrong)} tensors" if outcome.wrong else "right"] for outcome in outcomes]
    rows += [[name, "", "", "", "", "", "DID NOT RUN"] for name in broken]
    kernels = {outcome.contender.label: outcome.kernels for outcome in outcomes}
    return "\n\n".join([
        table(rows, ["", "network", "tensors", "worst", "off by, of its scale", "allowed", "verdict"], "simple"),
        "\n".join(f"{name}: {each}" for name, each in {**kernels, **broken}.items()),
        f"processor: {describe()['processor']}\nvariables that choose kernels: "
        + (" ".join(f"{name}={value}" for name, value in settings.items()) or "none")])
