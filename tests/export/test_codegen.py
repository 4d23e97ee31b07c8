"""Tests that the Python generated for a network makes the same network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.errors import UserError
from search.export.codegen import network_statements, object_expression
from search.training.augmentation import RandomAffine
from search.training.network import make_loss, make_network, make_optimizer, trainable_parameters
from spaces import registry
from spaces.training import TUTORIAL_TRAINING

pytestmark = pytest.mark.usefixtures("one_thread")

SEED = 7
PIXELS = np.zeros((1, 28, 28, 1), np.uint8)
EXAMPLE = str(Path(__file__).parents[2] / "docs" / "example_space.py")
RICH = {"conv_stages": 2, "filters_2": 64, "kernel_2": 3, "batch_norm": True, "activation": "leaky_relu", "shift": 2}
SPACES = {"mlp": {}, "cnn": {}, "cnn-large": {}, EXAMPLE: {"head": "hidden"}}
TRAININGS = [
    {},
    {"learning_rate": 2e-3, "schedule": "cosine", "label_smoothing": 0.05},
    {"optimizer": "adamw", "weight_decay": 1e-3, "schedule": "one_cycle"},
    {"optimizer": "sgd", "learning_rate_sgd": 0.1, "schedule": "exponential"},
]


def build(builder: Callable, config: dict[str, Any]) -> Any:
    return make_network(builder, {**TUTORIAL_TRAINING, **config}, PIXELS, classes=10, seed=0)


def executed(source: str) -> Any:
    import keras

    names: dict[str, Any] = {"keras": keras, "augment": RandomAffine(shift=2, seed=0)}
    keras.utils.set_random_seed(SEED)
    exec(source, names)
    return names["model"]


def shape(model: Any) -> list[tuple[str, list[tuple[int, ...]]]]:
    """What the layers are, in order, and the shapes of their weights; an input says nothing."""
    layers = [(type(layer).__name__, [weight.shape for weight in layer.weights]) for layer in model.layers]
    return [layer for layer in layers if layer[0] != "InputLayer"]


@pytest.mark.parametrize("source", SPACES)
def test_a_space_that_is_shipped_becomes_a_sequential_network_of_the_same_layers(source: str) -> None:
    space = registry.load(source)
    model = build(space.build, {**space.baseline, "units": 32, **SPACES[source]})
    text = network_statements(model, custom_layers={})
    assert text.startswith("model = keras.Sequential([\n    keras.Input((28, 28, 1)),\n")
    again = executed(text)
    assert shape(again) == shape(model)
    assert trainable_parameters(again) == trainable_parameters(model)


def test_the_rich_network_is_the_same_and_keeps_its_augmentation() -> None:
    space = registry.load("cnn")
    model = build(space.build, {**space.baseline, "dropout_conv": 0.1, "dropout_dense": 0.2, **RICH})
    text = network_statements(model, custom_layers={RandomAffine: "augment"})
    assert "    augment,\n" in text
    assert "keras.layers.BatchNormalization(momentum=0.9)" in text
    assert shape(executed(text)) == shape(model)


def test_the_same_seed_gives_the_written_network_the_same_weights() -> None:
    import keras

    space = registry.load("cnn")
    keras.utils.set_random_seed(SEED)
    model = build(space.build, {**space.baseline, "dropout_conv": 0.1, "dropout_dense": 0.2, **RICH})
    again = executed(network_statements(model, custom_layers={RandomAffine: "augment"}))
    for one, other in zip(model.trainable_variables, again.trainable_variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def branched(images: Any, config: Any, classes: int) -> Any:
    import keras
    from keras import layers

    first = layers.Conv2D(8, 3, padding="same", kernel_initializer=keras.initializers.RandomNormal(stddev=0.1))(images)
    second = layers.Conv2D(8, 3, padding="same", kernel_regularizer=keras.regularizers.L2(1e-4))(first)
    both = layers.Add()([first, second]) + second * 2.0
    nested = keras.Sequential([layers.Conv2D(4, 3), layers.ReLU(max_value=6.0)])(both)
    pooled = keras.ops.mean(layers.TimeDistributed(layers.Dense(3))(nested), axis=(1, 2))
    return layers.Dense(classes, activation=keras.activations.softmax)(pooled)


def test_a_branched_network_becomes_a_line_a_layer_and_computes_the_same() -> None:
    model = build(branched, {})
    text = network_statements(model, custom_layers={})
    assert "keras.Model(inputs, x" in text
    assert "keras.initializers.RandomNormal(stddev=0.1)" in text
    again = executed(text)
    again.set_weights(model.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1)).astype(np.float32)
    # Threads may add in another order, and the last bit with it.
    np.testing.assert_allclose(model.predict(images, verbose=0), again.predict(images, verbose=0), rtol=1e-5)


def with_lambda(images: Any, config: Any, classes: int) -> Any:
    from keras import layers

    return layers.Dense(classes, activation="softmax")(layers.Lambda(lambda x: x * 2)(layers.Flatten()(images)))


def with_shared_weights(images: Any, config: Any, classes: int) -> Any:
    from keras import layers

    shared = layers.Dense(784)
    return layers.Dense(classes, activation="softmax")(shared(shared(layers.Flatten()(images))))


def with_a_layer_of_ones_own(images: Any, config: Any, classes: int) -> Any:
    from keras import layers

    class Own(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    return layers.Dense(classes, activation="softmax")(Own()(layers.Flatten()(images)))


@pytest.mark.parametrize("builder", [with_lambda, with_shared_weights, with_a_layer_of_ones_own])
def test_what_keras_alone_cannot_make_is_refused_with_a_way_out(builder: Callable) -> None:
    with pytest.raises(UserError, match="cannot be written as a script of Keras alone") as raised:
        network_statements(build(builder, {}), custom_layers={})
    assert "--as model" in raised.value.hint


@pytest.mark.parametrize("changes", TRAININGS)
def test_optimizer_and_loss_are_made_again_with_the_same_settings(changes: dict[str, Any]) -> None:
    import keras

    config = {**TUTORIAL_TRAINING, **changes}
    for thing in (make_optimizer(config, 3000), make_loss(config)):
        again = eval(object_expression(thing), {"keras": keras})
        settings = [{**keras.saving.serialize_keras_object(one)["config"], "name": ""} for one in (thing, again)]
        assert type(again) is type(thing)
        assert settings[0] == settings[1]


def test_a_number_is_as_short_as_it_was_given() -> None:
    config = {**TUTORIAL_TRAINING, "learning_rate": 2e-3}
    assert object_expression(make_optimizer(config, 10)) == "keras.optimizers.Adam(learning_rate=0.002)"
