"""`python compare.py profile`: where each framework's step spends its time, layer by layer."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional

from common.commands.options import add_options, add_out_options, prepare_machine
from common.network.architectures import NETWORKS
from common.outputs import output
from common.parser import Parser, number
from common.twin import Twin

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.speed.bench import Work

_DESCRIPTION = """Show where the time of a step goes: forward, backward and update of every layer.

  python compare.py profile --networks tdnn --batch-size 16

Each framework's own profiler times every operator (TensorFlow's traces, Caffe2's BenchmarkNet), on
random spectrograms; the sum is held against the step's time by the clock. Writes profile.md,
profile.json and a plot for each network."""

_WRITES = ("profile.md", "profile.json", *(f"{name}.png" for name in NETWORKS))


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Profile, print the tables and write them."""
    options = _parser().parse_args(argv)
    threads = prepare_machine(options, loads.values())

    from common.compare.verdict import status_of
    from common.files import write_json, write_text
    from common.measured import facts
    from common.show.profile import draw_profiles, profile_text
    from common.speed.profile import ProfileStudy, profile_network
    from common.typed import plain

    works = {name: _work(name, options, threads) for name in options.networks}
    with output(options.out, "profile", _WRITES, options.force) as folder:
        found = {name: profile_network(work, options.steps) for name, work in works.items()}
        study = ProfileStudy(facts(threads), *({name: each[part] for name, each in found.items()} for part in (0, 1)))
        text = profile_text(study, works, options.steps)
        write_text(folder / "profile.md", text)
        write_json(folder / "profile.json", plain(study))
        drawn = [path.name for path in draw_profiles(study, folder)]
    print(text + f"\nwritten to {folder}: {', '.join(['profile.md', 'profile.json', *drawn])}")
    return status_of(study.proofs)


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py profile", _DESCRIPTION)
    add_options(parser, "--networks", "--width", "--batch-size", "--frames", "--speakers")
    parser.add_argument("--steps", type=number, default=3, help="profiled steps of each kind (3)")
    add_out_options(parser, "profile", "tables and plots")
    add_options(parser, "--device", "--threads")
    return parser


def _work(network: str, options: argparse.Namespace, threads: int) -> Work:
    from common.speed.bench import Work

    work = Work(network, options.speakers, options.width, options.frames, options.batch_size,
                device=options.device, threads=threads)
    work.spec.steps(options.frames)  # refuses what cannot be
    return work
