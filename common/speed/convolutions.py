"""How the twins are to compute a network's convolutions: as measured on this machine, or as asked for.

    choice = choose(CONTENDERS["caffe2"], work, AUTO, workers)   # as remembered; else measured first, in seconds
    twin = planned(twin, "cpu", threads)                 # its models: as remembered, else the default

A process of its own measures (`common.speed.tuning`), so that the one that asks has nothing of it in
its memory and its clocks. Remembered for processor, versions, settings, device, threads, network and
code; `--convolutions measure` measures again.
"""
from __future__ import annotations

import dataclasses
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence

from common.contenders import Contender
from common.errors import UserError
from common.files import make_folder, read_json, write_json
from common.network.layers import NetworkSpec
from common.network.winograd import DIRECT, Plan, algorithm, default_plan, ways
from common.remembered import remembered
from common.speed.bench import Work
from common.speed.tuning import BATCH_SIZE, MEASURE_SECONDS, SECONDS, other_ways
from common.speed.worker import Workers
from common.twin import DEFAULT, MEASURE, OWN, Twin


class Choice(NamedTuple):
    """A plan, and where it comes from, in words."""

    plan: Plan
    origin: str


def choose(contender: Contender, work: Work, mode: str, workers: Workers) -> Choice:
    """The plan of a framework's network, by one of `CONVOLUTIONS`. Raises UserError if measuring fails."""
    spec = work.spec
    if mode == OWN or work.device == "gpu":
        return Choice(DIRECT, "as asked for" if mode == OWN else "as always on a GPU")
    if mode == DEFAULT or not any(other_ways(spec, default_plan(spec))):
        return Choice(default_plan(spec), "by default")
    file = _file(contender.implementation, spec, work.device, work.threads)
    found = None if mode == MEASURE else _read(file, spec)
    tried = [] if found is None else found["candidates"]
    if found is None or any(each["times_as_quick"] is None for each in tried):  # time was up: the rest is still to be measured
        print(f"measuring how {contender.label} computes the convolutions of {work.network} quickest, once on "
              "this machine", file=sys.stderr, flush=True)
        found = workers.of(contender).ask("tune", seconds=MEASURE_SECONDS if mode == MEASURE else SECONDS, tried_before=tried,
                                          work=dataclasses.asdict(dataclasses.replace(work, batch_size=BATCH_SIZE, data=None)))
        with suppress(UserError):  # where nothing can be kept the next run measures again
            make_folder(file.parent)
            write_json(file, {"network": work.network, "algorithm": algorithm(spec, found["plan"]), **found})
    return Choice(found["plan"], _origin(found["candidates"]))


def known(package: str, spec: NetworkSpec, device: str, threads: int) -> Plan:
    """What is remembered for a twin's network, else the default; measures nothing."""
    if device == "gpu":
        return DIRECT
    found = _read(_file(package, spec, device, threads), spec)
    return default_plan(spec) if found is None else found["plan"]


def as_known(contender: Contender, work: Work) -> Work:
    """`work` by the plan that is `known`, for a framework; by none of ours for its own convolutions, as for other baselines."""
    if not contender.is_twin:
        return work
    plan = DIRECT if contender.own_of else known(contender.implementation, work.spec, work.device, work.threads)
    return dataclasses.replace(work, plan=dict(plan))


def planned(twin: Twin, device: str, threads: int) -> Twin:
    """A twin whose models are computed as is `known` of each network."""
    return dataclasses.replace(twin, model=lambda spec, *state: twin.model(
        spec, *state, plan=known(twin.package, spec, device, threads)))


def _file(package: str, spec: NetworkSpec, device: str, threads: int) -> Path:
    # The number of speakers makes no difference: all layers but the last.
    return remembered("convolutions", f"{package}-{spec.name}",
                      [package, "common/network", "common/speed/tuning.py"], device,
                      {"layers": repr(spec.layers[:-1]), "threads": threads})


def _origin(tried: Sequence[Mapping[str, Any]]) -> str:
    measured = sum(each["times_as_quick"] is not None for each in tried)
    return f"{measured} of {len(tried)} other ways measured on this machine"


def _read(file: Path, spec: NetworkSpec) -> Optional[Dict[str, Any]]:
    """The plan and the candidates in a file; None if there is no plan that could be this network's."""
    with suppress(UserError, KeyError, TypeError, AttributeError):
        found = read_json(file, "remembered plan")
        plan, _ = found["plan"], _origin(found["candidates"])
        known_ways = ways(spec)
        if all(points in known_ways[name] for name, points in plan.items()):
            return found
    return None
