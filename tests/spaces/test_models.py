"""Tests the baselines against the tutorial's models, layer by layer, and the effect of each parameter."""

from __future__ import annotations

import math
from typing import Any

import keras
import pytest

from spaces import SPACES, load

pytestmark = pytest.mark.usefixtures("one_thread")

MNIST = (28, 28, 1)


def conv(filters: int, kernel: int) -> Any:
    return keras.layers.Conv2D(filters, (kernel, kernel), activation="relu")


def dense(units: int, activation: str = "relu", **options: Any) -> Any:
    return keras.layers.Dense(units, activation=activation, **options)


def pool() -> Any:
    return keras.layers.MaxPooling2D()


TUTORIAL = {
    "mlp": lambda: [
        keras.layers.Flatten(),
        dense(784, kernel_initializer="normal"),
        dense(10, "softmax", kernel_initializer="normal"),
    ],
    "cnn": lambda: [
        conv(32, 5),
        pool(),
        keras.layers.Dropout(0.2),
        keras.layers.Flatten(),
        dense(128),
        dense(10, "softmax"),
    ],
    "cnn-large": lambda: [
        conv(30, 5),
        pool(),
        conv(15, 3),
        pool(),
        keras.layers.Dropout(0.2),
        keras.layers.Flatten(),
        dense(128),
        dense(50),
        dense(10, "softmax"),
    ],
}
"""The tutorial's models as it writes them; the perceptron's input, 784 numbers there, is flattened here."""


def model(name: str, *, shape: tuple[int, int, int] = MNIST, **values: Any) -> Any:
    space = load(name)
    defaults = {key: domain.baseline for key, domain in space.parameters.items()}
    config = space.active({**defaults, **values})
    assert space.problems(config) == []
    images = keras.Input(shape)
    return keras.Model(images, space.build(images, config, 10))


def layers(built: Any) -> list[tuple[str, dict[str, Any]]]:
    """Each layer's class and configuration, without its serial name."""
    found = []
    for layer in built.layers:
        config = layer.get_config()
        del config["name"]
        found.append((type(layer).__name__, config))
    return [pair for pair in found if pair[0] != "InputLayer"]


def kinds(built: Any) -> list[str]:
    return [kind for kind, _ in layers(built)]


def trainable(built: Any) -> int:
    return sum(math.prod(variable.shape) for variable in built.trainable_variables)


@pytest.mark.parametrize("name", SPACES)
def test_the_baseline_is_the_tutorials_model_layer_by_layer(name: str) -> None:
    tutorial = keras.Sequential([keras.Input(MNIST), *TUTORIAL[name]()])
    assert layers(model(name)) == layers(tutorial)


@pytest.mark.parametrize(("name", "parameters"), [("mlp", 623_290), ("cnn", 592_074), ("cnn-large", 59_933)])
def test_the_baseline_has_the_tutorials_trainable_parameters(name: str, parameters: int) -> None:
    assert trainable(model(name)) == parameters
    assert f"{parameters:,}" in load(name).doc


@pytest.mark.parametrize(
    ("name", "recipe", "parameters"),
    [
        ("cnn", "two stages + sgd", 225_770),
        ("cnn", "double stages", 72_666),
        ("cnn-large", "wide stages", 230_284),
    ],
)
def test_a_recipe_has_the_trainable_parameters_it_claims(name: str, recipe: str, parameters: int) -> None:
    space = load(name)
    assert trainable(model(name, **space.recipe(recipe))) == parameters
    assert f"{parameters:,}" in space.recipes[recipe].doc


def test_batch_norm_stands_between_layer_and_activation_and_takes_the_bias() -> None:
    built = model("cnn", batch_norm=True, activation="silu")
    assert kinds(built) == [
        *("Conv2D", "BatchNormalization", "Activation", "MaxPooling2D", "Dropout", "Flatten"),
        *("Dense", "BatchNormalization", "Activation", "Dense"),
    ]
    configs = [config for _, config in layers(built)]
    assert [config["use_bias"] for config in configs if "use_bias" in config] == [False, False, True]
    assert [config["activation"] for config in configs if "activation" in config] == [
        *("linear", "silu", "linear", "silu", "softmax")
    ]


def test_dropout_stands_where_its_name_says() -> None:
    built = model("cnn", conv_stages=3, dense_layers=2, dropout_conv=0.1, dropout_flatten=0.3, dropout_dense=0.5)
    rates = [config["rate"] for kind, config in layers(built) if kind == "Dropout"]
    assert rates == [0.1, 0.1, 0.3, 0.5, 0.5]
    assert kinds(built)[:3] == ["Conv2D", "MaxPooling2D", "Dropout"]
    assert "Dropout" not in kinds(model("cnn", dropout_flatten=0.0))


def test_the_perceptron_drops_pixels_before_and_units_after_its_hidden_layers() -> None:
    built = model("mlp", hidden_layers=2, width_1=64, width_2=96, dropout_input=0.1, dropout=0.5)
    assert kinds(built) == ["Flatten", "Dropout", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert [config["units"] for kind, config in layers(built) if kind == "Dense"] == [64, 96, 10]


def test_stages_of_two_padded_convolutions_keep_the_size_until_they_are_pooled() -> None:
    built = model("cnn", conv_stages=2, convolutions=2, padding="same", filters_2=20, dropout_flatten=0.0)
    assert kinds(built)[:6] == ["Conv2D", "Conv2D", "MaxPooling2D", "Conv2D", "Conv2D", "MaxPooling2D"]
    sizes = [layer.output.shape[1:] for layer in built.layers[1:7]]
    assert sizes == [(28, 28, 32), (28, 28, 32), (14, 14, 32), (14, 14, 20), (14, 14, 20), (7, 7, 20)]


def test_averages_of_feature_maps_take_the_place_of_flattening() -> None:
    built = model("cnn", global_average=True, dense_layers=0)
    assert kinds(built) == ["Conv2D", "MaxPooling2D", "Dropout", "GlobalAveragePooling2D", "Dense"]
    assert built.layers[-2].output.shape == (None, 32)


def test_a_configuration_of_version_0_1_0_makes_the_same_network() -> None:
    space, new = load("cnn"), {"convolutions", "padding", "global_average", "elastic"}
    config = space.recipe("two stages + sgd")
    old = {name: value for name, value in config.items() if name not in new}
    images = keras.Input(MNIST)
    assert layers(keras.Model(images, space.build(images, old, 10))) == layers(model("cnn", **config))


def test_no_hidden_layer_leaves_the_softmax_alone() -> None:
    assert kinds(model("cnn", dense_layers=0)) == ["Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense"]


def test_average_pooling_and_the_initializer_reach_the_layers() -> None:
    built = model("cnn", pooling="average", initializer="he_normal")
    assert "AveragePooling2D" in kinds(built)
    initializers = {
        config["kernel_initializer"]["class_name"] for _, config in layers(built) if "kernel_initializer" in config
    }
    assert initializers == {"HeNormal"}


@pytest.mark.parametrize(
    ("side", "padding"),
    [(1, "same"), (5, "same"), (6, "valid"), (7, "valid")],
)
def test_a_convolution_pads_where_less_than_two_pixels_would_remain(side: int, padding: str) -> None:
    built = model("cnn", shape=(side, 28, 1))
    assert next(config for kind, config in layers(built) if kind == "Conv2D")["padding"] == padding


def test_pooling_leaves_a_single_row_of_pixels_be() -> None:
    assert "MaxPooling2D" not in kinds(model("cnn", shape=(1, 28, 1)))
    assert kinds(model("cnn", shape=(2, 2, 1), conv_stages=3)).count("MaxPooling2D") == 1
