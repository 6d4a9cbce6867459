"""`python compare.py scaling`: how the cost of a step grows with size, in both frameworks."""
from __future__ import annotations

import argparse
from typing import Callable, Dict, List, Mapping, Optional

from common.commands.options import add_options, add_out_options, choose_device, prepare_threads
from common.contenders import CONTENDERS, FRAMEWORKS
from common.data.form import NUM_FRAMES
from common.errors import UserError
from common.network.architectures import NETWORKS
from common.outputs import output
from common.parser import Parser, number
from common.progress import Progress
from common.twin import Twin

_DESCRIPTION = """Time training and inference of both networks over batch size, threads, frames and speakers.

  python compare.py scaling
  python compare.py scaling --networks tdnn --batch-sizes 1 16 --frames 100 300 --speakers 50 --threads 2

Frameworks take turns at every value, on random spectrograms. Writes scaling.md, scaling.json and a
plot for each network, with what an utterance costs beside its multiply-accumulates. All of it takes
about 25 minutes on two cores; fewer values or --width take less."""

_BATCH_SIZE, _FRAMES, _SPEAKERS = 8, NUM_FRAMES, 50  # where the other axes are measured
_WRITES = ("scaling.md", "scaling.json", *(f"scaling-{name}.png" for name in NETWORKS))


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Measure, print the tables and write them."""
    options = _parser().parse_args(argv)
    most = prepare_threads(0)
    values = _values(options, most)
    options.device = choose_device(options.device, loads.values()).device

    from common.compare.verdict import status_of
    from common.files import write_json, write_text
    from common.measured import facts
    from common.show.scaling import draw_scaling, scaling_text
    from common.speed import gate
    from common.speed.bench import Work
    from common.speed.convolutions import as_known
    from common.speed.scaling import Scaling, ScalingStudy
    from common.speed.worker import Workers
    from common.typed import plain

    study = ScalingStudy(facts(most), [], [])
    with output(options.out, "scaling", _WRITES, options.force) as folder, Progress() as progress:
        for name in options.networks:
            base = Work(name, _SPEAKERS, options.width, _FRAMES, _BATCH_SIZE,
                        device=options.device, threads=most)
            with Workers(most) as workers:
                for framework in FRAMEWORKS:
                    gate.ensure(CONTENDERS[framework], as_known(CONTENDERS[framework], base), workers)
            scaling = Scaling(base, FRAMEWORKS, progress.show)
            study.points.extend(scaling.run(values))
            study.left_out.extend(scaling.left_out)
            # After each network: a run takes long, and what is measured should outlive its end.
            text = scaling_text(study, f"batch of {_BATCH_SIZE}, {_FRAMES} frames, {_SPEAKERS} speakers, width {options.width:g}")
            write_text(folder / "scaling.md", text)
            write_json(folder / "scaling.json", plain(study))
            drawn = [path.name for path in draw_scaling(study, folder)]
    print(f"{text}\nwritten to {folder}: {', '.join(['scaling.md', 'scaling.json', *drawn])}")
    return status_of(study.proofs)


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py scaling", _DESCRIPTION)
    add_options(parser, "--networks", "--width", "--device")
    for name, default, what in (("batch-sizes", [1, 2, 4, 8, 16, 32, 64], "utterances a step"),
                                ("threads", None, "of an operation (1, 2, 4, ... to all CPUs)"),
                                ("frames", [100, 200, 300, 500, 1000], "of an utterance"),
                                ("speakers", [50, 1251, 5994], "to tell apart")):
        shown = "" if default is None else f" ({' '.join(map(str, default))})"
        parser.add_argument(f"--{name}", nargs="*", type=number, default=default, metavar="N",
                            help=f"{what}{shown}; no value: not this axis")
    add_out_options(parser, "scaling", "tables and plots")
    return parser


def _values(options: argparse.Namespace, most: int) -> Dict[str, List[int]]:
    """The values of each axis that was asked for. Raises UserError for what cannot be measured."""
    from common.network.architectures import build
    from common.speed.scaling import BATCH, FRAMES, SPEAKERS, THREADS

    doubling = [2**power for power in range(most.bit_length())]  # 1, 2, 4, ... up to all
    threads = [*doubling, most] if options.threads is None else options.threads
    values = {BATCH: options.batch_sizes, THREADS: threads, FRAMES: options.frames,
              SPEAKERS: options.speakers}
    values = {axis: sorted(set(each)) for axis, each in values.items() if each}
    if not values:
        raise UserError("no axis has a value; give one of --batch-sizes, --threads, --frames, --speakers")
    for name in options.networks:
        for speakers in values.get(SPEAKERS, [_SPEAKERS]):
            build(name, speakers, options.width).steps(min(values.get(FRAMES, [_FRAMES])))
    return values
