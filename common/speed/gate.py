"""Nothing trains, predicts or is timed before it is known to compute right on this very machine.

    twin = require(twin, checkpoint, options.device, threads)    # raises UserError if it does not
    with Workers(threads) as workers:
        ensure(CONTENDERS["caffe2-direct"], work, workers)       # the same for a worker's network

A process of its own holds the network against the reference (`common.proof.selfcheck`), so that the
one that asks has nothing of it in its memory and its clocks. That it passed is remembered in the
user's cache for the same processor, library versions, settings, device, threads, network and code.
"""
from __future__ import annotations

import dataclasses
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from common.contenders import CONTENDERS, Contender, by_label
from common.errors import UserError
from common.files import make_folder, read_json, write_json
from common.proof.selfcheck import Deviation
from common.remembered import remembered, settings
from common.speed.bench import Work
from common.speed.convolutions import as_known, choose
from common.speed.worker import Workers
from common.training.checkpoint import Checkpoint
from common.twin import AUTO, Twin


@dataclass(frozen=True)
class SelfCheck:
    """What a self-check found, and in what."""

    contender: Contender
    network: str
    facts: Dict[str, str]  # see common.twin.Model.facts
    deviations: List[Deviation]

    @property
    def wrong(self) -> List[Deviation]:
        return [each for each in self.deviations if each.wrong]

    @property
    def worst(self) -> Deviation:
        """The first that is beyond its limit, else what comes closest to it."""
        return self.wrong[0] if self.wrong else max(self.deviations, key=lambda each: each.share)

    @property
    def kernels(self) -> str:
        """What computed, as far as it is not the network's own."""
        return "; ".join(f"{name} {value}" for name, value in self.facts.items()
                         if name not in ("precision", "threads", "algorithm"))


def require(twin: Twin, checkpoint: Checkpoint, device: str, threads: int, convolutions: Optional[str] = None
            ) -> Twin:
    """Raise UserError unless a twin's network of a checkpoint's shape computes right.

    Returns the twin, configured, whose models are computed as what passed: by one of `common.twin.CONVOLUTIONS`,
    or else, with nothing measured, by what is known to be quick on this machine. A run that was computed by this
    framework, device and number of threads before goes on in the same way, unless another than `AUTO` is asked for.
    """
    config = checkpoint.config
    contender = CONTENDERS[by_label(twin.framework)]
    work = Work(config.network, len(checkpoint.speakers), config.width, device=device, threads=threads,
                label_smoothing=config.label_smoothing)
    with Workers(threads) as workers:
        plan = checkpoint.plan_so_far(twin.framework, device, threads) if convolutions == AUTO else None
        if plan is None and convolutions is not None:
            plan = choose(contender, work, convolutions, workers).plan
        work = as_known(contender, work) if plan is None else dataclasses.replace(work, plan=dict(plan))
        ensure(contender, work, workers)
    twin.configure(device, threads)
    return dataclasses.replace(twin, model=partial(twin.model, plan=work.plan))


def ensure(contender: Contender, work: Work, workers: Workers) -> None:
    """The same for a framework's worker, with or without what was added to its convolutions."""
    if passed(contender, work):
        return
    print(f"checking {work.network} in {contender.label} against the reference, once on this machine",
          file=sys.stderr, flush=True)
    outcome, = selfcheck(contender, [work], workers)
    if outcome.wrong:
        raise UserError(_refusal(outcome))
    memory = _memory(contender, work)
    with suppress(UserError):  # where nothing can be kept the next run checks again
        make_folder(memory.parent)
        write_json(memory, {"contender": contender.label, "network": work.network, **outcome.facts,
                            "settings": settings(), "worst": str(outcome.worst)})


def passed(contender: Contender, work: Work) -> bool:
    """Whether that is known already; a file that does not hold what was written says nothing."""
    with suppress(UserError):
        found = read_json(_memory(contender, work), "memory of a self-check")
        return isinstance(found, dict) and (found.get("contender"), found.get("network")) == (contender.label, work.network)
    return False


def selfcheck(contender: Contender, works: Sequence[Work], workers: Workers) -> List[SelfCheck]:
    """Hold networks against the reference in the process of the contender's framework; remembers nothing.

    All with the same device and threads. Raises UserError if the process fails.
    """
    found = [workers.of(contender).ask("selfcheck", work=dataclasses.asdict(work)) for work in works]
    return [SelfCheck(contender, work.network, each["facts"], [Deviation(**one) for one in each["deviations"]])
            for work, each in zip(works, found)]


def _refusal(outcome: SelfCheck) -> str:
    chosen = " ".join(f"{name}={value}" for name, value in settings().items()) or "none"
    return (f"{outcome.contender.label} computes wrong numbers on this machine: in {outcome.network}, {outcome.worst} "
            f"({len(outcome.wrong)} of {len(outcome.deviations)} tensors are wrong, by the float64 reference). "
            f"Kernels: {outcome.kernels}. Variables that choose kernels: {chosen}. Use the other framework, another "
            "--device or other variables; `python compare.py selfcheck` shows what is right here")


def _memory(contender: Contender, work: Work) -> Path:
    """Where it is remembered that this very thing passed."""
    package = contender.implementation
    return remembered("selfcheck", f"{contender.key}-{work.network}", [package, "common/network", "common/proof"],
                      work.device, {
                          "contender": [contender.key, contender.module, dict(contender.environment)],
                          "network": [repr(work.spec), work.label_smoothing],
                          "plan": work.plan, "threads": work.threads})
