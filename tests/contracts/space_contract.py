"""The contract of spaces; a test class inherits it and gives the space as a fixture."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spaces import Choice, Domain, Float, Int, Space

SEEDS = st.integers(0, 2**32 - 1)
IMAGES = st.tuples(st.integers(1, 32), st.integers(1, 32), st.sampled_from((1, 3)))
FIXED_IMAGES = ((1, 1, 1), (2, 2, 3), (1, 32, 1), (28, 28, 1), (32, 32, 3))
# Each class that inherits the suite runs the same test functions: no fault, so Hypothesis need not warn of it.
lenient = settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])


def drawn(space: Space, seed: int) -> dict[str, Any]:
    return space.sample(random.Random(seed))


def outside(domain: Domain) -> Iterator[object]:
    """Values that a domain only just refuses."""
    yield from (None, math.nan, math.inf, [], "no such value")
    if isinstance(domain, Int):
        yield from (domain.low - 1, domain.high + 1, float(domain.low), str(domain.low), bool(domain.low))
        if domain.step > 1:
            yield domain.low + 1
    if isinstance(domain, Float):
        nearest = domain.step * 0.01 if domain.step else 0.0
        yield from (math.nextafter(domain.low - nearest, -math.inf), math.nextafter(domain.high + nearest, math.inf))
        yield from (str(domain.low), bool(domain.low))
        if domain.step and domain.low < domain.high:
            yield domain.low + domain.step / 2
    if isinstance(domain, Choice):
        yield from (int(option) for option in domain.options if isinstance(option, bool))


class SpaceContract:
    """Inherit, and define a fixture ``space``, of class scope or wider."""

    @given(seed=SEEDS)
    @settings(lenient, max_examples=50)
    def test_every_sample_lies_inside(self, space: Space, seed: int) -> None:
        assert space.problems(drawn(space, seed)) == []

    def test_the_baseline_and_every_recipe_lie_inside(self, space: Space) -> None:
        assert space.problems(space.baseline) == []
        for name in space.recipes:
            assert space.problems(space.recipe(name)) == []
            assert space.recipe(name) != space.baseline

    @given(seed=SEEDS)
    @settings(lenient, max_examples=50)
    def test_a_configuration_survives_json(self, space: Space, seed: int) -> None:
        config = drawn(space, seed)
        again = json.loads(json.dumps(config, allow_nan=False))
        assert again == config
        assert space.contains(again)

    def test_the_space_survives_json(self, space: Space) -> None:
        again = Space.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False)))
        assert again == space
        assert list(again.parameters) == list(space.parameters)
        assert again.sample(random.Random(0)) == space.sample(random.Random(0))

    @given(seed=SEEDS)
    @settings(lenient, max_examples=50)
    def test_dropping_inactive_parameters_twice_changes_nothing(self, space: Space, seed: int) -> None:
        config = drawn(space, seed)
        assert space.active(config) == config

    @given(seed=SEEDS)
    @settings(lenient, max_examples=10)
    def test_near_misses_are_refused(self, space: Space, seed: int) -> None:
        config = drawn(space, seed)
        assert not space.contains({**config, "no_such_parameter": 1})
        for name, domain in space.parameters.items():
            if name not in config:
                assert not space.contains({**config, name: domain.baseline}), f"{name} is inactive"
                continue
            assert not space.contains({key: value for key, value in config.items() if key != name})
            for value in outside(domain):
                assert not space.contains({**config, name: value}), f"{name}={value!r}"

    def test_every_parameter_can_become_active(self, space: Space) -> None:
        seen = {name for seed in range(300) for name in drawn(space, seed)}
        assert seen == set(space.parameters)

    def test_every_parameter_says_what_it_means(self, space: Space) -> None:
        assert space.doc
        assert [name for name, domain in space.parameters.items() if not domain.doc] == []

    @pytest.mark.parametrize("shape", FIXED_IMAGES, ids=str)
    def test_the_baseline_and_every_recipe_fit_every_image(self, space: Space, shape: tuple[int, int, int]) -> None:
        for config in (space.baseline, *(space.recipe(name) for name in space.recipes)):
            check_model(space, config, shape, classes=10)

    @given(seed=SEEDS, shape=IMAGES, classes=st.integers(2, 20))
    @settings(lenient, max_examples=8)
    def test_every_configuration_gives_probabilities(
        self, space: Space, seed: int, shape: tuple[int, int, int], classes: int
    ) -> None:
        check_model(space, drawn(space, seed), shape, classes=classes)


def check_model(space: Space, config: dict[str, Any], shape: tuple[int, int, int], *, classes: int) -> None:
    """Builds the model and asserts that two images give two distributions over the classes."""
    import keras
    import numpy as np

    assert space.build is not None
    images = keras.Input(shape)
    model = keras.Model(images, space.build(images, config, classes))
    noise = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    given_back = keras.ops.convert_to_numpy(model(noise, training=False))
    keras.utils.clear_session()
    assert given_back.shape == (2, classes)
    assert np.all(given_back >= 0.0)
    np.testing.assert_allclose(given_back.sum(axis=1), 1.0, atol=1e-5)
