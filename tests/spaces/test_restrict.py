import dataclasses
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces import SPACES, Choice, Condition, Float, Int, Recipe, Space, SpaceError, load
from spaces.restrict import restrict

SPACE = Space(
    name="small",
    parameters={
        "stages": Int(1, 3, 1),
        "kernel": Int(3, 7, 5, step=2),
        "width": Int(8, 64, 32, log=True, when=Condition.between("stages", 2, 3)),
        "dropout": Float(0.0, 0.6, 0.2, step=0.05),
        "rate": Float(1e-4, 1e-1, 1e-3, log=True),
        "pooling": Choice(("max", "average", "none"), "max"),
        "norm": Choice((False, True), False),
    },
    recipes={
        "deep": Recipe(values={"stages": 2, "width": 48}, doc="Deeper.", source="a double"),
        "fast": Recipe(values={"rate": 1e-2}, doc="Faster.", source="a double"),
    },
)


def fixed(**fix: Any) -> Space:
    return restrict(SPACE, fix=fix, ranges={})


def cut(**ranges: str) -> Space:
    return restrict(SPACE, fix={}, ranges=ranges)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("stages", "1", 1),
        ("kernel", "7", 7),
        ("dropout", "0.35", 0.35),
        ("dropout", "0", 0.0),
        ("rate", "1e-2", 0.01),
        ("pooling", "average", "average"),
        ("norm", "True", True),
        ("norm", "true", True),
        ("norm", True, True),
        ("dropout", 0, 0.0),
        ("dropout", 0.1 + 0.2, 0.3),
    ],
)
def test_a_fixed_parameter_takes_its_value_in_the_baseline_and_in_every_sample(
    name: str, text: Any, value: object
) -> None:
    narrowed = fixed(**{name: text})
    drawn = [narrowed.sample(random.Random(seed))[name] for seed in range(20)]
    assert {json.dumps(found) for found in [narrowed.baseline[name], *drawn]} == {json.dumps(value)}
    assert narrowed.parameters[name].values() == (value,)


def test_fixing_a_parent_brings_its_children_in_or_leaves_them_out() -> None:
    assert fixed(stages="2").baseline["width"] == 32
    assert "width" not in fixed(stages="1").parameters
    assert fixed(stages="2", width="16").baseline["width"] == 16


def test_recipes_stay_while_they_lie_inside_and_keep_what_was_fixed() -> None:
    assert list(fixed(stages="1").recipes) == ["fast"]
    assert list(fixed(rate="1e-3").recipes) == ["deep"]
    assert fixed(dropout="0.5").recipe("deep")["dropout"] == 0.5


def test_a_recipe_is_adapted_while_more_than_half_of_it_is_left() -> None:
    shipped = load("mlp").recipes["two layers + sgd"]
    fixed_batch = restrict(load("mlp"), fix={"batch_size": "64", "shift": "0"}, ranges={})
    adapted = fixed_batch.recipes["two layers + sgd, adapted"]
    assert adapted.values == {
        name: shipped.values[name] for name in shipped.values if name not in ("batch_size", "shift")
    }
    assert fixed_batch.recipe("two layers + sgd, adapted")["batch_size"] == 64
    assert restrict(load("mlp"), fix={}, ranges={}, tune=("learning_rate", "batch_size")).recipes == {}


def test_recipes_that_became_the_baseline_or_each_other_are_left_out() -> None:
    assert list(fixed(rate="1e-2").recipes) == ["deep"]
    same = SPACE.recipes | {"deep again": SPACE.recipes["deep"]}
    twice = Space(name="twice", parameters=SPACE.parameters, recipes=same)
    assert list(restrict(twice, fix={"dropout": "0.5"}, ranges={}).recipes) == ["deep", "fast"]


def test_a_range_keeps_steps_scales_and_the_baseline() -> None:
    narrowed = cut(kernel="5:7", width="16:48", dropout="0.1:0.3", rate="1e-3:1e-2", pooling="max,none")
    assert narrowed.parameters["kernel"] == Int(5, 7, 5, step=2)
    assert narrowed.parameters["width"] == Int(16, 48, 32, log=True, when=Condition.between("stages", 2, 3))
    assert narrowed.parameters["dropout"] == Float(0.1, 0.3, 0.2, step=0.05)
    assert narrowed.parameters["rate"] == Float(1e-3, 1e-2, 1e-3, log=True)
    assert narrowed.parameters["pooling"] == Choice(("max", "none"), "max")
    assert narrowed.baseline == SPACE.baseline


def test_options_may_stand_between_bars_and_a_range_may_be_one_value() -> None:
    assert cut(pooling="none | max").parameters["pooling"].values() == ("none", "max")
    assert cut(kernel=" 5 : 5 ").parameters["kernel"].values() == (5,)


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        ({"poling": "max"}, "no such parameter. Received: 'poling'. Did you mean 'pooling'?"),
        ({"qqq": "max"}, "Known: stages, kernel"),
        ({"stages": "two"}, "stages takes 1..3. Received: stages=two"),
        ({"stages": "2.0"}, "stages takes 1..3"),
        ({"stages": "4"}, "stages takes 1..3. Received: stages=4"),
        ({"stages": True}, "stages takes 1..3"),
        ({"kernel": "4"}, "kernel takes 3..7 step 2"),
        ({"dropout": "0.33"}, "dropout takes 0..0.6 step 0.05"),
        ({"rate": "nan"}, "rate takes 0.0001..0.1 log. Received: rate=nan"),
        ({"rate": "inf"}, "rate takes"),
        ({"pooling": "Max"}, "pooling takes max | average | none. Received: pooling=Max"),
        ({"norm": "1"}, "norm takes False | True"),
        ({"rate": [1e-3]}, "rate takes"),
        ({"stages": "1", "width": "16"}, "width is active only when stages is 2 or 3, which"),
    ],
)
def test_what_cannot_be_fixed_says_why(fix: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        fixed(**fix)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"kernal": "3:5"}, "Did you mean 'kernel'?"),
        ({"kernel": "3:6"}, "kernel takes 3..7 step 2. Received: kernel=6"),
        ({"kernel": "3:9"}, "kernel takes 3..7 step 2. Received: kernel=9"),
        ({"kernel": "3:"}, "kernel takes 3..7 step 2. Received: kernel=."),
        ({"kernel": "7:5"}, "from low to high"),
        ({"dropout": "0.12:0.3"}, "dropout takes 0..0.6 step 0.05. Received: dropout=0.12"),
        ({"rate": "1e-5:1e-2"}, "rate takes"),
        ({"pooling": "max:none"}, "pooling takes max | average | none. Received: pooling=max:none"),
        ({"pooling": "max,max"}, "Name each value of pooling once"),
    ],
)
def test_what_cannot_be_cut_says_why(ranges: dict[str, str], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        cut(**ranges)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "values", "baseline"),
    [
        ("rate", "2e-3:1e-2", None, 2e-3),
        ("kernel", "7:7", (7,), 7),
        ("kernel", "7", (7,), 7),
        ("pooling", "average,none", ("average", "none"), "average"),
        ("width", "16,24,48", (16, 24, 48), 24),
        ("dropout", "0.5,0.3", (0.5, 0.3), 0.3),
        ("dropout", "0.35:0.6", (0.35, 0.4, 0.45, 0.5, 0.55, 0.6), 0.35),
    ],
)
def test_a_baseline_outside_moves_to_the_nearest_value(name: str, text: str, values: Any, baseline: object) -> None:
    changed = cut(**({"stages": "2:3"} if name == "width" else {}), **{name: text})
    assert changed.parameters[name].values() == values
    assert changed.baseline[name] == baseline
    assert Space.from_json(changed.to_json()) == changed


def test_ranges_and_values_may_lie_in_the_declared_limits() -> None:
    cnn = load("cnn")
    changed = restrict(cnn, fix={"dropout_flatten": "0.33"}, ranges={"batch_size": "8:128", "activation": "tanh,relu"})
    assert changed.parameters["batch_size"] == dataclasses.replace(
        cnn.parameters["batch_size"], low=8, high=128, baseline=128
    )
    assert (changed.baseline["dropout_flatten"], changed.baseline["activation"]) == (0.33, "relu")
    with pytest.raises(SpaceError, match="batch_size takes 1"):
        restrict(cnn, fix={"batch_size": 0}, ranges={})


def test_the_learning_rate_is_that_of_the_optimizer_that_is_left() -> None:
    cnn = load("cnn")
    sgd = restrict(cnn, fix={"optimizer": "sgd", "learning_rate": "0.05"}, ranges={})
    assert sgd.baseline["learning_rate_sgd"] == 0.05
    with pytest.raises(SpaceError, match="Name learning_rate_sgd or learning_rate_lion"):
        restrict(cnn, fix={"learning_rate": "0.05"}, ranges={"optimizer": "sgd,lion"})
    both = restrict(cnn, fix={}, ranges={}, tune=["optimizer", "learning_rate"])
    assert {name for name in both.parameters if len(both.parameters[name].values() or "..") > 1} == {
        "optimizer",
        "learning_rate",
        "learning_rate_sgd",
    }


def test_only_tuned_parameters_vary() -> None:
    tuned = restrict(SPACE, fix={"stages": 2}, ranges={"kernel": "3:7"}, tune=["rate"])
    assert [
        name for name, domain in tuned.parameters.items() if domain.values() is None or len(domain.values()) > 1
    ] == ["kernel", "rate"]
    assert tuned.baseline == {**SPACE.baseline, "stages": 2, "width": 32}
    assert list(tuned.recipes) == ["fast"]
    with pytest.raises(SpaceError, match="--fix stages=2"):
        restrict(SPACE, fix={}, ranges={}, tune=["width"])
    with pytest.raises(SpaceError, match="both for rate"):
        restrict(SPACE, fix={"rate": 1e-3}, ranges={}, tune=["rate"])


def test_others_stay_at_a_given_configuration() -> None:
    cnn = load("cnn")
    at = {**cnn.recipe("two stages + sgd"), "batch_size": 16, "dropout_flatten": 0.33, "activation": "tanh"}
    tuned = restrict(cnn, fix={}, ranges={}, tune=["learning_rate"], at=at)
    assert tuned.baseline == at
    assert tuned.parameters["learning_rate_sgd"].values() is None
    assert restrict(cnn, fix={"optimizer": "lion"}, ranges={}, at=at).baseline["learning_rate_lion"] == 1e-4


def test_a_parameter_is_fixed_or_cut_but_not_both() -> None:
    with pytest.raises(SpaceError, match="both for kernel"):
        restrict(SPACE, fix={"kernel": "5"}, ranges={"kernel": "3:5"})


def test_nothing_asked_for_changes_nothing() -> None:
    assert restrict(SPACE, fix={}, ranges={}) == SPACE


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(SPACES)), seed=st.integers(0, 2**32))
def test_any_configuration_of_a_shipped_space_can_be_fixed_by_its_texts(name: str, seed: int) -> None:
    config = load(name).sample(random.Random(seed))
    narrowed = restrict(load(name), fix={key: str(value) for key, value in config.items()}, ranges={})
    assert narrowed.baseline == config
    assert narrowed.size() == 1
    assert narrowed.build is load(name).build
