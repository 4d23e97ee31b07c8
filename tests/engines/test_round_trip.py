"""Tests that both engines search the same configurations of a space: every shipped space and random ones."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from search.engines.base import SpaceExhausted
from search.engines.keras_tuner_engine import to_hyperparameters
from search.engines.registry import caveats, make_engine, parse_engine
from search.optuna_domains import to_optuna_distribution
from search.trial import Outcome, State, config_key
from spaces import SPACES, Choice, Condition, Domain, Float, Int, Space, load

EXAMPLE = str(Path(__file__).parents[2] / "docs" / "example_space.py")
SEEDS = st.integers(0, 2**32 - 1)
WORDS = ("max", "average", "relu", "gelu", "none")


@st.composite
def int_domains(draw: Any, most: int) -> Int:
    log = draw(st.booleans())
    step = 1 if log else draw(st.integers(1, 5))
    low = draw(st.integers(1, 50) if log else st.integers(-20, 50))
    high = low + step * draw(st.integers(0, most))
    baseline = draw(st.sampled_from(range(low, high + 1, step)))
    return Int(low, high, baseline, step=step, log=log)


@st.composite
def float_domains(draw: Any, most: int, *, finite: bool) -> Float:
    if finite or draw(st.booleans()):
        step = draw(st.sampled_from((0.01, 0.02, 0.05, 0.1, 0.2, 2.5)))
        low = step * draw(st.integers(-3, 3))
        count = draw(st.integers(0, most))
        return Float(low, low + count * step, low + draw(st.integers(0, count)) * step, step=step)
    log = draw(st.booleans())
    low = draw(st.floats(1e-6, 1.0) if log else st.floats(-10.0, 10.0))
    high = low * draw(st.floats(1.0, 1e4)) if log else low + draw(st.floats(0.0, 10.0))
    return Float(low, high, draw(st.sampled_from((low, high))), log=log)


@st.composite
def choice_domains(draw: Any, most: int) -> Choice:
    options = draw(
        st.one_of(
            st.lists(st.sampled_from(WORDS), min_size=1, max_size=most, unique=True),
            st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
            st.lists(st.integers(-5, 9), min_size=1, max_size=most, unique=True),
            st.lists(st.sampled_from((0.1, 0.25, 0.3, 1.5)), min_size=1, max_size=most, unique=True),
        )
    )
    return Choice(tuple(options), draw(st.sampled_from(options)))


@st.composite
def spaces(draw: Any, *, finite: bool = False) -> Space:
    """Spaces of up to five parameters, conditions upon conditions among them; finite ones are small."""
    most = 3 if finite else 40
    parameters: dict[str, Domain] = {}
    for index in range(draw(st.integers(1, 4 if finite else 5))):
        kinds = (int_domains(most), float_domains(most, finite=finite), choice_domains(min(most, 4)))
        domain = draw(st.one_of(*kinds))
        parents = [name for name, parent in parameters.items() if parent.values() is not None]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            values = draw(st.lists(st.sampled_from(parameters[parent].values()), min_size=1, max_size=2, unique=True))
            domain = type(domain)(**{**_fields(domain), "when": Condition(parameter=parent, values=tuple(values))})
        parameters[f"p{index}"] = domain
    return Space(name="drawn", parameters=parameters)


def _fields(domain: Domain) -> dict[str, Any]:
    return {name: getattr(domain, name) for name in domain.__slots__}


def every_configuration(space: Space) -> set[str]:
    """All configurations of a finite space, by plain products of all values."""
    values = [domain.values() or () for domain in space.parameters.values()]
    return {
        config_key(space.active(dict(zip(space.parameters, point, strict=True))))
        for point in itertools.product(*values)
    }


def all_proposals(space: Space, name: str, limit: int) -> set[str]:
    """Everything that an engine proposes until it says that nothing is left."""
    engine = make_engine(parse_engine(name), space, seed=1, epochs=1)
    found: set[str] = set()
    with pytest.raises(SpaceExhausted):
        for number in range(limit):
            config = engine.ask(number).config
            assert space.problems(config) == []
            assert config_key(config) not in found
            found.add(config_key(config))
            engine.tell(number, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}))
    return found


def check(space: Space, seed: int) -> None:
    """Both engines' words hold what we draw, what they draw lies inside, and the baseline is the default."""
    declared = to_hyperparameters(space)
    assert space.active(declared.values) == space.baseline
    config = space.sample(random.Random(seed))
    for name, domain in space.parameters.items():
        expected = {name} if name in config else set()
        active = {hp.name for hp in declared.space if hp.name == name and _is_active(hp, config)}
        assert active == expected
        if name in config:
            _check_value(declared, name, domain, config[name])
    for sampler in ("optuna:random", "keras-tuner:random"):
        engine = make_engine(parse_engine(sampler), space, seed=seed, epochs=1)
        assert space.problems(engine.ask(0).config) == []


def _is_active(hp: Any, config: Mapping[str, Any]) -> bool:
    return all(condition.is_active(config) for condition in hp.conditions)


def _check_value(declared: Any, name: str, domain: Domain, value: Any) -> None:
    """The value is one of both engines', and of the same type and to the last bit when it comes back."""
    optuna = to_optuna_distribution(domain)
    back = optuna.to_external_repr(optuna.to_internal_repr(value))
    assert optuna._contains(optuna.to_internal_repr(value))
    assert back == pytest.approx(value) if isinstance(value, float) else back == value
    (parameter,) = declared._hps[name]
    if hasattr(parameter, "value_to_prob") and type(parameter).__name__ != "Fixed":
        again = parameter.prob_to_value(parameter.value_to_prob(value))
        assert math.isclose(again, value, rel_tol=1e-9) if isinstance(value, float) else again == value
        assert type(again) is type(value)
    else:
        assert parameter.value == value
        assert type(parameter.value) is type(value)


@pytest.mark.parametrize("source", [*SPACES, EXAMPLE])
@pytest.mark.parametrize("seed", range(20))
def test_a_shipped_space_means_the_same_to_both_engines(source: str, seed: int) -> None:
    check(load(source), seed)


def test_a_step_with_float_noise_meets_its_condition() -> None:
    """The value 0.2 of these steps is 0.19999999999999998 to Optuna."""
    parameters = {
        "p0": Float(-0.01, 0.38, -0.01, step=0.01),
        "p1": Int(0, 0, 0, when=Condition(parameter="p0", values=(0.2,))),
    }
    for seed in range(80):
        check(Space(name="noise", parameters=parameters), seed)


@given(space=spaces(), seed=SEEDS)
@settings(max_examples=60)
def test_any_space_means_the_same_to_both_engines(space: Space, seed: int) -> None:
    check(space, seed)


@given(space=spaces(finite=True))
@settings(max_examples=25)
def test_both_engines_find_every_configuration_of_a_finite_space_and_no_other(space: Space) -> None:
    wanted = every_configuration(space)
    assume(len(wanted) <= 60)
    assert all_proposals(space, "optuna:grid", len(wanted) + 1) == wanted
    assert all_proposals(space, "keras-tuner:random", len(wanted) + 1) == wanted
    if not any(isinstance(domain, Int) and domain.log for domain in space.parameters.values()):
        assert all_proposals(space, "keras-tuner:grid", len(wanted) + 1) == wanted


def test_a_log_integer_is_ten_values_to_keras_tuners_grid() -> None:
    space = Space(name="wide", parameters={"width": Int(1, 1000, 30, log=True)})
    found = all_proposals(space, "keras-tuner:grid", 20)
    assert len(found) == 11  # ten of the scale, and the baseline
    assert config_key(space.baseline) in found


@pytest.mark.parametrize("engine", ["optuna:random", "keras-tuner:random"])
def test_the_ends_of_every_scale_are_reached(engine: str) -> None:
    space = Space(
        name="ends",
        parameters={"a": Int(1, 4, 1, log=True), "b": Float(0.0, 0.6, 0.0, step=0.05), "c": Int(-2, 4, 1, step=3)},
    )
    chosen = make_engine(parse_engine(engine), space, seed=0, epochs=1)
    seen: dict[str, set[Any]] = {name: set() for name in space.parameters}
    for number in range(150):
        for name, value in chosen.ask(number).config.items():
            seen[name].add(value)
        chosen.tell(number, Outcome(state=State.FAILED))
    assert seen == {name: set(domain.values() or ()) for name, domain in space.parameters.items()}


def test_what_differs_is_said_with_the_space() -> None:
    said = " ".join(caveats(load("cnn")))
    assert "optuna:grid takes no continuum, so learning_rate, learning_rate_sgd, weight_decay must be fixed" in said
    assert "keras-tuner:grid takes ten values of" in said
    assert "filters_1" in said
    finite = Space(name="finite", parameters={"a": Int(1, 3, 1), "b": Float(0.0, 0.4, 0.2, step=0.2)})
    assert list(caveats(finite)) == []


def test_keras_tuner_draws_log_integers_larger_as_it_is_said() -> None:
    """Means of 4,000 draws of 1 to 4 beside their exact values; three standard errors are 0.05."""
    space = Space(name="log", parameters={"width": Int(1, 4, 1, log=True)})
    declared = to_hyperparameters(space).space[0]
    theirs = sum(declared.random_sample(seed) for seed in range(4000)) / 4000
    chance = random.Random(0)
    ours = sum(space.sample(chance)["width"] for _ in range(4000)) / 4000
    exact = {v: math.log((v + 1) / v) / math.log(5) for v in range(1, 5)}
    halves = {v: math.log((v + 0.5) / (v - 0.5)) / math.log(9) for v in range(1, 5)}
    assert theirs == pytest.approx(sum(v * share for v, share in exact.items()), abs=0.05)
    assert sum(v * share for v, share in exact.items()) > sum(v * share for v, share in halves.items()) + 0.1
    assert ours == pytest.approx(sum(v * share for v, share in halves.items()), abs=0.05)
