"""A trained model on disk: one npz file that either framework can load, train on and evaluate.

    checkpoint = load_checkpoint(Path("runs/a/best.npz"))
    model = model_of(twin, checkpoint)
"""
from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, Optional, Tuple

import numpy as np

from common.data.form import SCALES
from common.errors import UserError
from common.network import params as parameters
from common.network.layers import NetworkSpec
from common.network.params import Params
from common.network.winograd import Plan, read_algorithm
from common.training.certificate import Stretch, read_stretches
from common.training.config import TrainingConfig, from_dict
from common.training.metrics import is_temperature
from common.twin import Model, Twin

FORMAT = 1


@dataclass(frozen=True)
class Part:
    """What the steps of an epoch that is under way came to."""

    steps: int = 0
    loss: float = 0.0  # the sum of their losses
    correct: int = 0  # utterances
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """Parameters and everything needed to use them or to go on training."""

    config: TrainingConfig
    speakers: Tuple[str, ...]  # names by label
    params: Params
    momenta: Params
    epoch: int = 0  # whole epochs done
    step: int = 0  # steps done: the position in the learning-rate schedule
    part: Part = Part()  # of the epoch after the whole ones
    dev_top1: Optional[float] = None
    best_dev_top1: float = -1.0  # of this and all earlier epochs
    framework: str = ""  # that trained it
    scale: Optional[str] = None  # of the spectrograms it was trained on: magnitude, log, or unknown
    normalised: Optional[bool] = None  # whether every frequency bin was normalised, or unknown
    synthetic: bool = False  # whether it knows synthetic voices only
    # That makes probabilities of its logits, see `common.training.metrics.fit_temperature`; None without a development side.
    temperature: Optional[float] = None
    # What it was trained with, first stretch first; in the file, because files move without folders.
    stretches: Tuple[Stretch, ...] = ()
    # Fingerprints of the utterances it was trained on (`RecordSet.fingerprints`); none where that is not known.
    trained_on: FrozenSet[int] = frozenset()

    @property
    def spec(self) -> NetworkSpec:
        return self.config.spec(len(self.speakers))

    def plan_so_far(self, framework: str, device: str, threads: int) -> Optional[Plan]:
        """By which this framework, there and with so many threads, last computed the run's convolutions; None: it did not."""
        for stretch in reversed(self.stretches):
            facts = stretch.facts
            if facts.get("framework", "").startswith(framework) and (facts.get("device"), facts.get("threads")) == (
                    device, str(threads)):
                return read_algorithm(self.spec, facts.get("algorithm", ""))
        return None


def model_of(twin: Twin, checkpoint: Checkpoint) -> Model:
    """What a checkpoint holds, in a framework: to use it or to go on training."""
    return twin.model(checkpoint.spec, checkpoint.params, checkpoint.config.optimizer, checkpoint.momenta)


_ALLOWED: Dict[str, Callable[[Any], bool]] = {
    "epoch": lambda value: type(value) is int and value >= 0,
    "step": lambda value: type(value) is int and value >= 0,
    "dev_top1": lambda value: value is None or type(value) in (int, float) and 0 <= value <= 1,
    "best_dev_top1": lambda value: type(value) in (int, float) and -1 <= value <= 1,
    "framework": lambda value: isinstance(value, str) and len(value) <= 100 and value.isprintable(),
    "scale": lambda value: value is None or value in SCALES,
    "normalised": lambda value: value is None or type(value) is bool,
    "synthetic": lambda value: type(value) is bool,
    "temperature": lambda value: value is None or is_temperature(value),
}
_FACTS = [field.name for field in dataclasses.fields(Checkpoint)
          if field.name not in ("config", "speakers", "params", "momenta", "stretches", "trained_on", "part")]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write all or nothing: a run that is killed while saving keeps its last checkpoint."""
    facts = {"format": FORMAT, "config": dataclasses.asdict(checkpoint.config),
             "speakers": list(checkpoint.speakers),
             "stretches": [dataclasses.asdict(stretch) for stretch in checkpoint.stretches],
             **({"part": dataclasses.asdict(checkpoint.part)} if checkpoint.part.steps else {}),
             **{name: getattr(checkpoint, name) for name in _FACTS}}
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    parameters.save(path, params=checkpoint.params, momenta=checkpoint.momenta,
                    trained_on={"utterances": np.array(sorted(checkpoint.trained_on), np.uint64)},
                    facts={"json": text})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote; UserError names what does not fit."""
    groups = parameters.load(path)
    facts = _facts(groups.pop("facts", {}), path)
    config = from_dict(facts.pop("config"), str(path))
    speakers = facts.pop("speakers")
    if not (isinstance(speakers, list) and len(speakers) > 1 and all(isinstance(name, str) for name in speakers)):
        raise UserError(f"{path}: the names of its speakers are damaged")
    spec = config.spec(len(speakers))
    tensors = spec.parameters()
    return Checkpoint(
        config, tuple(speakers),
        parameters.check(groups.get("params", {}), tensors, f"{path} (parameters)"),
        # A model that is kept for use alone has none.
        parameters.check(groups["momenta"], [p for p in tensors if p.trainable], f"{path} (momentum buffers)")
        if "momenta" in groups else parameters.zeros(spec),
        trained_on=_trained_on(groups.get("trained_on", {}), path), **facts)


def load_epoch(path: Path) -> int:
    """The whole epochs that a checkpoint says it is of; its parameters, which take longer, are not read. Raises UserError."""
    return _facts(parameters.load(path, only="facts").get("facts", {}), path)["epoch"]


def _trained_on(group: Params, path: Path) -> FrozenSet[int]:
    utterances = group.pop("utterances", np.zeros(0))
    if group or utterances.dtype != np.uint64 or utterances.ndim != 1:
        raise UserError(f"{path}: the list of utterances it was trained on is damaged; use an earlier checkpoint")
    return frozenset(utterances.tolist())


def _part(steps: int = 0, loss: float = 0.0, correct: int = 0, seconds: float = 0.0) -> Part:
    """Raises ValueError for what no epoch under way comes to."""
    whole, real = (steps, correct), (loss, seconds)
    if not all(type(value) is int and value >= 0 for value in whole) or not all(
            type(value) in (int, float) and 0 <= value < math.inf for value in real):
        raise ValueError("damaged: part")
    return Part(steps, loss, correct, seconds)


def _facts(group: Params, path: Path) -> Dict[str, Any]:
    try:
        facts = json.loads(np.asarray(group["json"], np.uint8).tobytes().decode())
        stretches = facts.pop("stretches")
        part = _part(**facts.pop("part", {}))  # none where no epoch is under way
        if facts.pop("format") != FORMAT or set(facts) != {"config", "speakers", *_FACTS}:
            raise ValueError("written by another version")
        facts.update(stretches=read_stretches(stretches), part=part)
        damaged = [name for name, allowed in _ALLOWED.items() if not allowed(facts[name])]
        if damaged:
            raise ValueError(f"damaged: {', '.join(damaged)}")
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is no checkpoint of this project ({error}); give a best.npz or "
                        "last.npz from a run's folder") from None
    return facts
