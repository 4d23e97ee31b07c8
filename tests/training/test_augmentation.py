"""The random affine map: bounds, identity, determinism, and saving."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from search.training.augmentation import RandomAffine

pytestmark = pytest.mark.usefixtures("one_thread")


def cross(count: int = 64, side: int = 21) -> np.ndarray:
    """Images with one bright pixel in the middle, (count, side, side, 1)."""
    images = np.zeros((count, side, side, 1), np.float32)
    images[:, side // 2, side // 2] = 1.0
    return images


def mapped(images: np.ndarray, **magnitudes: float) -> np.ndarray:
    return keras.ops.convert_to_numpy(RandomAffine(**magnitudes, seed=1)(images, training=True))


def test_outside_training_it_is_the_identity() -> None:
    layer = RandomAffine(shift=3, rotation=20, seed=1)
    assert np.array_equal(keras.ops.convert_to_numpy(layer(cross(), training=False)), cross())


def test_a_shift_moves_whole_pixels_within_its_bound() -> None:
    images = mapped(cross(count=400), shift=2)
    rows, columns = np.divmod(images.reshape(400, -1).argmax(axis=1), 21)
    assert set(rows - 10) == set(columns - 10) == {-2, -1, 0, 1, 2}
    assert np.allclose(images.reshape(400, -1).max(axis=1), 1.0, atol=1e-5)


def test_rotation_zoom_and_shear_keep_the_centre() -> None:
    images = mapped(cross(), rotation=25, zoom=0.2, shear=0.2)
    assert np.allclose(images[:, 10, 10, 0], 1.0, atol=1e-4)


def test_a_rotation_stays_within_its_bound() -> None:
    images = np.zeros((400, 41, 41, 1), np.float32)
    images[:, 20, 36] = 1.0
    turned = mapped(images, rotation=20)
    rows, columns = np.divmod(turned.reshape(400, -1).argmax(axis=1), 41)
    angles = np.degrees(np.arctan2(rows - 20, columns - 20))
    assert 15 < np.abs(angles).max() < 23
    assert angles.min() < -10 < 10 < angles.max()


def test_zoom_changes_size_both_ways() -> None:
    images = np.zeros((200, 41, 41, 1), np.float32)
    images[:, 10:31, 10:31] = 1.0
    areas = mapped(images, zoom=0.2).sum(axis=(1, 2, 3)) / 21**2
    assert areas.min() < 0.85
    assert areas.max() > 1.15
    assert 0.6 < areas.min() < areas.max() < 1.7


def test_images_of_a_batch_differ_and_seeds_repeat() -> None:
    first = mapped(cross(), shift=3, rotation=10)
    assert len({image.tobytes() for image in first}) > 10
    assert np.array_equal(first, mapped(cross(), shift=3, rotation=10))


def test_strength_0_is_the_identity() -> None:
    layer = RandomAffine(shift=3, rotation=20, zoom=0.2, shear=0.2, seed=1)
    layer.build((None, 21, 21, 1))
    layer.strength.assign(0.0)
    assert np.allclose(keras.ops.convert_to_numpy(layer(cross(), training=True)), cross(), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_layer_is_saved_and_loaded_with_a_model(tmp_path: Path, channels: int) -> None:
    inputs = keras.Input((8, 8, channels))
    keras.Model(inputs, RandomAffine(shift=1, seed=3)(inputs)).save(tmp_path / "model.keras")
    layer = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert (layer.shift, layer.seed) == (1, 3)
