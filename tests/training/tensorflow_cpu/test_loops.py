"""The compiled loops train and predict as Keras's own do, whatever the number of steps a call."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from search.training.loops import KerasLoops, Loops
from search.training.task import Subset
from search.training.tensorflow_cpu import loops as compiled
from search.training.tensorflow_cpu.loops import CompiledLoops

pytestmark = pytest.mark.usefixtures("one_thread")

GENERATOR = np.random.default_rng(2)
IMAGES = GENERATOR.integers(0, 255, (130, 6, 5, 2), np.uint8)
LABELS = GENERATOR.integers(0, 3, 130)
TARGETS = np.eye(3, dtype=np.float32)
ORDER = GENERATOR.permutation(130)


def model() -> Any:
    keras.utils.set_random_seed(4)
    layers = [
        keras.Input((6, 5, 2)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dropout(0.2, seed=1),
        keras.layers.Dense(3, activation="softmax"),
    ]
    made = keras.Sequential(layers)
    made.compile(optimizer=keras.optimizers.Adam(1e-2), loss="categorical_crossentropy", steps_per_execution=2)
    made.optimizer.build(made.trainable_variables)
    return made


def run(loops: Loops, images: Any = IMAGES) -> tuple[list[float], np.ndarray, list[int]]:
    """Returns the losses of two epochs, the probabilities afterwards and the images of each call."""
    calls: list[int] = []
    losses = [loops.train(images, LABELS, TARGETS, lambda count, _: calls.append(count), order=ORDER) for _ in range(2)]
    return losses, loops.predict(IMAGES, lambda *_: None), calls


@pytest.fixture(scope="module")
def expected(one_thread: None) -> tuple[list[float], np.ndarray, list[int]]:
    return run(KerasLoops(model(), 32))


@pytest.mark.parametrize("seconds", [1e-9, 0.01, 100.0])
def test_both_loops_compute_the_same_to_the_bit(
    expected: tuple[list[float], np.ndarray, list[int]], monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(compiled, "SECONDS_PER_CALL", seconds)
    losses, probabilities, calls = run(CompiledLoops(model(), 32, IMAGES.dtype))
    assert losses == expected[0]
    np.testing.assert_array_equal(probabilities, expected[1])
    assert sum(calls) == sum(expected[2]) == 2 * len(IMAGES)


def test_a_subset_of_an_array_is_read_in_place(expected: tuple[list[float], np.ndarray, list[int]]) -> None:
    padded = np.concatenate([IMAGES, IMAGES[:1]])
    losses, _, _ = run(CompiledLoops(model(), 32, IMAGES.dtype), Subset(padded, np.arange(len(IMAGES))))
    assert losses == expected[0]


def test_calls_are_short_at_first_and_grow_up_to_the_copied_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "SECONDS_PER_CALL", 100.0)
    monkeypatch.setattr(compiled, "BYTES_PER_CALL", 4 * 10 * 60)
    _, _, calls = run(CompiledLoops(model(), 10, IMAGES.dtype))
    assert calls[:2] == [10, 10]
    assert max(calls) == 40


@pytest.mark.parametrize("make", [KerasLoops, lambda model, size: CompiledLoops(model, size, IMAGES.dtype)])
def test_an_exception_of_the_callback_ends_the_epoch(make: Any) -> None:
    calls: list[int] = []

    def on_call(images: int, _: float) -> None:
        calls.append(images)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        make(model(), 32).train(IMAGES, LABELS, TARGETS, on_call, order=ORDER)
    assert len(calls) == 1
