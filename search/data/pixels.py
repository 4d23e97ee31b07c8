"""What white is: decided by type and values of the training images, and applied to all. Called by ``canonical``.

Images of 0..255 stay uint8. Masks, images of few levels and of 10 to 16 bits are scaled so that white is white;
standardized floats are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search.data.spill import blocks_of, map_blocks
from search.errors import UserError

FEW_LEVELS = 16
"""Integers of up to this value are levels of grey, as in scikit-learn's digits; the largest is white."""
WHITES = (255, 1023, 4095, 16383, 65535)
"""White of integers of 8, 10, 12, 14 and 16 bits."""
ROUNDING = 1e-5
"""Floats this little above 1 are rounding errors of a resizing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelScale:
    """How pixels of a data set are scaled.

    Args:
        white: The value that becomes white; None for pixels that are taken as they are.
        is_whole: Whether all values are whole numbers.
        low: The smallest value of the training images.
        high: The largest.
    """

    white: float | None
    is_whole: bool
    low: float
    high: float

    def describe(self) -> str:
        """Returns what white is, in words."""
        if self.white is None:
            return f"pixels from {self.low:.3g} to {self.high:.3g} taken as they are"
        return f"white is {self.white:g}"


def find_scale(images: np.ndarray) -> PixelScale:
    """Returns the scale of the training images.

    Raises:
        UserError: Their type or values have no or several readings.
    """
    name, kind = "x_train", images.dtype.kind
    if kind == "b":
        return PixelScale(white=1, is_whole=True, low=0, high=1)
    if kind not in "iuf":
        raise UserError(
            f"{name} must hold numbers. Received: dtype={images.dtype}.", hint="Convert it with .astype('uint8')."
        )
    _check_finite(name, images)
    low, high = images.min().item(), images.max().item()
    if kind == "f" and (low < 0 or high <= 1):
        white = None if low < 0 else 1
        return PixelScale(white=white, is_whole=False, low=low, high=high)
    if kind == "f" and not _are_whole(images):
        return PixelScale(white=_white_of_fractions(low, high), is_whole=False, low=low, high=high)
    if low < 0 or high > WHITES[-1]:
        raise UserError(
            f"{name} must hold integers from 0 to {WHITES[-1]}, or floats. Received: {low:g} to {high:g}.",
            hint="Save it as floats in [0, 1], or standardized.",
        )
    is_few = 0 < high <= FEW_LEVELS
    return PixelScale(
        white=high if is_few else next(white for white in WHITES if high <= white), is_whole=True, low=low, high=high
    )


def _white_of_fractions(low: float, high: float) -> float:
    """Returns what white is of floats from 0 that are not whole and exceed 1."""
    if high <= 1 + ROUNDING:
        return 1
    if FEW_LEVELS < high <= WHITES[-1] + 0.5:
        return next(white for white in WHITES if high <= white + 0.5)
    raise UserError(
        f"x_train must hold floats in [0, 1] or in [0, 255], or standardized ones. Received: {low:g} to {high:g}.",
        hint="Divide it by what white is.",
    )


def apply_scale(name: str, images: np.ndarray, scale: PixelScale) -> np.ndarray:
    """Returns images as uint8 in 0..255, float32 in [0, 1], or float32 as they are.

    Raises:
        UserError: The images have other values than the training images, from which the scale was taken.
    """
    if images.dtype.kind not in "biuf":
        raise UserError(f"{name} must hold numbers. Received: dtype={images.dtype}.")
    _check_finite(name, images)
    if scale.white is None:
        is_float32 = images.dtype == np.float32
        return images if is_float32 else map_blocks(block.astype(np.float32) for block in blocks_of(images))
    low, high = images.min().item(), images.max().item()
    tolerance = 0 if scale.is_whole else max(ROUNDING, 0.5 * (scale.white > 1))
    is_fraction = images.dtype.kind == "f" and scale.white > 1
    is_other = is_fraction and (0 < high <= 1 or (scale.is_whole and not _are_whole(images)))
    if low < 0 or high > scale.white + tolerance or is_other:
        raise UserError(
            f"{name} holds other pixels than x_train, where white is {scale.white:g}. Expected: 0 to {scale.white:g}. "
            f"Received: {low:g} to {high:g}.",
            hint="Prepare both in the same way.",
        )
    if scale.is_whole and scale.white == 255 and images.dtype == np.uint8:
        return images
    if not scale.is_whole and scale.white == 1 and images.dtype == np.float32 and high <= 1:
        return images
    return map_blocks(_scaled(block, scale, is_above=high > scale.white) for block in blocks_of(images))


def _scaled(images: np.ndarray, scale: PixelScale, *, is_above: bool) -> np.ndarray:
    assert scale.white is not None
    if scale.white == 255 and scale.is_whole:
        return images.astype(np.uint8, copy=False)
    if scale.is_whole and 255 % scale.white == 0:
        scaled: np.ndarray = images.astype(np.uint8) * np.uint8(255 // int(scale.white))
        return scaled
    floats = images.astype(np.float32, copy=False)
    if scale.white != 1:
        floats = floats / np.float32(scale.white)
    clipped: np.ndarray = np.minimum(floats, np.float32(1)) if is_above else floats
    return clipped


def _check_finite(name: str, images: np.ndarray) -> None:
    if images.dtype.kind != "f":
        return
    start = 0
    for block in blocks_of(images):
        if not np.isfinite(block).all():
            index = start + int(np.argwhere(~np.isfinite(block))[0, 0])
            raise UserError(
                f"{name} must hold finite values. Received: NaN or infinity, first in image {index}.",
                hint="Leave such images out.",
            )
        start += len(block)


def _are_whole(images: np.ndarray) -> bool:
    """Returns whether all values are whole numbers."""
    return all(bool((block == np.floor(block)).all()) for block in blocks_of(images))


def flatten_opacity(images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns scaled images with opacity as color on white, as browsers show them; others as they are."""
    return {
        name: map_blocks(map(_on_white, blocks_of(part))) if part.shape[3] == 4 else part
        for name, part in images.items()
    }


def _on_white(images: np.ndarray) -> np.ndarray:
    white = 255.0 if images.dtype == np.uint8 else 1.0
    color, opacity = images[..., :3], images[..., 3:]
    if (opacity == white).all():
        return color
    blended: np.ndarray = (color.astype(np.float32) * opacity + white * (white - opacity.astype(np.float32))) / white
    return blended.round().astype(np.uint8) if images.dtype == np.uint8 else blended


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Returns canonical images as uint8, to show them; standardized ones from their darkest to brightest pixel."""
    if images.dtype == np.uint8:
        return images
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        images = (images - low) / ((high - low) or 1.0)
    shown: np.ndarray = (images * 255).round().astype(np.uint8)
    return shown
