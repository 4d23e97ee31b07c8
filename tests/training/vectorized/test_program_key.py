"""Which trials share a program: those that differ in what travels, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest

from search.training.network import make_network
from search.training.vectorized.padding import make_program_shape, unpadded_layout
from search.training.vectorized.program_key import program_key, traced_values_of
from spaces import registry
from spaces.training import TUTORIAL_TRAINING

CNN = registry.load("cnn")
pytestmark = pytest.mark.usefixtures("one_thread")
RICH = {**TUTORIAL_TRAINING, **CNN.baseline, "batch_norm": True, "rotation": 10.0, "dropout_dense": 0.3}
PIXELS = np.zeros((1, 28, 28, 1), np.uint8)


def key(config: Mapping[str, Any], *, seed: int = 0, classes: int = 10, widen: bool = False) -> str:
    model = make_network(CNN.build, config, PIXELS, classes=classes, seed=seed)
    return program_key(model, config, make_program_shape(model, config["batch_size"], pads_to_share=widen))


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 0.01},
        {"initializer": "he_normal"},
        {"schedule": "cosine"},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"label_smoothing": 0.1},
        {"dropout_dense": 0.1, "dropout_flatten": 0.5},
        {"shift": 2, "rotation": 0.0, "zoom": 0.1, "shear": 0.1, "clean_epochs": 1},
    ],
)
def test_what_travels_shares_a_program(changes: Mapping[str, Any]) -> None:
    assert key({**RICH, **changes}, seed=1) == key(RICH)


@pytest.mark.parametrize(
    "changes",
    [
        {"filters_1": 33},
        {"kernel_1": 3},
        {"activation": "gelu"},
        {"batch_norm": False},
        {"pooling": "average"},
        {"dropout_dense": 0.0},
        {"rotation": 0.0},
        {"batch_size": 100},
        {"optimizer": "sgd"},
    ],
)
def test_what_shapes_the_program_does_not(changes: Mapping[str, Any]) -> None:
    assert key({**RICH, **changes}) != key(RICH)
    assert key(RICH, classes=11) != key(RICH)


@pytest.mark.parametrize(
    ("changes", "is_shared"),
    [
        ({"filters_1": 17, "dense_1": 65, "batch_size": 129}, True),
        ({"filters_1": 16}, False),
        ({"dense_1": 257}, False),
        ({"batch_size": 257}, False),
        ({"kernel_1": 3}, False),
        ({"activation": "gelu"}, False),
    ],
)
def test_a_program_may_have_room_for_others(changes: Mapping[str, Any], is_shared: bool) -> None:
    assert (key({**RICH, **changes}, widen=True) == key(RICH, widen=True)) is is_shared
    assert key(RICH, classes=9, widen=True) != key(RICH, widen=True)


def test_values_are_read_from_the_network() -> None:
    model = make_network(CNN.build, {**RICH, "shift": 2}, PIXELS, classes=10, seed=0)
    augmentation, flatten, dense = traced_values_of(model, unpadded_layout(model))
    assert augmentation == {"shift": 2.0, "rotation": 10.0, "zoom": 0.0, "shear": 0.0}
    assert (flatten["keep"], dense["keep"]) == (np.float32(0.8), np.float32(0.7))


def chain(*layers: keras.layers.Layer) -> keras.Model:
    """A network of these layers on images, with two classes."""
    images = keras.Input((6, 6, 1))
    features = images
    for layer in layers:
        features = layer(features)
    return keras.Model(images, keras.layers.Dense(2, activation="softmax")(features))


def hidden(**changes: Any) -> tuple[keras.layers.Layer, ...]:
    return keras.layers.Flatten(), keras.layers.Dense(5, **changes)


def with_addition() -> keras.Model:
    images = keras.Input((6, 6, 1))
    features = keras.layers.Flatten()(images)
    return keras.Model(images, keras.layers.Dense(2)(features + keras.layers.Dense(36)(features)))


SILENT: Mapping[str, Callable[[], keras.Model]] = {
    "dense": lambda: chain(*hidden(activation="gelu", kernel_regularizer="l2")),
    "normalized": lambda: chain(*hidden(), keras.layers.BatchNormalization(), keras.layers.Activation("relu")),
}
APART: Mapping[str, Callable[[], keras.Model]] = {
    "says 1": lambda: chain(*hidden(activation="sigmoid")),
    "mixes units": lambda: chain(*hidden(activation="log_softmax")),
    "moved": lambda: chain(*hidden(), keras.layers.Rescaling(2.0, offset=1.0)),
    "channels first": lambda: chain(keras.layers.Conv2D(5, 3), keras.layers.Flatten(data_format="channels_first")),
    "constrained": lambda: chain(*hidden(kernel_constraint="unit_norm")),
    "of all columns": lambda: chain(*hidden(kernel_regularizer=keras.regularizers.OrthogonalRegularizer())),
}
MIXED: Mapping[str, Callable[[], keras.Model]] = {
    "nested normalization": lambda: chain(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5), keras.layers.BatchNormalization()])
    ),
    "activity": lambda: chain(*hidden(activity_regularizer="l2")),
    "function": with_addition,
}


@pytest.mark.parametrize("name", SILENT)
def test_widths_are_rounded_up_where_units_leave_no_trace(name: str) -> None:
    room = make_program_shape(SILENT[name](), 50, pads_to_share=True)
    assert (room.batch_size, room.pads_last_batch, list(room.padded_widths.values())) == (64, True, [{"units": 16}])


@pytest.mark.parametrize("name", APART)
def test_batch_sizes_alone_are_where_units_would_leave_one(name: str) -> None:
    room = make_program_shape(APART[name](), 50, pads_to_share=True)
    assert (room.batch_size, room.pads_last_batch, room.padded_widths) == (64, True, {})


@pytest.mark.parametrize("name", MIXED)
def test_nothing_is_where_images_of_a_batch_meet(name: str) -> None:
    room = make_program_shape(MIXED[name](), 50, pads_to_share=True)
    assert (room.batch_size, room.pads_last_batch, room.padded_widths) == (50, False, {})


@pytest.mark.parametrize("name", {**SILENT, **APART, **MIXED})
def test_one_network_built_twice_shares_a_program(name: str) -> None:
    build = {**SILENT, **APART, **MIXED}[name]
    config = {"optimizer": "adam", "batch_size": 50}
    one, other = (
        program_key(model, config, make_program_shape(model, 50, pads_to_share=True)) for model in (build(), build())
    )
    assert one == other


def test_dropout_of_nothing_shares_no_program_with_one_that_draws() -> None:
    config = {"optimizer": "adam", "batch_size": 50}
    models = [chain(*hidden(), keras.layers.Dropout(rate)) for rate in (0.0, 0.1, 0.2)]
    none, one, other = (
        program_key(model, config, make_program_shape(model, 50, pads_to_share=False)) for model in models
    )
    assert none != one == other
