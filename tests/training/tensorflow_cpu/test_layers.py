"""The faster layers compute what Keras's own compute: outputs, gradients and running averages."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from search.training.augmentation import RandomAffine
from search.training.elastic import RandomElastic
from search.training.tensorflow_cpu import layers
from search.training.tensorflow_cpu.layers import use_fast_layers

pytestmark = pytest.mark.usefixtures("one_thread")

BATCH = 12


def copies(layer: Any, shape: tuple[int, ...], *, compile_for: int = 0) -> tuple[Any, Any]:
    """Returns two models of one layer with equal weights; the second is fast."""
    models = []
    for _ in range(2):
        copy = type(layer).from_config(layer.get_config())
        models.append(keras.Sequential([keras.Input(shape), copy]))
    models[1].set_weights(models[0].get_weights())
    use_fast_layers(models[1], compile_for=compile_for)
    assert type(models[1].layers[0]) is not type(layer)
    return models[0], models[1]


def trained(model: Any, inputs: np.ndarray) -> dict[str, Any]:
    """Returns outputs of training, gradients of a weighted sum of them, and the weights afterwards."""
    values = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = model(values, training=True)
        weights = tf.reshape(tf.sin(tf.range(tf.size(outputs), dtype=tf.float32)), tf.shape(outputs))
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
    sources = {
        "inputs": values,
        **{variable.path.split("/")[-1]: variable.value for variable in model.trainable_variables},
    }
    gradients = tape.gradient(total, sources)
    return {"outputs": outputs, **{f"gradient of {name}": value for name, value in gradients.items()}} | {
        f"weight {number}": value for number, value in enumerate(model.get_weights())
    }


def assert_equal_up_to_rounding(layer: Any, inputs: np.ndarray, *, compile_for: int = 0) -> None:
    plain, fast = copies(layer, inputs.shape[1:], compile_for=compile_for)
    expected, received = trained(plain, inputs), trained(fast, inputs)
    assert expected.keys() == received.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(received[name], value, rtol=2e-4, atol=2e-4, err_msg=name)
    np.testing.assert_allclose(fast(inputs), plain(inputs), rtol=1e-5, atol=1e-5, err_msg="inference")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0.5, 2.0, shape).astype(np.float32)


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_convolution(activation: str | None, padding: str) -> None:
    layer = keras.layers.Conv2D(7, 3, padding=padding, activation=activation, bias_initializer="random_normal")
    assert_equal_up_to_rounding(layer, normal(BATCH, 9, 8, 3))


@pytest.mark.parametrize(
    "layer",
    [keras.layers.Activation("gelu"), keras.layers.Conv2D(3, 3, activation="gelu")],
    ids=["alone", "of a layer"],
)
def test_a_compiled_gelu_is_that_of_keras(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(
        layers, "_compiled_gelu", lambda values, own=layers._compiled_gelu: compiled.append(1) or own(values)
    )
    assert_equal_up_to_rounding(layer, 3 * normal(BATCH, 9, 8, 3), compile_for=10**9)
    assert compiled


@pytest.mark.parametrize(
    ("activation", "shape", "compile_for", "dtype"),
    [
        ("silu", (9, 8, 3), 10**9, "float32"),
        ("gelu", (9, 8, 3), 1000, "float32"),
        ("gelu", (9, 8, 3), 0, "float32"),
        ("gelu", (9, 8, 3), 10**9, "bfloat16"),
        ("gelu", (216,), 10**9, "float32"),
        ("gelu", (None, None, 3), 10**9, "float32"),
        (None, (9, 8, 3), 10**9, "float32"),
    ],
    ids=["another activation", "few images", "no compilation", "reduced precision", "a vector", "any size", "none"],
)
def test_what_gains_nothing_is_not_compiled(
    activation: str | None, shape: tuple[int | None, ...], compile_for: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_compiled_gelu", lambda values: pytest.fail("it is compiled"))
    model = keras.Sequential([keras.Input(shape), keras.layers.Activation(activation, dtype=dtype)])
    use_fast_layers(model, compile_for=compile_for)
    values = normal(BATCH, *(size or 5 for size in shape))
    expected = keras.activations.get(activation)(tf.constant(values, dtype))
    traced = tf.function(model, input_signature=[tf.TensorSpec((None, *shape))])
    np.testing.assert_allclose(traced(values), expected, rtol=1e-2)


def test_convolution_without_bias_and_with_strides() -> None:
    assert_equal_up_to_rounding(keras.layers.Conv2D(4, 3, strides=2, use_bias=False), normal(BATCH, 9, 9, 1))
    assert_equal_up_to_rounding(keras.layers.Conv2D(4, 3, dilation_rate=2), normal(BATCH, 9, 9, 1))


@pytest.mark.parametrize("shape", [(BATCH, 6, 5, 4), (BATCH, 10), (1, 3), (BATCH, 7, 3)])
@pytest.mark.parametrize("parts", [{}, {"scale": False}, {"center": False}, {"momentum": 0.9, "epsilon": 1e-4}])
def test_batch_normalization(shape: tuple[int, ...], parts: dict[str, Any]) -> None:
    assert_equal_up_to_rounding(keras.layers.BatchNormalization(**parts), normal(*shape))


def test_batch_normalization_that_is_frozen_uses_its_averages() -> None:
    plain, fast = copies(keras.layers.BatchNormalization(), (4,))
    for model in (plain, fast):
        model.layers[0].trainable = False
    inputs = normal(BATCH, 4)
    np.testing.assert_allclose(fast(inputs, training=True), plain(inputs, training=True), rtol=1e-5)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.6])
def test_dropout_drops_its_share_keeps_the_mean_and_blocks_the_gradient_of_what_it_drops(rate: float) -> None:
    _, fast = copies(keras.layers.Dropout(rate, seed=3), (20_001,))
    inputs = tf.ones((25, 20_001))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = fast(inputs, training=True)
    gradient = tape.gradient(outputs, inputs).numpy()
    outputs = outputs.numpy()
    count = outputs.size
    # Five standard deviations of a share: a false alarm in two million runs.
    tolerance = 5 * (rate * (1 - rate) / count) ** 0.5
    assert np.mean(outputs == 0) == pytest.approx(rate, abs=tolerance)
    np.testing.assert_allclose(np.unique(outputs), [0.0, 1 / (1 - rate)], rtol=1e-4)
    np.testing.assert_array_equal(gradient, outputs)
    assert (fast(inputs, training=True).numpy() != outputs).any(), "each call draws anew"
    np.testing.assert_array_equal(fast(inputs), inputs)


def test_dropout_of_neighbouring_values_is_independent() -> None:
    _, fast = copies(keras.layers.Dropout(0.5, seed=3), (100_000,))
    dropped = fast(tf.ones((1, 100_000)), training=True).numpy()[0] == 0
    for distance in (1, 2, 3, 4, 8):
        correlation = np.corrcoef(dropped[:-distance], dropped[distance:])[0, 1]
        assert abs(correlation) < 5 / 100_000**0.5


def test_dropout_repeats_its_draws_by_seed() -> None:
    draws = [copies(keras.layers.Dropout(0.3, seed=7), (100,))[1](tf.ones((5, 100)), training=True) for _ in range(2)]
    np.testing.assert_array_equal(*draws)


@pytest.mark.parametrize("channels", [1, 3])
def test_shifts_are_those_of_the_affine_map_to_the_bit(channels: int) -> None:
    plain, fast = copies(RandomAffine(shift=3, seed=5), (9, 11, channels))
    images = normal(200, 9, 11, channels)
    shifted = fast(images, training=True).numpy()
    np.testing.assert_array_equal(shifted, plain(images, training=True))
    assert (shifted != images).any()
    np.testing.assert_array_equal(fast(images), images)


@pytest.mark.parametrize("bound", [-1, 1])
@pytest.mark.parametrize("shift", [1, 3])
def test_a_shift_at_the_edge_of_its_distribution_is_at_most_the_largest(
    shift: int, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A uniform sample can be its lower bound, 0.5 beyond the largest shift, and 1.5 is rounded to 2."""
    monkeypatch.setattr(keras.random, "uniform", lambda shape, low, high, seed: tf.fill(shape, float(bound) * high))
    for model in copies(RandomAffine(shift=shift, seed=5), (9, 11, 1)):
        images = normal(4, 9, 11, 1)
        expected = np.roll(images, (-bound * shift, -bound * shift), axis=(1, 2))
        inside = slice(shift, -shift)
        shifted = model(images, training=True).numpy()
        np.testing.assert_allclose(shifted[:, inside, inside], expected[:, inside, inside], atol=1e-5)


def test_other_augmentation_is_left_as_it_is() -> None:
    plain, fast = copies(RandomAffine(shift=1, rotation=10.0, seed=5), (9, 9, 1))
    images = normal(BATCH, 9, 9, 1)
    np.testing.assert_array_equal(fast(images, training=True), plain(images, training=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_compiled_elastic_augmentation_is_the_plain_one(channels: int) -> None:
    plain, fast = copies(RandomElastic(elastic=1.0, shift=1, rotation=10.0, seed=5), (9, 11, channels))
    images = normal(BATCH, 9, 11, channels)
    np.testing.assert_allclose(fast(images, training=True), plain(images, training=True), atol=1e-4)
    np.testing.assert_array_equal(fast(images), images)


def test_augmentation_that_is_switched_off_returns_the_images() -> None:
    _, fast = copies(RandomAffine(shift=3, seed=5), (9, 9, 1))
    fast.layers[0].strength.assign(0.0)
    images = normal(BATCH, 9, 9, 1)
    np.testing.assert_array_equal(fast(images, training=True), images)


def test_layers_that_are_called_twice_grouped_or_in_another_layer() -> None:
    def build(fast: bool) -> Any:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((9, 9, 4))
        twice = keras.layers.Conv2D(4, 3, padding="same", kernel_regularizer="l2", bias_constraint="non_neg")
        inner = keras.layers.TimeDistributed(keras.layers.Dense(3))
        outputs = inner(keras.layers.Conv2D(6, 3, groups=2)(twice(twice(inputs))))
        model = keras.Model(inputs, outputs)
        if fast:
            use_fast_layers(model)
        return model

    images = normal(BATCH, 9, 9, 4)
    plain, fast = build(fast=False), build(fast=True)
    fast.set_weights(plain.get_weights())
    expected, received = trained(plain, images), trained(fast, images)
    for name, value in expected.items():
        np.testing.assert_allclose(received[name], value, rtol=1e-3, atol=1e-3, err_msg=name)


def test_reduced_precision_keeps_its_types() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        parts = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
        model = keras.Sequential([keras.Input((9, 9, 1)), *parts])
    finally:
        keras.config.set_dtype_policy(policy)
    use_fast_layers(model)
    received = trained(model, normal(BATCH, 9, 9, 1))
    assert received["outputs"].dtype == "bfloat16"
    assert all(received[f"gradient of {name}"].dtype == "float32" for name in ("kernel", "bias", "gamma", "beta"))


def test_subclasses_are_left_alone() -> None:
    class Own(keras.layers.Dropout):  # type: ignore[misc]
        pass

    model = keras.Sequential([keras.Input((3,)), Own(0.5)])
    use_fast_layers(model)
    assert type(model.layers[0]) is Own


def test_layers_of_nested_models_are_fast() -> None:
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5)])
    model = keras.Sequential([keras.Input((3,)), inner])
    use_fast_layers(model)
    assert type(inner.layers[0]) is not keras.layers.Dropout
