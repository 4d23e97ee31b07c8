"""Elastic displacements: their size and smoothness, the resampling, determinism, and saving."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from search.training.augmentation import RandomAffine
from search.training.elastic import RandomElastic, resample, smoothing

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(count: int = 32, height: int = 21, width: int = 28, channels: int = 1) -> np.ndarray:
    """Images with a dark margin of 4 pixels, (count, height, width, channels)."""
    images = np.zeros((count, height, width, channels), np.float32)
    inside = (count, height - 8, width - 8, channels)
    images[:, 4:-4, 4:-4] = np.random.default_rng(1).random(inside, np.float32)
    return images


def displacements(layer: RandomElastic, count: int, height: int = 28, width: int = 28) -> np.ndarray:
    layer.build((None, height, width, 1))
    return keras.ops.convert_to_numpy(layer._displacements(count))


def test_outside_training_it_is_the_identity() -> None:
    layer = RandomElastic(elastic=1.0, shift=3, seed=1)
    assert np.array_equal(keras.ops.convert_to_numpy(layer(noise(), training=False)), noise())


@pytest.mark.parametrize("side", [8, 28, 96])
def test_displacements_have_the_standard_deviation_at_every_pixel(side: int) -> None:
    deviations = displacements(RandomElastic(elastic=1.5, seed=1), 2000, side, side).std(axis=0)
    assert np.allclose(deviations, 1.5, rtol=0.1)


def test_displacements_are_smooth_and_differ_between_images_and_axes() -> None:
    drawn = displacements(RandomElastic(elastic=1.0, seed=1), 200)
    assert np.corrcoef(drawn[..., :-1].ravel(), drawn[..., 1:].ravel())[0, 1] > 0.97
    assert abs(np.corrcoef(drawn[..., :14].ravel(), drawn[..., 14:].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(drawn[:, 0].ravel(), drawn[:, 1].ravel())[0, 1]) < 0.1


def test_the_smoothing_reaches_a_seventh_of_the_side() -> None:
    covariance = smoothing(28) @ smoothing(28).T
    assert np.allclose(np.diag(covariance), 1.0)
    assert covariance[14, 18] == pytest.approx(np.exp(-0.25), abs=0.01)  # two Gaussians, convolved


@pytest.mark.parametrize("channels", [1, 3])
def test_without_displacements_it_is_the_affine_map(channels: int) -> None:
    images, layer = noise(channels=channels), RandomAffine(shift=3, rotation=25, zoom=0.2, shear=0.2, seed=1)
    layer.build(images.shape)
    transforms = layer._projective_transforms(len(images), 21.0, 28.0)
    mapped = keras.ops.image.affine_transform(images, transforms, fill_mode="constant")
    still = np.zeros((len(images), 2, 21, 28), np.float32)
    np.testing.assert_allclose(resample(images, transforms, still), mapped, atol=1e-4)


def test_a_displacement_moves_pixels_and_what_lies_outside_is_0() -> None:
    images = noise()
    identity = np.tile(np.float32([1, 0, 0, 0, 1, 0, 0, 0]), (len(images), 1))
    moves = np.zeros((len(images), 2, 21, 28), np.float32)
    moves[:, 0], moves[:, 1] = 2.0, -1.0  # a pixel takes what stands two to the right and one above
    expected = np.zeros_like(images)
    expected[:, 1:, :-2] = images[:, :-1, 2:]
    np.testing.assert_allclose(resample(images, identity, moves), expected, atol=1e-6)
    assert not np.any(resample(images, identity, moves + 1e6))


def test_equal_seeds_draw_equal_displacements() -> None:
    first, again, other = (RandomElastic(elastic=1.0, seed=seed)(noise(), training=True) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.any(np.asarray(first) != np.asarray(other))


def test_it_is_the_same_in_a_compiled_step() -> None:
    eager = RandomElastic(elastic=1.0, shift=2, rotation=10.0, seed=3)(noise(), training=True)
    inputs = keras.Input((21, 28, 1))
    model = keras.Model(inputs, RandomElastic(elastic=1.0, shift=2, rotation=10.0, seed=3)(inputs))
    compiled = tf.function(lambda images: model(images, training=True), autograph=False)
    np.testing.assert_allclose(compiled(tf.constant(noise())), eager, atol=1e-5)


def test_switched_off_it_returns_the_images() -> None:
    layer = RandomElastic(elastic=1.0, shift=2, seed=1)
    layer.build(noise().shape)
    layer.strength.assign(0.0)
    np.testing.assert_allclose(layer(noise(), training=True), noise(), atol=1e-6)


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    inputs = keras.Input((21, 28, 1))
    keras.Model(inputs, RandomElastic(elastic=0.4, shift=1, seed=3)(inputs)).save(tmp_path / "model.keras")
    layer = keras.models.load_model(tmp_path / "model.keras").layers[1]
    assert (layer.elastic, layer.shift, layer.seed) == (0.4, 1, 3)
