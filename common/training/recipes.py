"""Ways to train, by name: settings for each network, and the spectrograms they are made for.

    config = configure({"recipe": "robust", "network": "tdnn", "seed": 1})

`paper` is what `TrainingConfig` has by itself. `robust` is for recordings of other sessions than those
trained on, which is where `paper` falls behind: see results/real-speech.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional

from common.errors import UserError
from common.training.config import PAPER, ROBUST, TrainingConfig

DEFAULT = ROBUST  # of `train`


@dataclass(frozen=True)
class Recipe:
    """What a recipe sets, and how the recordings are to be prepared for it."""

    purpose: str
    prepare: str  # options of `python -m common.prepare`
    scale: str
    normalised: bool
    settings: Mapping[str, Mapping[str, Any]]  # network -> what differs from `TrainingConfig`

    def mismatch(self, scale: Optional[str], normalised: Optional[bool]) -> bool:
        """Whether spectrograms are known to be made in another way than those it is made for."""
        return scale not in (None, self.scale) or normalised not in (None, self.normalised)


_ROBUST = {"schedule": "cosine", "learning_rate": 0.02, "final_learning_rate": 0.0002,
           "frequency_mask": 60, "time_mask": 20, "label_smoothing": 0.1}
RECIPES: Dict[str, Recipe] = {
    ROBUST: Recipe("for recordings of other sessions than those trained on", "--scale log --raw", "log", False,
                   {"tdnn": {**_ROBUST, "epochs": 30, "crop_frames": 200},
                    "vgg_m": {**_ROBUST, "epochs": 24, "crop_frames": 150}}),
    PAPER: Recipe("the VoxCeleb paper's, as ports of its model report it", "", "magnitude", True,
                  {"tdnn": {}, "vgg_m": {}}),
}


def configure(given: Mapping[str, Any]) -> TrainingConfig:
    """The recipe and network named in `given`, or the default ones, with all else given in place of theirs.

    Raises UserError for what cannot be, and where one rate that is given would have the learning rate rise.
    """
    recipe, network = given.get("recipe", DEFAULT), given.get("network", TrainingConfig.network)
    settings = RECIPES[recipe].settings[network] if recipe in RECIPES else {}  # which is refused below
    config = TrainingConfig(**{**settings, "recipe": recipe, **given})
    first, last = config.learning_rate, config.final_learning_rate
    if config.schedule != "constant" and first < last and not {"learning_rate", "final_learning_rate"} <= set(given):
        raise UserError(f"the learning rate would rise, from {first:g} to {last:g} at the end, of which one is the recipe's: "
                        "give both --learning-rate and --final-learning-rate, or one that lets it fall")
    return config


def described() -> str:
    """Every recipe with its settings, to be read in a terminal."""
    lines = []
    for name, recipe in RECIPES.items():
        lines.append(f"{name}: {recipe.purpose}; prepare with {recipe.prepare or 'no option'}")
        lines += [f"  {network}: " + (", ".join(f"{key} {value}" for key, value in settings.items()) or "as in brackets below")
                  for network, settings in recipe.settings.items()]
    return "\n".join(lines)
