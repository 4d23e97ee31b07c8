import json
import random

import pytest

from spaces import SPACES, TRAINING, Space, SpaceError, load
from spaces.registry import baseline_changes
from spaces.restrict import restrict
from spaces.training import AUGMENTATION_PARAMETERS, TUTORIAL_TRAINING, complete, peak_learning_rate

NAMES = [
    "batch_size",
    "optimizer",
    "learning_rate",
    "learning_rate_sgd",
    "learning_rate_lion",
    "schedule",
    "weight_decay",
    "label_smoothing",
    "shift",
    "rotation",
    "zoom",
    "shear",
    "elastic",
    "clean_epochs",
]


def test_the_trainer_reads_exactly_these_names() -> None:
    assert list(TRAINING) == list(TUTORIAL_TRAINING) == NAMES


def test_the_baselines_train_as_the_tutorial_does() -> None:
    assert {name: TUTORIAL_TRAINING[name] for name in ("batch_size", "optimizer", "learning_rate", "schedule")} == {
        "batch_size": 200,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "schedule": "constant",
    }
    off = ("label_smoothing", "shift", "rotation", "zoom", "shear", "elastic", "clean_epochs")
    assert {TUTORIAL_TRAINING[name] for name in off} == {0}


def test_training_parameters_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        TUTORIAL_TRAINING["batch_size"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [
        ("adam", {"learning_rate"}),
        ("adamw", {"learning_rate", "weight_decay"}),
        ("sgd", {"learning_rate_sgd"}),
    ],
)
@pytest.mark.parametrize("name", SPACES)
def test_each_optimizer_has_its_own_rates(name: str, optimizer: str, rates: set[str]) -> None:
    space = load(name)
    config = space.active({key: domain.baseline for key, domain in space.parameters.items()} | {"optimizer": optimizer})
    assert {"learning_rate", "learning_rate_sgd", "weight_decay"} & set(config) == rates


@pytest.mark.parametrize("optimizer", ["rmsprop", "nadam", "lion"])
def test_further_optimizers_bring_their_learning_rate(optimizer: str) -> None:
    space = restrict(load("cnn"), fix={"optimizer": optimizer, "learning_rate": 1e-3}, ranges={})
    assert peak_learning_rate(complete(space.baseline)) == 1e-3
    assert not {"learning_rate_sgd", "weight_decay"} & set(space.parameters)


def test_what_lies_beyond_the_searched_range_is_not_part_of_what_is_searched() -> None:
    space = load("cnn")
    assert "learning_rate_lion" not in space.parameters
    assert "rmsprop" not in str(space.to_json())
    assert Space.from_json(space.to_json()) == space


@pytest.mark.parametrize("name", SPACES)
def test_every_shipped_parameter_and_recipe_names_its_source(name: str) -> None:
    space = load(name)
    entries = {**space.parameters, **space.recipes}
    assert [key for key, entry in entries.items() if not entry.source] == []
    assert 1 <= len(space.recipes) <= 4


@pytest.mark.parametrize("name", ["shift", "rotation", "zoom", "shear", "elastic"])
def test_clean_epochs_are_varied_with_any_augmentation_alone(name: str) -> None:
    space = load("cnn")
    draw = random.Random(0)
    drawn = [space.sample(draw) for _ in range(200)]
    assert all(("clean_epochs" in config) == any(config[one] for one in AUGMENTATION_PARAMETERS) for config in drawn)
    assert "clean_epochs" not in space.baseline
    only = restrict(space, fix={}, ranges={}, tune=[name, "clean_epochs"])
    assert {only.sample(draw).get("clean_epochs") for _ in range(200)} == {None, 0, 1, 2}
    assert Space.from_json(json.loads(json.dumps(only.to_json()))) == only


def test_clean_epochs_without_augmentation_are_left_out() -> None:
    none = dict.fromkeys(AUGMENTATION_PARAMETERS, 0)
    for fix in (none, {**none, "clean_epochs": 0}):  # a configuration of an older study holds them
        assert "clean_epochs" not in restrict(load("mlp"), fix=fix, ranges={}).parameters
    with pytest.raises(SpaceError, match="change shift or rotation"):
        restrict(load("mlp"), fix={**none, "clean_epochs": 1}, ranges={})
    with pytest.raises(SpaceError, match="--fix shift=4"):
        restrict(load("mlp"), fix={}, ranges={}, tune=["clean_epochs"])


def test_an_older_space_keeps_its_parameters() -> None:
    document = load("cnn").to_json()
    document["parameters"]["clean_epochs"]["when"] = None
    older = Space.from_json(document)
    assert older.baseline["clean_epochs"] == 0
    assert baseline_changes(older, "cnn") == []


def test_a_space_from_before_a_parameter_has_the_tutorials_baseline() -> None:
    document = load("cnn").to_json()
    for name in ("elastic", "convolutions"):
        del document["parameters"][name]
    document["recipes"] = {}
    assert baseline_changes(Space.from_json(document), "cnn") == []
    document["parameters"]["batch_size"]["baseline"] = 100
    assert baseline_changes(Space.from_json(document), "cnn") == ["batch_size=100 instead of 200"]
