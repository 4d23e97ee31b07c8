"""Narrowing: the nearest configuration within a limit of parameters."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from spaces import Choice, Condition, Int, Space, load
from spaces.narrow import narrowed, narrowest
from spaces.training import complete

CNN = load("cnn")
SIZES = ("filters_1", "filters_2", "dense_1")


def count(config: Mapping[str, Any]) -> int:
    return CNN.workload(complete(config), (28, 28, 1), 10).parameters


@pytest.mark.parametrize("most", [60_000, 30_000, 5_000])
@pytest.mark.parametrize("recipe", [None, "two stages + sgd"])
def test_a_narrowed_configuration_is_within_the_limit_and_near_it(most: int, recipe: str | None) -> None:
    config = narrowed(CNN, CNN.baseline if recipe is None else CNN.recipe(recipe), count, most)
    assert CNN.contains(config)
    assert 0.8 * most <= count(config) <= most


def test_sizes_shrink_by_one_factor_and_training_stays_as_it_is() -> None:
    recipe = CNN.recipe("two stages + sgd")
    config = narrowed(CNN, recipe, count, 60_000)
    ratios = [config[name] / recipe[name] for name in SIZES]
    assert max(ratios) - min(ratios) < 0.05
    assert {name: config[name] for name in config if name not in (*SIZES, "kernel_1")} == {
        name: recipe[name] for name in recipe if name not in (*SIZES, "kernel_1")
    }


def test_what_is_small_enough_stays_and_what_cannot_be_is_not_found() -> None:
    assert narrowed(CNN, CNN.baseline, count, 10**6) == CNN.baseline
    least = count(narrowest(CNN, CNN.baseline, count))
    assert narrowed(CNN, CNN.baseline, count, least) is not None
    assert narrowed(CNN, CNN.baseline, count, least - 1) is None


def test_fixed_parameters_stay() -> None:
    fixed = CNN.restrict({"filters_1": Int(32, 32, 32), "conv_stages": Int(1, 1, 1)})
    config = narrowed(fixed, fixed.baseline, count, 200_000)
    assert config["filters_1"] == 32
    assert config["dense_1"] < 128


def test_listed_sizes_and_structure_are_narrowed_too() -> None:
    space = Space(
        name="listed",
        parameters={
            "kind": Choice(("wide", "slim"), "wide"),
            "units": Choice((64, 16, 32), 64),
            "extra": Int(1, 4, 2, when=Condition(parameter="kind", values=("wide",))),
        },
    )

    def size(config: Mapping[str, Any]) -> int:
        return config["units"] * (1 + config.get("extra", 0))

    assert narrowed(space, space.baseline, size, 100) == {"kind": "wide", "units": 32, "extra": 1}
    assert narrowed(space, space.baseline, size, 20) == {"kind": "slim", "units": 16}
    draw = random.Random(0)
    assert all(size(narrowed(space, space.sample(draw), size, 16)) == 16 for _ in range(20))
