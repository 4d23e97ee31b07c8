"""Tests that every registered space and the documented example pass the contract, and that broken ones fail it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from space_contract import SpaceContract

from spaces import SPACES, TRAINING, Condition, Int, Recipe, Space, load

pytestmark = pytest.mark.usefixtures("one_thread")

EXAMPLE = str(Path(__file__).parents[2] / "docs" / "example_space.py")


class TestSpaces(SpaceContract):
    """A space that is registered is covered, without another line here."""

    @pytest.fixture(scope="class", params=[*SPACES, pytest.param(EXAMPLE, id="docs/example_space.py")])
    @classmethod
    def space(cls, request: pytest.FixtureRequest) -> Space:
        return load(request.param)


def flat(images: Any, config: dict[str, Any], classes: int) -> Any:
    import keras

    return keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(images))


def without_softmax(images: Any, config: dict[str, Any], classes: int) -> Any:
    import keras

    return keras.layers.Dense(classes)(keras.layers.Flatten()(images))


def always_ten_classes(images: Any, config: dict[str, Any], classes: int) -> Any:
    return flat(images, config, 10)


def for_large_images_only(images: Any, config: dict[str, Any], classes: int) -> Any:
    import keras

    return flat(keras.layers.MaxPooling2D(2)(images), config, classes)


def reads_a_name_that_is_not_there(images: Any, config: dict[str, Any], classes: int) -> Any:
    return flat(images, {"width": config["widht"]}, classes)


def space_of(build: Any, **changes: Any) -> Space:
    return Space(
        name="double", doc="A double", parameters={"width": Int(1, 9, 3, doc="Width.")}, build=build, **changes
    )


@pytest.mark.parametrize("build", [without_softmax, for_large_images_only, reads_a_name_that_is_not_there])
def test_the_contract_catches_a_broken_builder(build: Any) -> None:
    with pytest.raises((AssertionError, ValueError, KeyError)):
        for shape in ((1, 1, 1), (28, 28, 1)):
            SpaceContract().test_the_baseline_and_every_recipe_fit_every_image(space_of(build), shape)


def test_the_contract_catches_a_builder_with_a_fixed_number_of_classes() -> None:
    check = SpaceContract.test_every_configuration_gives_probabilities.hypothesis.inner_test  # without shrinking
    with pytest.raises(AssertionError):
        check(SpaceContract(), space_of(always_ten_classes), seed=0, shape=(4, 4, 1), classes=3)


def test_the_contract_catches_a_parameter_without_a_meaning() -> None:
    silent = Space(name="double", doc="A double", parameters={"width": Int(1, 9, 3)}, build=flat)
    with pytest.raises(AssertionError):
        SpaceContract().test_every_parameter_says_what_it_means(silent)


def test_the_contract_catches_a_recipe_that_is_the_baseline() -> None:
    same = Recipe(values={"width": 3}, doc="Nothing new.", source="nobody")
    with pytest.raises(AssertionError):
        SpaceContract().test_the_baseline_and_every_recipe_lie_inside(space_of(flat, recipes={"same": same}))


def test_the_contract_passes_a_sound_double() -> None:
    SpaceContract().test_the_baseline_and_every_recipe_fit_every_image(space_of(flat), (1, 1, 1))
    SpaceContract().test_every_configuration_gives_probabilities(space_of(flat))


def test_the_shipped_spaces_share_one_set_of_training_parameters() -> None:
    for name in SPACES:
        shared = {key: domain for key, domain in load(name).parameters.items() if key in TRAINING}
        conditions = {key: domain.when for key, domain in TRAINING.items() if isinstance(domain.when, Condition)}
        searched = [key for key in TRAINING if key not in conditions or conditions[key].values]
        assert shared == {key: TRAINING[key] for key in searched}
