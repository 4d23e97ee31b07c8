"""The fused update follows Keras's own optimizer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from search.training.network import make_optimizer
from search.training.tensorflow_cpu.adam import use_fused_update

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = {"schedule": "cosine", "learning_rate": 3e-3, "learning_rate_sgd": 0.1, "weight_decay": 0.05}


def path(optimizer: Any, steps: int = 25) -> np.ndarray:
    """Returns the variables after each step on a fixed sequence of gradients, (steps, 2 x 3)."""
    variables = [keras.Variable(np.full(3, value, np.float32)) for value in (0.5, -2.0)]
    optimizer.build(variables)
    generator = np.random.default_rng(3)
    points = []
    for _ in range(steps):
        gradients = [tf.constant(generator.normal(0.3, 1.0, 3).astype(np.float32)) for _ in variables]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        points.append(np.concatenate([variable.numpy() for variable in variables]))
    return np.array(points)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_fused_update_follows_keras(name: str) -> None:
    plain, fused = (make_optimizer({**CONFIG, "optimizer": name}, 25) for _ in range(2))
    use_fused_update(fused)
    assert type(fused) is not type(plain)
    np.testing.assert_allclose(path(fused), path(plain), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("options", [{"amsgrad": True}, {"clipnorm": 0.5, "use_ema": True}])
def test_other_options_follow_keras(options: dict[str, Any]) -> None:
    plain, fused = (keras.optimizers.Adam(1e-2, **options) for _ in range(2))
    use_fused_update(fused)
    np.testing.assert_allclose(path(fused), path(plain), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_variables_of_other_types_follow_keras(dtype: str) -> None:
    values = []
    for is_fused in (False, True):
        optimizer, variable = keras.optimizers.Adam(1e-2), keras.Variable(np.ones(3), dtype=dtype)
        if is_fused:
            use_fused_update(optimizer)
        optimizer.build([variable])
        optimizer.apply_gradients([(tf.cast([0.1, 0.2, -0.3], dtype), variable)])
        values.append(variable.numpy())
    np.testing.assert_array_equal(*values)


def test_other_optimizers_are_left_alone() -> None:
    sgd = make_optimizer({**CONFIG, "optimizer": "sgd"}, 25)
    use_fused_update(sgd)
    assert type(sgd) is keras.optimizers.SGD
