"""Which trials share a program: those that differ in what travels, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from search.training.network import make_network
from search.training.population.sharing import program_key, values_of
from search.training.population.widening import Room, plain_layout, shared_room
from spaces import registry
from spaces.training import TUTORIAL_TRAINING

CNN = registry.load("cnn")
pytestmark = pytest.mark.usefixtures("one_thread")
RICH = {**TUTORIAL_TRAINING, **CNN.baseline, "batch_norm": True, "rotation": 10.0, "dropout_dense": 0.3}
PIXELS = np.zeros((1, 28, 28, 1), np.uint8)


def key(config: Mapping[str, Any], *, seed: int = 0, classes: int = 10, widen: bool = False) -> str:
    model = make_network(CNN.build, config, PIXELS, classes=classes, seed=seed)
    room = shared_room(model, config["batch_size"]) if widen else Room(config["batch_size"])
    return program_key(model, config, room)


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
    augmentation, flatten, dense = values_of(model, plain_layout(model))
    assert augmentation == {"shift": 2.0, "rotation": 10.0, "zoom": 0.0, "shear": 0.0}
    assert (flatten["keep"], dense["keep"]) == (np.float32(0.8), np.float32(0.7))
