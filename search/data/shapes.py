"""Brings images of any usual layout into (count, height, width, channels). Called by ``canonical``.

A layout is taken where there is one reading of it; the number of labels says which axis counts the images.
"""

from __future__ import annotations

import math

import numpy as np

from search.errors import UserError

CHANNELS = (1, 3, 4)
"""Grey, color, and color with opacity."""


def arrange_images(name: str, images: np.ndarray, count: int, *, image_size: tuple[int, int] | None) -> np.ndarray:
    """Returns images as (count, height, width, channels), mostly as a view.

    Args:
        name: Name of the array in messages.
        images: (count, pixels), (count, height, width), (count, height, width, channels),
            (count, channels, height, width), or, as MATLAB stores them, the same with the count last.
        count: Number of labels.
        image_size: (height, width); says how flat images that are not square are to be read.

    Raises:
        UserError: The shape has no or several readings.
    """
    if images.ndim in (2, 3, 4) and images.shape[0] != count and images.shape[-1] == count:
        images = np.moveaxis(images, -1, 0)
    if images.size == 0:
        raise UserError(f"{name} must hold at least one image. Received: shape={images.shape}.")
    if images.ndim == 2:
        return _arrange_flat(name, images, image_size)
    if images.ndim == 3:
        return images[..., np.newaxis]
    if images.ndim == 4 and images.shape[3] in CHANNELS:
        return images
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return np.moveaxis(images, 1, -1)
    raise _shape_error(name, images)


def _arrange_flat(name: str, images: np.ndarray, image_size: tuple[int, int] | None) -> np.ndarray:
    pixels = images.shape[1]
    side = math.isqrt(pixels)
    if side * side == pixels:
        return images.reshape(-1, side, side, 1)
    if image_size is not None and math.prod(image_size) == pixels:
        return images.reshape(-1, *image_size, 1)
    color_side = math.isqrt(pixels // 3)
    if 3 * color_side * color_side == pixels:
        raise UserError(
            f"{name} holds {pixels} values an image: colors of {color_side} x {color_side} pixels in one of two "
            f"orders. Expected: shape (count, {color_side}, {color_side}, 3). Received: shape={images.shape}.",
            hint=f"If the colors of a pixel are neighbors, save it as .reshape(-1, {color_side}, {color_side}, 3); if "
            f"all reds come first, as in CIFAR's files, as .reshape(-1, 3, {color_side}, {color_side}).",
        )
    raise UserError(
        f"{name} holds {pixels} pixels an image, which is no square. Received: shape={images.shape}.",
        hint=f"Say its height and width with --image-size, such as --image-size {_any_size(pixels)}.",
    )


def _any_size(pixels: int) -> str:
    """Returns the height and width nearest to a square, such as ``4x5``."""
    height = next(side for side in range(math.isqrt(pixels), 0, -1) if pixels % side == 0)
    return f"{height}x{pixels // height}"


def _shape_error(name: str, images: np.ndarray) -> UserError:
    return UserError(
        f"{name} must have shape (count, height, width), (count, height, width, 1, 3 or 4), "
        f"(count, 1 or 3, height, width) or (count, pixels). Received: shape={images.shape}.",
        hint="Save it with one of these shapes; numpy.moveaxis brings the axes into order.",
    )
