"""Which trials share a program: those that differ in per-member values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest

from search.training.network import make_network
from search.training.vectorized.program_key import is_samplewise, program_key, traced_values_of
from spaces import registry
from spaces.training import TUTORIAL_TRAINING

CNN = registry.load("cnn")
pytestmark = pytest.mark.usefixtures("one_thread")
RICH = {**TUTORIAL_TRAINING, **CNN.baseline, "batch_norm": True, "rotation": 10.0, "dropout_dense": 0.3}
PIXELS = np.zeros((1, 28, 28, 1), np.uint8)


def key(config: Mapping[str, Any], *, seed: int = 0, classes: int = 10) -> str:
    return program_key(make_network(CNN.build, config, PIXELS, classes=classes, seed=seed), config)


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
def test_trials_that_differ_in_per_member_values_share_a_program(changes: Mapping[str, Any]) -> None:
    assert key({**RICH, **changes}, seed=1) == key(RICH)


@pytest.mark.parametrize(
    "changes",
    [
        {"filters_1": 33},
        {"dense_1": 65},
        {"kernel_1": 3},
        {"activation": "gelu"},
        {"batch_norm": False},
        {"pooling": "average"},
        {"dropout_dense": 0.0},
        {"rotation": 0.0},
        {"batch_size": 100},
        {"optimizer": "sgd"},
        {"elastic": 0.6},
    ],
)
def test_trials_that_differ_in_structure_share_no_program(changes: Mapping[str, Any]) -> None:
    assert key({**RICH, **changes}) != key(RICH)
    assert key(RICH, classes=11) != key(RICH)


def test_trials_with_elastic_displacements_of_any_size_share_a_program() -> None:
    assert key({**RICH, "elastic": 0.4}) == key({**RICH, "elastic": 1.6, "shift": 3})
    model = make_network(CNN.build, {**RICH, "elastic": 0.4}, PIXELS, classes=10, seed=0)
    assert traced_values_of(model)[0] == {
        "shift": 0.0, "rotation": 10.0, "zoom": 0.0, "shear": 0.0, "elastic": np.float32(0.4)
    }  # fmt: skip


def test_per_member_values_are_read_from_the_network() -> None:
    model = make_network(CNN.build, {**RICH, "shift": 2}, PIXELS, classes=10, seed=0)
    augmentation, flatten, dense = traced_values_of(model)
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


SAMPLEWISE: Mapping[str, Callable[[], keras.Model]] = {
    "dense": lambda: chain(*hidden(activation="log_softmax", kernel_regularizer="l2")),
    "convolution": lambda: chain(keras.layers.Conv2D(5, 3), keras.layers.MaxPooling2D(), keras.layers.Flatten()),
    "normalized": lambda: chain(*hidden(), keras.layers.BatchNormalization(), keras.layers.Dropout(0.1)),
}
MIXED: Mapping[str, Callable[[], keras.Model]] = {
    "nested normalization": lambda: chain(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5), keras.layers.BatchNormalization()])
    ),
    "activity": lambda: chain(*hidden(activity_regularizer="l2")),
    "function": with_addition,
}


def test_a_last_batch_is_masked_only_if_its_images_do_not_affect_each_other() -> None:
    assert [name for name, build in {**SAMPLEWISE, **MIXED}.items() if is_samplewise(build())] == list(SAMPLEWISE)


@pytest.mark.parametrize("name", {**SAMPLEWISE, **MIXED})
def test_a_network_built_twice_shares_a_program(name: str) -> None:
    build = {**SAMPLEWISE, **MIXED}[name]
    config = {"optimizer": "adam", "batch_size": 50}
    assert program_key(build(), config) == program_key(build(), config)


def test_a_dropout_of_rate_0_shares_no_program_with_one_that_draws() -> None:
    config = {"optimizer": "adam", "batch_size": 50}
    none, one, other = (program_key(chain(*hidden(), keras.layers.Dropout(rate)), config) for rate in (0.0, 0.1, 0.2))
    assert none != one == other
