"""Resizes canonical images, and changes them between grey and color. Called by ``canonical``."""

from __future__ import annotations

import numpy as np

from search.data.spill import blocks_of, map_blocks

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey. Source: ITU-R BT.601, as in Pillow."""


def resize_images(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns images of another size, by Pillow's bilinear filter, which averages where it shrinks.

    Args:
        images: (count, height, width, channels), uint8 or float32.
        size: (height, width).
    """
    if images.shape[1:3] == size:
        return images
    from PIL import Image

    height, width = size

    def resize(image: np.ndarray) -> np.ndarray:
        planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)]
        resized = [np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)) for plane in planes]
        return np.stack(resized, axis=-1)[np.newaxis]

    return map_blocks(map(resize, images))


def with_channels(images: np.ndarray, channels: int | None) -> np.ndarray:
    """Returns images in grey or color.

    Args:
        images: (count, height, width, 1 or 3), uint8 or float32.
        channels: 1, 3, or None to leave them as they are.
    """
    if channels in (None, images.shape[3]):
        return images
    if channels == 3:
        return map_blocks(np.repeat(block, 3, axis=3) for block in blocks_of(images))
    return map_blocks(map(_to_grey, blocks_of(images)))


def _to_grey(images: np.ndarray) -> np.ndarray:
    grey = (images @ np.array(LUMINANCE, np.float32))[..., np.newaxis]
    return grey.round().astype(np.uint8) if images.dtype == np.uint8 else grey
