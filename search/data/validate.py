"""Checks that the arrays of a data set agree with each other. Called by ``canonical``; all other modules rely on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from search.data.spill import blocks_of, map_blocks
from search.errors import UserError


def validate_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays, C-contiguous, large ones as memory maps.

    Args:
        arrays: ``x_train`` and ``x_test``, images (count, height, width, channels), uint8 or float32; ``y_train`` and
            ``y_test``, labels (count,) int64; and perhaps ``groups_train`` and ``groups_test``, integers or strings
            (count,), and ``is_validation``, (count,) bool.

    Raises:
        UserError: Two of them disagree, or groups have another form.
    """
    _check_same_image_form(arrays["x_train"], arrays["x_test"])
    for part in ("train", "test"):
        if (name := f"groups_{part}") in arrays:
            _check_groups(name, arrays[name], expected=len(arrays[f"y_{part}"]))
    return {name: array if array.flags.c_contiguous else map_blocks(blocks_of(array)) for name, array in arrays.items()}


def _check_same_image_form(training_images: np.ndarray, test_images: np.ndarray) -> None:
    if training_images.shape[1:] != test_images.shape[1:] or training_images.dtype != test_images.dtype:
        raise UserError(
            "x_train and x_test must hold images of one size and type. "
            f"Received: {training_images.shape[1:]} {training_images.dtype} and "
            f"{test_images.shape[1:]} {test_images.dtype}.",
            hint="Prepare both in the same way; --image-size and --channels bring them to one size.",
        )


def _check_groups(name: str, groups: np.ndarray, *, expected: int) -> None:
    if groups.dtype.kind not in "iuSU" or groups.ndim != 1:
        raise UserError(
            f"{name} must hold integers or fixed-width strings of shape (count,). "
            f"Received: dtype={groups.dtype}, shape={groups.shape}.",
            hint="Give one writer or patient number an image, such as numpy.array(groups, dtype='int64').",
        )
    if len(groups) != expected:
        raise UserError(
            f"x_{name.removeprefix('groups_')} and {name} must be equally long. "
            f"Received: {expected} and {len(groups)} entries.",
            hint="Each image needs exactly one entry, in the same order.",
        )
