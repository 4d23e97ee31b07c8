"""The memory of a training, predicted from real Keras models, with and without values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
import pytest

from search.data.dataset import prepare
from search.protocol import EvaluationProtocol, Split
from search.training.cgroup import available_memory, total_memory
from search.training.loops import evaluation_batch_size
from search.training.memory import (
    Batches,
    MemoryLimit,
    MemoryNeed,
    build_without_values,
    optimizer_slots,
    predict_memory,
)
from search.training.network import make_network, make_optimizer
from search.training.run_state import ExceedsFreeMemory
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.training.trainer import Trainer
from search.trial import Cause, State, Trial
from spaces import registry
from spaces.training import complete

pytestmark = pytest.mark.usefixtures("one_thread")
ADAM = Batches(batch_size=100, evaluation_batch_size=1, optimizer_slots=2)
FLOAT = 4
"""Bytes of a float32."""


def maker(name: str = "cnn", side: int = 28, channels: int = 1, **values: Any) -> Callable[[], Any]:
    """Returns a function that makes the network of a space's baseline with some values changed."""
    space = registry.load(name)
    config = complete(space.active({key: domain.baseline for key, domain in space.parameters.items()} | values))
    pixels = np.zeros((1, side, side, channels), np.uint8)
    return partial(make_network, registry.load_builder(name), config, pixels, classes=10, seed=0)


@pytest.fixture
def task(small_mnist: Path, cache_dir: Path) -> Task:
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=1)
    return Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))


def test_the_baseline_s_memory_by_part() -> None:
    need = predict_memory(maker()(), ADAM)
    parameters = 592_074
    pixels, maps, pooled, hidden, classes = 28 * 28, 24 * 24 * 32, 12 * 12 * 32, 128, 10
    assert need.weights >= parameters * FLOAT
    assert need.optimizer == 2 * parameters * FLOAT
    assert need.gradient == pooled * hidden * FLOAT
    kept = pixels + maps  # the maps twice: with the gradient of theirs; no step holds both this and all of the rest
    assert 100 * (kept + maps) * FLOAT <= need.activations
    assert need.activations <= 100 * (kept + maps + 2 * pooled + 2 * hidden + 2 * classes) * FLOAT
    assert need.total == need.weights + need.optimizer + max(need.gradient, need.activations)


@pytest.mark.parametrize(
    "make",
    [
        maker(),
        maker(conv_stages=3, batch_norm=True, activation="gelu", dropout_conv=0.2, dense_layers=2),
        maker(shift=2, rotation=10.0),
        maker("mlp", side=64, channels=3, hidden_layers=3),
    ],
)
def test_a_model_without_values_needs_as_much_as_the_built_one(make: Callable[[], Any]) -> None:
    assert predict_memory(build_without_values(make), ADAM) == predict_memory(make(), ADAM)


def test_a_model_too_large_for_any_machine_is_predicted_without_memory() -> None:
    before = psutil.Process().memory_info().rss
    need = predict_memory(build_without_values(maker("mlp", side=4096, channels=3, width_1=1024)), ADAM)
    assert need.weights > 190 * 2**30
    assert psutil.Process().memory_info().rss - before < 200 * 2**20


def test_the_model_made_after_a_prediction_is_the_same_as_without() -> None:
    def made(*, predicted: bool) -> Any:
        keras.utils.clear_session(free_memory=False)
        make = maker(conv_stages=2, batch_norm=True, dropout_dense=0.5, shift=2)
        if predicted:
            assert build_without_values(make) is not None
        keras.utils.set_random_seed(3)
        return make()

    first, second = made(predicted=False), made(predicted=True)
    assert [variable.path for variable in first.variables] == [variable.path for variable in second.variables]
    images = np.random.default_rng(0).integers(0, 256, size=(4, 28, 28, 1), dtype=np.uint8)
    for one, other in zip([*first.get_weights(), first(images)], [*second.get_weights(), second(images)], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(first(images, training=True), second(images, training=True))


def test_memory_grows_with_the_batch_and_not_with_layers_that_keep_nothing() -> None:
    inputs = keras.Input((8, 8, 1))
    features = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    plain = keras.layers.Dense(2)(keras.layers.Flatten()(features))
    viewed = keras.layers.Dense(2)(keras.layers.Reshape((144,))(keras.layers.Flatten()(features)))
    need = predict_memory(keras.Model(inputs, plain), ADAM)
    assert predict_memory(keras.Model(inputs, viewed), ADAM) == need
    doubled = predict_memory(keras.Model(inputs, plain), dataclasses.replace(ADAM, batch_size=200))
    assert doubled.activations == 2 * need.activations
    assert doubled.weights == need.weights
    assert need.activations == 100 * FLOAT * (64 + 144 + 144)


def activations(outputs: Any, inputs: Any) -> int:
    """Returns the predicted values of an image that training holds."""
    return predict_memory(keras.Model(inputs, outputs), ADAM).activations // (100 * FLOAT)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_nested_model_needs_as_much_as_its_layers(depth: int) -> None:
    inputs = keras.Input((50,))
    outputs = inputs
    for _ in range(2):
        layer = keras.layers.Dense(50, activation="relu")
        for _ in range(depth):
            layer = keras.Sequential([keras.Input((50,)), layer])
        outputs = layer(outputs)
    assert activations(keras.layers.Dense(2)(outputs), inputs) == 50 + 50 + 50 + 50


def test_each_call_of_a_shared_layer_or_nested_model_counts() -> None:
    inputs = keras.Input((16,))
    shared = keras.layers.Dense(16)
    assert activations(shared(shared(shared(inputs))), inputs) == 3 * 16 + 16
    nested = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1000, activation="relu"), keras.layers.Dense(16)])
    assert activations(nested(nested(inputs)), inputs) == 2 * (16 + 1000) + 1000


def test_bfloat16_is_counted() -> None:
    halved = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1000, activation="relu", dtype="mixed_bfloat16")])
    full = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1000, activation="relu")])
    assert predict_memory(halved, ADAM).activations < 0.6 * predict_memory(full, ADAM).activations


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_frozen_backbone_keeps_nothing_for_the_backward_pass(is_nested: bool) -> None:
    def backbone(images: Any) -> Any:
        images = keras.layers.Conv2D(64, 3)(images)
        images = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(images))
        return keras.layers.GlobalAveragePooling2D()(keras.layers.MaxPooling2D(2)(images))

    inputs = keras.Input((8, 8, 1))
    frozen = keras.Model(inputs, backbone(inputs))
    frozen.trainable = False
    features = frozen(inputs) if is_nested else frozen.output
    assert activations(keras.layers.Dense(2)(features), inputs) == 64 + 2
    frozen.trainable = True
    assert activations(keras.layers.Dense(2)(features), inputs) > 2 * 6 * 6 * 64


def test_what_a_trainable_layer_below_a_frozen_one_needs_is_counted() -> None:
    inputs = keras.Input((16,))
    frozen = keras.layers.Dense(100, activation="relu", trainable=False)
    features = frozen(keras.layers.Dense(16)(inputs))
    assert activations(keras.layers.Dense(2)(features), inputs) == 16 + 100 + 100


def test_branches_are_not_all_held_with_the_largest_gradient() -> None:
    inputs = keras.Input((4,))
    branches = [keras.layers.Dense(100, activation="relu")(inputs) for _ in range(2)]
    assert activations(keras.layers.Dense(2)(keras.layers.Add()(branches)), inputs) == 4 + 100 + 100 + 100 + 2


def test_of_custom_layers_and_views_nothing_is_counted() -> None:
    class LastPixel(keras.layers.Layer):
        def build(self, _: Any) -> None:
            self.scale = self.add_weight(shape=(1, 1))

        def call(self, images: Any) -> Any:
            return images[:, -1, -1] * self.scale

    inputs = keras.Input((64, 64, 8))
    assert activations(keras.layers.Dense(2)(LastPixel()(inputs)), inputs) == 8 + 2
    features = keras.layers.Dense(64, activation="relu")(keras.Input((16,)))
    source = features._keras_history.operation.input
    assert activations(keras.layers.Dense(2)(features), source) == activations(
        keras.layers.Dense(2)(keras.layers.Dropout(0.0)(keras.ops.reshape(features, (-1, 64)))), source
    )


def test_a_builder_that_fails_or_needs_values_has_no_prediction_beforehand() -> None:
    class Scaled(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.scale = keras.Variable(np.ones(3))

        def call(self, inputs: Any) -> Any:
            return inputs * self.scale

    def needs_values() -> Any:
        inputs = keras.Input((3,))
        return keras.Model(inputs, keras.layers.Dense(2)(Scaled()(inputs)))

    assert build_without_values(needs_values) is None
    assert predict_memory(needs_values(), ADAM).weights > 0
    assert build_without_values(maker(conv_stages=1, activation="no such thing")) is None


@pytest.mark.parametrize(("optimizer", "slots"), [("adam", 2), ("adamw", 2), ("sgd", 1)])
def test_values_that_an_optimizer_keeps(optimizer: str, slots: int) -> None:
    config = complete({"optimizer": optimizer})
    assert optimizer_slots(make_optimizer(config, 10)) == slots


def test_what_cannot_fit_is_refused_with_figures_and_what_can_is_not(task: Task) -> None:
    limit = MemoryLimit(task, on_cpu=True)
    need = MemoryNeed(weights=2**20, optimizer=2**21, gradient=2**20, activations=2**22, batch_size=32)
    limit.require(need)
    with pytest.raises(ExceedsFreeMemory, match=r"1024\.0. GiB.* 32\b"):
        limit.require(dataclasses.replace(need, activations=2**40))
    used_mib = psutil.Process().memory_info().rss / 2**20
    bound = MemoryLimit(dataclasses.replace(task, trial_memory_mib=used_mib + 100), on_cpu=True)
    bound.require(need)
    with pytest.raises(ExceedsFreeMemory, match="--trial-memory"):
        bound.require(dataclasses.replace(need, activations=2**28))


def test_what_other_processes_hold_at_the_moment_refuses_nothing(task: Task) -> None:
    limit = MemoryLimit(task, on_cpu=True)
    need = MemoryNeed(weights=0, optimizer=0, gradient=0, activations=0, batch_size=32)
    limit.require(dataclasses.replace(need, weights=(available_memory() + total_memory()) // 2))
    with pytest.raises(ExceedsFreeMemory):
        limit.require(dataclasses.replace(need, weights=total_memory() + 1))


def test_a_configuration_that_cannot_fit_ends_before_its_first_step_and_the_next_one_runs(task: Task) -> None:
    used_mib = psutil.Process().memory_info().rss / 2**20
    trainer = Trainer(dataclasses.replace(task, trial_memory_mib=used_mib + 150))
    wide = {"conv_stages": 1, "filters_1": 64, "batch_size": 1024}
    outcome = trainer.run(Trial(number=0, config={**registry.load("cnn").baseline, **wide}, seed=0, epochs=1))
    assert (outcome.state, outcome.cause) == (State.FAILED, Cause.OUT_OF_MEMORY)
    assert outcome.history == ()
    assert outcome.seconds["fit"] == 0.0
    outcome = trainer.run(Trial(number=1, config=registry.load("cnn").baseline, seed=0, epochs=1))
    assert outcome.state is State.COMPLETE, outcome.traceback


@pytest.mark.parametrize("shape", [(10_000, 28, 28, 1), (5_000, 128, 128, 3), (300, 512, 512, 3), (0, 128, 128, 1)])
def test_few_large_images_are_evaluated_at_once(shape: tuple[int, ...]) -> None:
    size = evaluation_batch_size(shape)
    assert 1 <= size <= max(1, shape[0])
    assert size == 1 or size * math.prod(shape[1:]) <= 784_000
