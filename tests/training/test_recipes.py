"""Recipes of training: what they set, what stands beside them, and that a run says which it was."""
from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Dict

import pytest
from commands import SMALL, run

from common.commands import train
from common.errors import UserError
from common.network.architectures import NETWORKS
from common.training.config import TrainingConfig, load_config
from common.training.recipes import DEFAULT, RECIPES, configure, described


def test_every_recipe_is_for_every_network() -> None:
    for name, recipe in RECIPES.items():
        assert set(recipe.settings) == set(NETWORKS)
        for network in NETWORKS:
            config = configure({"recipe": name, "network": network})
            assert (config.recipe, config.network) == (name, network)
            assert all(getattr(config, key) == value for key, value in recipe.settings[network].items())
        assert name in described()


def test_papers_is_what_a_configuration_is_by_itself() -> None:
    assert configure({"recipe": "paper"}) == TrainingConfig()


def test_what_is_given_goes_before_the_recipe() -> None:
    given = configure({"network": "tdnn", "epochs": 2, "time_mask": 0})
    assert given == dataclasses.replace(configure({"network": "tdnn"}), epochs=2, time_mask=0)
    assert given.recipe == DEFAULT == "robust" and given.crop_frames == 200


@pytest.mark.parametrize("given, rises", [
    ({"learning_rate": 1e-4}, True), ({"final_learning_rate": 0.5}, True), ({"learning_rate": 1e-4, "schedule": "constant"}, False),
    ({"learning_rate": 1e-4, "final_learning_rate": 1e-3}, False), ({"learning_rate": 1e-3}, False), ({}, False)], ids=str)
def test_a_rate_that_would_rise_by_the_recipes_other_one_is_refused(given: Dict[str, Any], rises: bool) -> None:
    with pytest.raises(UserError, match="would rise, from .* give both") if rises else contextlib.nullcontext():
        configure(given)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(UserError, match="no recipe 'best'"):
        TrainingConfig(recipe="best")


@pytest.mark.parametrize("recipe, scale, normalised, mismatch", [
    ("robust", "log", False, False), ("robust", "magnitude", False, True), ("robust", "log", True, True),
    ("robust", None, None, False), ("paper", "magnitude", True, False), ("paper", "log", False, True)])
def test_what_it_expects_of_the_data(recipe: str, scale: str, normalised: bool, mismatch: bool) -> None:
    assert RECIPES[recipe].mismatch(scale, normalised) is mismatch


def test_a_run_says_its_recipe_and_what_it_expects(tiny_data: Path, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(tiny_data), "--out", str(tmp_path / "run"), "--epochs", "1", *SMALL]
    with train.new_run(train.build_parser("train").parse_args(words)) as (checkpoint, *_):
        pass
    assert "was not prepared for the recipe robust: python -m common.prepare with --scale log --raw" in capsys.readouterr().err
    config = load_config(tmp_path / "run" / "config.json")
    assert config == checkpoint.config
    assert (config.recipe, config.crop_frames, config.schedule, config.epochs) == ("robust", 200, "cosine", 1)
    refused = run("caffe2_impl.train", "--resume", tmp_path / "run", "--recipe", "paper")
    assert refused.returncode == 2 and "--resume goes on with the run's own settings" in refused.stderr
