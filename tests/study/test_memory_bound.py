"""The least memory of a configuration from counts, against what the worker predicts from the layers."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest

from search.study.memory_bound import OPTIMIZER_SLOTS, MemoryBound
from search.training.memory import Batches, build_without_values, predict_memory
from search.training.network import make_network
from spaces import registry
from spaces.training import complete

SHAPE = (48, 48, 3)


def bound(name: str, *, available: int = 0, folds: int = 1) -> MemoryBound:
    workload = registry.load(name).workload
    assert workload is not None
    return MemoryBound(
        workload=workload,
        image_shape=SHAPE,
        classes=10,
        training_count=100_000,
        folds=folds,
        value_bytes=4,
        available_bytes=available,
    )


@pytest.mark.parametrize("name", registry.SPACES)
def test_the_bound_is_near_the_workers_prediction_and_never_above(name: str) -> None:
    space, draw, shares = registry.load(name), random.Random(1), []
    for folds in (1, 1, 3):
        config = space.sample(draw)
        make = partial(
            make_network,
            registry.load_builder(name),
            complete(config),
            np.zeros((1, *SHAPE), np.uint8),
            classes=10,
            seed=0,
        )
        training = complete(config)
        batches = Batches(
            batch_size=training["batch_size"],
            evaluation_batch_size=1,
            optimizer_slots=OPTIMIZER_SLOTS[training["optimizer"]],
            stored_states=folds if folds > 1 else 0,
        )
        shares.append(
            bound(name, folds=folds).least_bytes(config) / predict_memory(build_without_values(make), batches).total
        )
    assert max(shares) <= 1
    assert min(shares) > 0.3


def test_what_cannot_be_counted_fits() -> None:
    config = registry.load("mlp").baseline
    least = bound("mlp").least_bytes(config)
    assert bound("mlp", available=least).fits(config)
    assert not bound("mlp", available=least - 1).fits(config)

    def fails(config: object, image_shape: object, classes: object) -> None:
        raise ZeroDivisionError

    uncounted = MemoryBound(
        workload=fails, image_shape=SHAPE, classes=10, training_count=9, folds=1, value_bytes=4, available_bytes=0
    )
    assert uncounted.fits(config)
