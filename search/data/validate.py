"""Validation: checks the arrays of a data set from any source, and converts them to one form.

Called once, before a data set enters the cache; all other modules rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from search.errors import UserError

CLASS_COUNTS = range(2, 1001)


def validate_arrays(source_arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays in the form that all other modules use.

    Args:
        source_arrays: ``x_train`` and ``x_test``, images (count, height, width) or (count, height, width, 1 or 3),
            uint8 or floats in [0, 1]; ``y_train`` and ``y_test``, integer labels (count,) or (count, 1); and perhaps
            ``groups_train`` and ``groups_test``, integers or strings (count,).

    Returns:
        The same names. Images are (count, height, width, channels), uint8 or float32; labels are (count,) int64.

    Raises:
        UserError: An array has another form, or two of them disagree.
    """
    arrays: dict[str, np.ndarray] = {}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = _validate_images(f"x_{part}", source_arrays[f"x_{part}"])
        arrays[f"y_{part}"] = _validate_labels(f"y_{part}", source_arrays[f"y_{part}"])
        _check_length(arrays, f"x_{part}", f"y_{part}")
    _check_same_image_form(arrays["x_train"], arrays["x_test"])
    _check_classes(arrays["y_train"], arrays["y_test"])
    for part in ("train", "test"):
        if (name := f"groups_{part}") in source_arrays:
            arrays[name] = _validate_groups(name, source_arrays[name])
            _check_length(arrays, f"x_{part}", name)
    return arrays


def _validate_images(name: str, images: np.ndarray) -> np.ndarray:
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise UserError(
            f"{name} must have shape (count, height, width) or (count, height, width, 1 or 3). "
            f"Received: shape={images.shape}.",
            hint="If the channels come first, use numpy.moveaxis(images, 1, -1).",
        )
    if images.size == 0:
        raise UserError(f"{name} must hold at least one image. Received: shape={images.shape}.")
    dtype = _check_pixels(name, images)
    return np.ascontiguousarray(images[..., np.newaxis] if images.ndim == 3 else images, dtype=dtype)


def _check_pixels(name: str, images: np.ndarray) -> type[np.uint8 | np.float32]:
    """Returns the type in which to keep images; raises if their values cannot be used."""
    if images.dtype == np.uint8:
        return np.uint8
    expected = f"{name} must hold uint8 values, 0 to 255, or floats in [0, 1]"
    if images.dtype.kind != "f":
        raise UserError(f"{expected}. Received: dtype={images.dtype}.", hint="Convert it with .astype('uint8').")
    if np.isnan(images).any():
        index = int(np.argwhere(np.isnan(images))[0, 0])
        raise UserError(f"{expected}. Received: NaN, first in image {index}.", hint="Leave such images out.")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise UserError(
            f"{expected}. Received: {low:g} to {high:g}.",
            hint="Divide it by 255, or by what white is, or keep it as uint8.",
        )
    return np.float32


def _validate_labels(name: str, labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind not in "iu" or labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)):
        raise UserError(
            f"{name} must hold integer labels of shape (count,) or (count, 1). "
            f"Received: dtype={labels.dtype}, shape={labels.shape}.",
            hint="If the labels are one-hot, use .argmax(axis=1); if they are floats, use .astype('int64').",
        )
    if labels.size == 0:
        raise UserError(f"{name} must hold at least one label. Received: shape={labels.shape}.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= CLASS_COUNTS[-1]:
        raise UserError(
            f"{name} must hold labels from 0 to {CLASS_COUNTS[-1] - 1} at most. Received: {low} to {high}.",
            hint="Number the classes from 0 without gaps.",
        )
    return np.ascontiguousarray(labels.reshape(-1), dtype=np.int64)


def _validate_groups(name: str, groups: np.ndarray) -> np.ndarray:
    if groups.dtype.kind not in "iuSU" or groups.ndim != 1:
        raise UserError(
            f"{name} must hold integers or fixed-width strings of shape (count,). "
            f"Received: dtype={groups.dtype}, shape={groups.shape}.",
            hint="Give one writer or patient number an image, such as numpy.array(groups, dtype='int64').",
        )
    return np.ascontiguousarray(groups)


def _check_length(arrays: Mapping[str, np.ndarray], images: str, others: str) -> None:
    if len(arrays[images]) != len(arrays[others]):
        raise UserError(
            f"{images} and {others} must be equally long. "
            f"Received: {len(arrays[images])} and {len(arrays[others])} entries.",
            hint="Each image needs exactly one entry, in the same order.",
        )


def _check_same_image_form(training_images: np.ndarray, test_images: np.ndarray) -> None:
    if training_images.shape[1:] != test_images.shape[1:] or training_images.dtype != test_images.dtype:
        raise UserError(
            "x_train and x_test must hold images of one size and type. "
            f"Received: {training_images.shape[1:]} {training_images.dtype} and "
            f"{test_images.shape[1:]} {test_images.dtype}.",
            hint="Prepare both in the same way.",
        )


def _check_classes(training_labels: np.ndarray, test_labels: np.ndarray) -> None:
    counts = np.bincount(training_labels)
    missing, hint = np.flatnonzero(counts == 0), "Number the classes from 0 without gaps."
    if len(missing):
        raise UserError(
            f"y_train must hold every class from 0 to {len(counts) - 1}. Received: none of class {missing[0]}.",
            hint=hint,
        )
    if len(counts) not in CLASS_COUNTS:
        raise UserError(
            f"y_train must hold {CLASS_COUNTS[0]} to {CLASS_COUNTS[-1]} classes. Received: {len(counts)}.", hint=hint
        )
    if test_labels.max() >= len(counts):
        raise UserError(
            f"y_test must hold classes of y_train, 0 to {len(counts) - 1}. Received: {test_labels.max()}.",
            hint="Number the classes of both alike.",
        )
