"""Nothing trains, predicts or is timed before it is known to compute right on this very machine.

    require(twin, checkpoint, options.device, threads)    # raises UserError if it does not
    ensure(CONTENDERS["caffe2-direct"], work)              # the same for a worker's network

A process of its own holds the network against the reference (`common.proof.selfcheck`), so that the
one that asks has nothing of it in its memory and its clocks. That it passed is remembered in the
user's cache for the same processor, library versions, settings, device, threads, network and code.
"""
from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from common.contenders import CONTENDERS, Contender
from common.errors import UserError
from common.files import cache_folder, make_folder, write_json
from common.network.networks import build
from common.proof.selfcheck import Deviation
from common.speed.bench import Work
from common.speed.worker import Worker
from common.training.checkpoint import Checkpoint
from common.twin import Twin

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("tensorflow", "tensorflow-cpu", "torch", "numpy")
# Variables by which libraries choose kernels, devices and threads begin so.
_SETTINGS = ("DNNL_", "ONEDNN_", "TF_", "XLA_", "MKL_", "OPENBLAS_", "OMP_", "KMP_", "GOMP_", "CAFFE2_", "CUDA_",
             "CUDNN_", "NVIDIA_", "LD_PRELOAD")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # --threads sets them


@dataclass(frozen=True)
class Outcome:
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


def require(twin: Twin, checkpoint: Checkpoint, device: str, threads: int) -> None:
    """Raise UserError unless a twin's network of a checkpoint's shape computes right."""
    config = checkpoint.config
    ensure(CONTENDERS[twin.framework.lower()], Work(
        config.network, len(checkpoint.speakers), config.width, device=device, threads=threads))


def ensure(contender: Contender, work: Work) -> None:
    """The same for a framework's worker, with or without what was added to its convolutions."""
    memory = _memory(contender, work)
    if memory.exists():
        return
    print(f"checking {work.network} in {contender.label} against the reference, once on this machine",
          file=sys.stderr, flush=True)
    outcome, = selfcheck(contender, [work])
    if outcome.wrong:
        raise UserError(_refusal(outcome))
    with suppress(UserError):  # where nothing can be kept the next run checks again
        make_folder(memory.parent)
        write_json(memory, {"contender": contender.label, "network": work.network, **outcome.facts,
                            "settings": settings(), "worst": str(outcome.worst)})


def selfcheck(contender: Contender, works: Sequence[Work]) -> List[Outcome]:
    """Hold networks against the reference in a process of its own; remembers nothing.

    All with the same device and threads. Raises UserError if the process fails.
    """
    with Worker.of(contender, works[0].threads) as worker:
        found = [worker.ask("selfcheck", work=dataclasses.asdict(work)) for work in works]
    return [Outcome(contender, work.network, each["facts"], [Deviation(**one) for one in each["deviations"]])
            for work, each in zip(works, found)]


def settings() -> Dict[str, str]:
    """The variables of this process that choose kernels, devices or threads."""
    return {name: value for name, value in sorted(os.environ.items())
            if name.startswith(_SETTINGS) and name not in _THREADS}


def _refusal(outcome: Outcome) -> str:
    chosen = " ".join(f"{name}={value}" for name, value in settings().items()) or "none"
    return (f"{outcome.contender.label} computes wrong numbers on this machine: in {outcome.network}, {outcome.worst} "
            f"({len(outcome.wrong)} of {len(outcome.deviations)} tensors are wrong, by the float64 reference). "
            f"Kernels: {outcome.kernels}. Variables that choose kernels: {chosen}. Use the other framework, another "
            "--device or other variables; `python compare.py selfcheck` shows what is right here")


def _memory(contender: Contender, work: Work) -> Path:
    """Where it is remembered that this very thing passed."""
    spec = build(work.network, work.num_speakers, work.width)
    known = {"contender": [contender.key, contender.module, contender.arguments, dict(contender.environment)],
             "network": repr(spec), "device": [work.device, _cards(work.device)], "threads": work.threads,
             "processor": _processor(), "versions": {name: _version(name) for name in _PACKAGES},
             "settings": settings(), "code": _code(contender.module.partition(".")[0])}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "selfcheck" / f"{contender.key}-{work.network}-{digest}.json"


def _processor() -> List[str]:
    """Its model, and what instructions it has."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return [platform.machine(), platform.processor()]


def _cards(device: str) -> List[str]:
    """What NVIDIA's driver says of itself and each card; nothing where none can be meant."""
    driver = Path("/proc/driver/nvidia")
    files = [] if device == "cpu" else [driver / "version", *sorted(driver.glob("gpus/*/information"))]
    return [path.read_text(errors="replace") for path in files if path.exists()]


def _version(package: str) -> Optional[str]:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _code(package: str) -> str:
    """Hash of all source that takes part in computing, and in checking it."""
    digest = hashlib.sha256()
    for folder in (package, "common/network", "common/proof"):
        for path in sorted((_ROOT / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
