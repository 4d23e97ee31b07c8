"""A network that lies in a wider one is itself: to the last bit outside, up to rounding inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from vectorized_job import answer

from search.training.runtime import Backend, Device, Runtime
from search.training.vectorized.padding import embed, extract, next_power_of_four

MLP = {"hidden_layers": 2, "width_1": 19, "width_2": 33, "dropout_input": 0.2, "dropout": 0.3}
CNN = {
    "filters_1": 5,
    "filters_2": 9,
    "kernel_2": 3,
    "conv_stages": 2,
    "dense_1": 11,
    "dropout_conv": 0.2,
    "dropout_dense": 0.3,
}


def test_a_width_is_rounded_up_to_a_power_of_four() -> None:
    assert [next_power_of_four(width) for width in (1, 2, 4, 5, 64, 65, 784)] == [1, 4, 4, 16, 64, 256, 1024]


def test_what_is_laid_into_zeros_can_be_cut_out_again() -> None:
    own, axes = np.arange(1.0, 7.0).reshape(2, 3), (np.array([0, 4]), np.arange(3))
    wide = embed(own, axes, (5, 4))
    assert np.array_equal(extract(wide, axes), own)
    assert np.count_nonzero(wide) == own.size
    assert extract(own, None) is own


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "changes"),
    [
        ("mlp", {**MLP, "optimizer": "sgd"}),
        ("mlp", {**MLP, "optimizer": "adamw", "batch_norm": True, "activation": "gelu"}),
        ("cnn", {**CNN, "optimizer": "sgd", "batch_norm": True, "rotation": 10.0}),
        ("cnn", {**CNN, "optimizer": "adam", "activation": "leaky_relu", "pooling": "average"}),
    ],
)
def test_further_units_stay_zero_and_move_nothing(space: str, changes: Mapping[str, Any]) -> None:
    pytest.importorskip("jax", reason="JAX is not installed: pip install '.[jax]'")
    variables = Runtime(backend=Backend.JAX, device=Device.CPU).environment_variables()
    found = answer("widening_job", variables, json.dumps([space, changes]))
    assert found["further"] > 0
    assert found["not_zero"] == 0
    assert found["moved"] > 0.01
    # Adam divides what is mostly rounding by its own size, where a gradient is next to 0.
    assert found["apart"] < (1e-5 if changes["optimizer"] == "sgd" else 1e-3)
