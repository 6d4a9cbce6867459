"""Training configurations: stored and read back whole, and refused where they make no sense."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from common.training.config import TrainingConfig, from_dict, load_config, save_config


def test_round_trip(tmp_path: Path) -> None:
    config = TrainingConfig(recipe="robust", network="tdnn", width=0.5, epochs=3, batch_size=7, learning_rate=0.1,
                            final_learning_rate=0.01, schedule="cosine", momentum=0.5, weight_decay=0.0,
                            seed=9, crop_frames=200, time_mask=10, frequency_mask=20, patience=4, label_smoothing=0.2)
    fields = dataclasses.asdict(TrainingConfig())
    assert all(getattr(config, name) != value for name, value in fields.items()), "a field is left out above"
    save_config(tmp_path / "config.json", config)
    assert load_config(tmp_path / "config.json") == config


def test_what_is_not_stated_takes_the_default() -> None:
    assert from_dict({"epochs": 2}, "here") == TrainingConfig(epochs=2)
    assert from_dict({"crop_frames": None, "width": 1}, "here") == TrainingConfig()


def test_unknown_settings_are_named() -> None:
    with pytest.raises(UserError, match="^here: unknown settings .*learning_rte.*moment.*; known are .*learning_rate"):
        from_dict({"epochs": 2, "moment": 0.9, "learning_rte": 0.1}, "here")


@pytest.mark.parametrize("name, value", [
    ("network", 1), ("network", None), ("network", ["tdnn"]), ("schedule", True),
    ("epochs", 2.5), ("epochs", "2"), ("epochs", None), ("epochs", True), ("batch_size", [8]),
    ("learning_rate", "0.1"), ("learning_rate", None), ("learning_rate", False), ("momentum", {}),
    ("crop_frames", 200.0), ("crop_frames", True), ("crop_frames", "200"), ("seed", 0.0),
])
def test_wrong_types(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^here: {name} is "):
        from_dict({name: value}, "here")


@pytest.mark.parametrize("value", [[], "tdnn", 3, None])
def test_a_configuration_is_an_object(value: Any) -> None:
    with pytest.raises(UserError, match="here"):
        from_dict(value, "here")


@pytest.mark.parametrize("name, value", [
    ("network", "vgg"), ("schedule", "linear"),
    ("label_smoothing", -0.1), ("label_smoothing", 1.0), ("width", 0.0), ("width", -1.0), ("width", 1e6), ("width", float("inf")), ("width", float("nan")),
    ("epochs", 0), ("epochs", -3), ("batch_size", 0), ("batch_size", 1),
    ("learning_rate", 0.0), ("learning_rate", -0.1), ("learning_rate", float("nan")), ("learning_rate", float("inf")),
    ("final_learning_rate", 0.0), ("final_learning_rate", float("nan")), ("final_learning_rate", float("inf")),
    ("momentum", 1.0), ("momentum", -0.1), ("momentum", float("nan")),
    ("weight_decay", -1e-4), ("weight_decay", float("nan")), ("weight_decay", float("inf")),
    ("seed", -1), ("seed", 2**63), ("crop_frames", 0), ("crop_frames", -1), ("crop_frames", 301),
    ("time_mask", -1), ("time_mask", 300), ("frequency_mask", -1), ("frequency_mask", 512),
])
def test_values_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=str(value)):
        TrainingConfig(**{name: value})


def test_crops_too_short_for_the_network() -> None:
    with pytest.raises(UserError, match="vgg_m cannot take 60 frames"):
        TrainingConfig(network="vgg_m", crop_frames=60)
    TrainingConfig(network="tdnn", crop_frames=60)


def test_masks_that_could_cover_a_crop() -> None:
    with pytest.raises(UserError, match="150"):
        TrainingConfig(crop_frames=150, time_mask=150)


@pytest.mark.parametrize("text", ['{"epochs": NaN}', '{"epochs": 1, "epochs": 2}', "{", "\x00", ""])
def test_damaged_files_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json"):
        load_config(tmp_path / "config.json")


def test_limits_hold_for_files_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"batch_size": 1}))
    with pytest.raises(UserError, match="batch_size"):
        load_config(tmp_path / "config.json")


def test_no_masks_no_augmentation() -> None:
    assert TrainingConfig().augmentation is None
    both = TrainingConfig(time_mask=20, frequency_mask=30).augmentation
    assert both is not None and (both.time_mask, both.frequency_mask) == (20, 30)
    assert TrainingConfig(time_mask=20).augmentation is not None


def test_schedule_runs_from_the_first_rate_to_the_last() -> None:
    schedule = TrainingConfig(learning_rate=0.1, final_learning_rate=0.001).schedule_over(5)
    assert [schedule(0), schedule(4)] == pytest.approx([0.1, 0.001])
