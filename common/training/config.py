"""Everything that decides a training run, in one frozen dataclass that is stored with the run.

    config = TrainingConfig(network="tdnn", epochs=10)
"""
from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short  # a file may hold anything, of any length
from typing import TYPE_CHECKING, Any, Dict, Optional, get_args, get_type_hints

from common.data import randomness
from common.data.form import NUM_FRAMES
from common.errors import UserError
from common.files import read_json, write_json
from common.network.architectures import build
from common.network.layers import NetworkSpec
from common.network.optimizer import SGD, Schedule

if TYPE_CHECKING:  # with NumPy, which must not be there before a command has said how many threads it has
    from common.data.augment import Augmentation

MAX_WIDTH = 10  # a factor of 10 already makes a hundred times the parameters
ROBUST, PAPER = "robust", "paper"  # see `common.training.recipes`
WHAT = "what"  # a setting is, in the metadata of its field
SAVE_MINUTES = 5.0  # within an epoch, between what is saved to go on from


def _setting(default: Any, what: str) -> Any:
    return dataclasses.field(default=default, metadata={WHAT: what})


@dataclass(frozen=True)
class TrainingConfig:
    """Defaults are the recipe that ports of the released VoxCeleb model report, for small data."""

    network: str = _setting("vgg_m", "which network")
    recipe: str = _setting(PAPER, "settings for all that is not given")
    width: float = _setting(1.0, "factor on every number of channels, for smaller or larger networks")
    epochs: int = _setting(30, "passes over the training side")
    batch_size: int = _setting(32, "utterances a step")  # the recipe's 100 leaves too few steps an epoch on small data
    learning_rate: float = _setting(1e-2, "at the first step")
    final_learning_rate: float = _setting(1e-4, "at the last step")
    schedule: str = _setting("exponential", "how the learning rate goes from the first to the last")
    momentum: float = _setting(0.9, "of SGD")
    weight_decay: float = _setting(5e-4, "on weights; not on biases, not on batch normalisation")
    label_smoothing: float = _setting(0.0, "share of each target that is spread evenly over all speakers")
    seed: int = _setting(0, "of the first parameters, the split, the order, crops and masks")
    crop_frames: Optional[int] = _setting(None, "train on random windows of so many frames")
    time_mask: int = _setting(0, "augmentation: blank up to so many frames")
    frequency_mask: int = _setting(0, "augmentation: blank up to so many frequency bins")
    patience: int = _setting(0, "stop after so many epochs without a better development accuracy; 0: never")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{field.name} must be a finite number, not {value}")
        if self.recipe not in (ROBUST, PAPER):
            raise UserError(f"there is no recipe {self.recipe!r}; choose from {ROBUST}, {PAPER}")
        if self.epochs < 1:
            raise UserError(f"epochs must be at least 1, not {self.epochs}")
        if self.batch_size < 2:  # one utterance has no variance that batch norm could divide by
            raise UserError(f"batch_size must be at least 2 for batch normalisation, not {self.batch_size}")
        if self.patience < 0:
            raise UserError(f"patience must not be negative, but is {self.patience}")
        randomness.seed(self.seed)
        if not 0 < self.width <= MAX_WIDTH:
            raise UserError(f"width must be above 0 and at most {MAX_WIDTH}, not {self.width}")
        frames = NUM_FRAMES if self.crop_frames is None else self.crop_frames
        if not 1 <= frames <= NUM_FRAMES:
            raise UserError(f"crop_frames must be from 1 to {NUM_FRAMES}, not {frames}")
        # What these are made of raises on values that make no sense.
        self.spec(2).steps(frames)
        self.optimizer, self.schedule_over(1)
        if self.augmentation:
            self.augmentation.check_frames(frames)

    def spec(self, num_speakers: int) -> NetworkSpec:
        """The network that is trained, and the targets of its loss."""
        return build(self.network, num_speakers, self.width, self.label_smoothing)

    @property
    def optimizer(self) -> SGD:
        return SGD(self.momentum, self.weight_decay)

    @property
    def augmentation(self) -> Optional[Augmentation]:
        if not self.time_mask and not self.frequency_mask:
            return None
        from common.data.augment import Augmentation

        return Augmentation(time_mask=self.time_mask, frequency_mask=self.frequency_mask)

    def schedule_over(self, total_steps: int) -> Schedule:
        return Schedule(self.schedule, self.learning_rate, self.final_learning_rate, total_steps)


TYPES = get_type_hints(TrainingConfig)  # field -> its type


def save_config(path: Path, config: TrainingConfig) -> None:
    write_json(path, dataclasses.asdict(config))


def load_config(path: Path) -> TrainingConfig:
    return from_dict(read_json(path, "training configuration"), str(path))


def from_dict(values: Dict[str, Any], where: str) -> TrainingConfig:
    """A configuration from its JSON form. Unknown keys and wrong types are errors, not ignored."""
    if not isinstance(values, dict):
        raise UserError(f"{where}: a training configuration is a JSON object")
    fields = {field.name: field for field in dataclasses.fields(TrainingConfig)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise UserError(f"{where}: unknown settings {short(unknown)}; known are {', '.join(fields)}")
    for name, value in values.items():
        if not _fits(value, TYPES[name]):
            raise UserError(f"{where}: {name} is {short(value)}, but must be {fields[name].type}")
    try:
        return TrainingConfig(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of this type. A whole number is one for a float, too, and true is no number."""
    kinds = get_args(kind) or (kind,)
    fits = type(value) in kinds or (type(value) is int and float in kinds)
    return fits and not (isinstance(value, str) and len(value) > 100)  # it may come back in an error message
