import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces import Choice, Condition, Domain, Float, Int, Recipe, Space

PARAMETERS: dict[str, Domain] = {
    "stages": Int(1, 3, 1),
    "width_2": Int(8, 64, 16, log=True, when=Condition.between("stages", 2, 3)),
    "norm": Choice((False, True), False, when=Condition.between("stages", 2, 3)),
    "momentum": Float(0.0, 0.9, 0.3, step=0.1, when=Condition(parameter="norm", values=(True,))),
    "rate": Float(1e-4, 1e-1, 1e-3, log=True),
}
DEEP = Recipe(values={"stages": 2, "norm": True, "momentum": 0.5}, doc="Deeper.", source="a double")
SPACE = Space(name="nested", doc="Conditions on conditions", parameters=PARAMETERS, recipes={"deep": DEEP})


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Spaces of up to six parameters, of which any may hang on any earlier one."""
    parameters: dict[str, Domain] = {}
    for index in range(draw(st.integers(1, 6))):
        when = None
        if parameters and draw(st.booleans()):
            parent = draw(st.sampled_from(sorted(parameters)))
            values = parameters[parent].values() or (parameters[parent].baseline,)
            subset = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
            when = Condition(parameter=parent, values=tuple(subset))
        kinds = (
            Int(1, 5, 3, when=when),
            Int(2, 32, 8, log=True, when=when, doc="d", unit="px", source="s"),
            Float(0.0, 0.5, 0.1, step=0.1, when=when),
            Float(1e-3, 1.0, 0.1, log=True, when=when),
            Choice(("a", "b"), "b", when=when),
            Choice((False, True), True, when=when),
        )
        parameters[f"p{index}"] = draw(st.sampled_from(kinds))
    return Space(name="drawn", parameters=parameters)


@given(space=spaces(), seed=st.integers(0, 2**32))
def test_any_space_contains_its_samples_and_survives_json(space: Space, seed: int) -> None:
    config = space.sample(random.Random(seed))
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert space.problems(config) == space.problems(space.baseline) == []
    assert space.active(config) == config
    assert (again, list(again.parameters)) == (space, list(space.parameters))
    assert again.problems(json.loads(json.dumps(config))) == []
    assert again.sample(random.Random(seed)) == config


@given(space=spaces(), data=st.data())
def test_any_space_can_be_narrowed_to_any_of_its_configurations(space: Space, data: st.DataObject) -> None:
    config = space.sample(random.Random(data.draw(st.integers(0, 2**32))))
    single = {name: _only(space.parameters[name], value) for name, value in config.items()}
    narrowed = space.restrict(single)
    assert narrowed.baseline == config
    assert narrowed.sample(random.Random(0)) == config
    assert set(narrowed.parameters) == set(config)
    assert narrowed.size() == 1


def _only(domain: Domain, value: Any) -> Domain:
    if isinstance(domain, Choice):
        return Choice((value,), value, when=domain.when)
    return type(domain)(value, value, value, when=domain.when)


def test_the_baseline_leaves_out_what_does_not_count() -> None:
    assert SPACE.baseline == {"stages": 1, "rate": 1e-3}


def test_an_inactive_parent_makes_its_children_inactive() -> None:
    everything = {"stages": 1, "width_2": 8, "norm": True, "momentum": 0.5, "rate": 1e-3}
    assert SPACE.active(everything) == {"stages": 1, "rate": 1e-3}
    assert list(SPACE.active({**everything, "stages": 2})) == list(PARAMETERS)


def test_a_recipe_changes_the_baseline() -> None:
    assert SPACE.recipe("deep") == {"stages": 2, "width_2": 16, "norm": True, "momentum": 0.5, "rate": 1e-3}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"stages": 4}, "stages=4 lies outside 1..3"),
        ({"stages": True}, "stages=True lies outside 1..3"),
        ({"rate": float("nan")}, "rate=nan lies outside 0.0001..0.1 log"),
        ({"width_2": 16}, "width_2 is active only when stages is 2 or 3"),
        ({"speed": 1}, "unknown parameter 'speed'"),
        ({"stages": 2}, "width_2 is missing"),
    ],
)
def test_a_problem_is_named(change: dict[str, Any], problem: str) -> None:
    assert problem in SPACE.problems({**SPACE.baseline, **change})


def test_float_noise_does_not_make_another_configuration() -> None:
    config = {"stages": 2, "width_2": 8, "norm": True, "momentum": 0.1 + 0.2, "rate": 1e-3}
    assert SPACE.active(config)["momentum"] == 0.3
    assert json.dumps(SPACE.active({**SPACE.recipe("deep"), "momentum": 0})).count('"momentum": 0.0') == 1


def test_values_of_the_wrong_kind_are_left_for_problems_to_name() -> None:
    config = SPACE.active({**SPACE.recipe("deep"), "momentum": "much"})
    assert SPACE.problems(config) == ["momentum='much' lies outside 0..0.9 step 0.1"]


def test_nothing_given_in_is_shared_and_nothing_given_out_changes_the_space() -> None:
    parameters, values = dict(PARAMETERS), {"stages": 2}
    recipe = Recipe(values=values, doc="", source="")
    space = Space(name="mine", parameters=parameters, recipes={"deep": recipe})
    document = space.to_json()
    read = Space.from_json(document)
    parameters.clear()
    values["stages"] = 9
    document["parameters"].clear()
    document["recipes"]["deep"]["values"]["stages"] = 9
    assert space == read
    assert space.recipe("deep")["stages"] == 2
    with pytest.raises(TypeError):
        space.parameters["rate"] = Int(1, 2, 1)  # type: ignore[index]


def test_the_size_is_an_upper_bound_and_a_continuum_has_none() -> None:
    assert SPACE.size() is None
    assert SPACE.restrict({"rate": Choice((0.001, 0.01), 0.001)}).size() == 3 * 57 * 2 * 10 * 2


def test_narrowing_drops_what_can_no_longer_be() -> None:
    narrowed = SPACE.restrict({"stages": Int(1, 1, 1)})
    assert list(narrowed.parameters) == ["stages", "rate"]
    assert narrowed.recipes == {}


def test_narrowing_cuts_conditions_to_what_the_parent_can_still_be() -> None:
    narrowed = SPACE.restrict({"stages": Int(1, 2, 1)})
    assert narrowed.parameters["width_2"].when == Condition(parameter="stages", values=(2,))
    assert list(narrowed.recipes) == ["deep"]
    assert Space.from_json(narrowed.to_json()) == narrowed


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "needs parameters"),
        ({"two words": Int(1, 2, 1)}, "identifier"),
        ({"a": Int(1, 2, 1, when=Condition(parameter="b", values=(1,)))}, "earlier parameter"),
        ({"a": Int(1, 2, 1, when=Condition(parameter="a", values=(1,)))}, "earlier parameter"),
        ({"b": Int(1, 3, 1), "a": Int(1, 2, 1, when=Condition.between("b", 3, 4))}, "must name values of b: 1..3"),
        ({"b": Int(1, 3, 1), "a": Int(1, 2, 1, when=Condition(parameter="b", values=()))}, "must name values of b"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(parameters: dict[str, Domain], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(name="wrong", parameters=parameters)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"stages": 4}, "stages=4 lies outside"),
        ({"width_2": 16}, "width_2 is unknown or inactive"),
        ({"speed": 1}, "speed is unknown or inactive"),
    ],
)
def test_a_recipe_outside_its_space_is_refused(values: dict[str, Any], problem: str) -> None:
    recipe = Recipe(values=values, doc="", source="")
    with pytest.raises(ValueError, match=f"Recipe 'wrong' does not lie in space 'mine': .*{problem}"):
        Space(name="mine", parameters=PARAMETERS, recipes={"wrong": recipe})
