"""Tests the counted operations of the shipped spaces against the models that Keras builds."""

from __future__ import annotations

import math
import random
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces import SPACES, Space, load
from spaces.workload import SMOOTH_ACTIVATIONS, Workload

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from((1, 3, 12)))


def counted_layers(space: Space, config: dict[str, Any], shape: tuple[int, int, int], classes: int) -> Workload:
    """Counts a built model layer by layer, from Keras's own shapes and weights."""
    images = keras.Input(shape)
    model = keras.Model(images, space.build(images, config, classes))
    counts: dict[str, int] = {"pixels": math.prod(shape)}

    def add(name: str, count: int) -> None:
        counts[name] = counts.get(name, 0) + count

    is_first = True
    for layer in model.layers:
        kind, values = type(layer).__name__, math.prod(layer.output.shape[1:])
        if layer.trainable_variables:
            add("layers", 1)
        if kind in ("Conv2D", "Dense"):
            positions = math.prod(layer.output.shape[1:3]) if kind == "Conv2D" else 1
            name = "convolution_macs" if kind == "Conv2D" else "dense_macs"
            add(f"image_{name}" if is_first else name, positions * math.prod(layer.kernel.shape))
            is_first = False
        if kind == "Conv2D":
            add("convolved_values", values)
        if kind == "BatchNormalization":
            add("normalized_values", values)
        if kind in ("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D"):
            add("pooled_values", math.prod(layer.input.shape[1:]))
        if kind == "Dropout":
            add("dropped_values", values)
        activation = layer.get_config().get("activation")
        if activation in SMOOTH_ACTIVATIONS:
            is_compiled = activation == "gelu" and len(layer.output.shape) == 4
            add("gelu_map_values" if is_compiled else "smooth_values", values)
    add("parameters", sum(math.prod(variable.shape) for variable in model.trainable_variables))
    keras.utils.clear_session(free_memory=False)
    return Workload(**counts)


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=SHAPES, classes=st.integers(2, 20))
def test_the_counts_are_those_of_the_built_model(
    name: str, seed: int, shape: tuple[int, int, int], classes: int
) -> None:
    space = load(name)
    config = space.sample(random.Random(seed))
    assert space.workload is not None
    assert space.workload(config, shape, classes) == counted_layers(space, config, shape, classes)


@pytest.mark.parametrize("name", SPACES)
def test_the_baseline_and_the_recipes_are_counted_exactly(name: str) -> None:
    space = load(name)
    assert space.workload is not None
    for config in (space.baseline, *map(space.recipe, space.recipes)):
        assert space.workload(config, (28, 28, 1), 10) == counted_layers(space, config, (28, 28, 1), 10)


def test_a_restricted_space_keeps_its_counts_and_one_read_from_json_has_none() -> None:
    space = load("cnn")
    assert space.restrict({}).workload is space.workload
    assert Space.from_json(space.to_json()).workload is None
