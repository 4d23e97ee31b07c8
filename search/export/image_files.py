"""Loads image files for a model: any size, any format that Pillow reads, dark on light or light on dark.

    DIGIT   as in MNIST: the ink scaled into a box, its centre of mass in the middle of the image
    WHOLE   the whole image, its background as in the training images

Called by ``search.export.classifier``.

Source: Yann LeCun, Corinna Cortes, Christopher J. C. Burges, "The MNIST database of handwritten digits": a box of
20 x 20 pixels with the aspect ratio kept, centred by its centre of mass in 28 x 28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

DIGIT_BOX_SHARE = 20 / 28
"""Side of the box that holds a digit, as a share of the image's side."""
CENTRE_TOLERANCE_SHARE = 1.5 / 28
"""Largest distance of a digit's centre of mass from the middle, as a share of the side; in MNIST it is 1.1 of 28."""
MIN_INK_CONTRAST = 0.2
"""Contrast to the background below which a pixel is not ink, as a share of the strongest contrast."""
INK_THRESHOLD_SIGMAS = 4.0
"""Standard deviations of the background above which a pixel is ink, estimated from the median deviation."""
MIN_COMPONENT_SHARE = 0.05
"""Connected ink below this share of the largest component is removed as dirt."""
MAX_WORKING_SCALE = 20
"""Larger images are first scaled down to this multiple of the model's size."""
WHITE_LEVELS = (1.0, 255.0, 65535.0)
"""Possible values of white in an image of more than 8 bits."""
IMAGE_READ_ERRORS = (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError)
"""Errors that Pillow raises for files that are no images, damaged or too large; SyntaxError for some broken PNGs."""


class ResizeMode(StrEnum):
    """How an image is resized to the model's size."""

    DIGIT = "digit"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """The input of a model.

    Args:
        height: In pixels.
        width: In pixels.
        channels: 1, or 3 for colour.
        resize_mode: How a grey image of another size is resized.
        is_dark: Whether the model was trained on light on dark; for grey images.
        white: Value of a white pixel that the model takes; above 255 also that of files of more than 8 bits.
    """

    height: int
    width: int
    channels: int
    resize_mode: ResizeMode
    is_dark: bool = True
    white: float = 255.0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as Pillow takes it."""
        return self.width, self.height


def load_image(file: Path, input_spec: InputSpec) -> np.ndarray:
    """Returns an image as (height, width, channels), uint8.

    Raises:
        OSError, SyntaxError, ValueError, MemoryError, DecompressionBombError: It cannot be read, or is blank; see
            ``IMAGE_READ_ERRORS``.
    """
    with Image.open(file) as opened:
        image = _to_opaque_8_bit(ImageOps.exif_transpose(opened), input_spec.white)
    if input_spec.channels == 3:
        return np.asarray(ImageOps.fit(image.convert("RGB"), input_spec.size, Image.Resampling.LANCZOS))
    grey = image.convert("L")
    if _has_dark_background(grey) != input_spec.is_dark:
        grey = ImageOps.invert(grey)
    return np.asarray(_RESIZE_FUNCTIONS[input_spec.resize_mode](grey, input_spec))[..., np.newaxis]


def _to_opaque_8_bit(image: Image.Image, training_white: float) -> Image.Image:
    """Returns an image of 8 bits a channel without transparency, in grey or colour."""
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits, or floats
        values = np.asarray(image, dtype=np.float64).clip(0)
        levels = (training_white,) if training_white > 255 else WHITE_LEVELS
        white = next((white for white in levels if values.max() <= white), float(values.max()))
        return Image.fromarray((values * (255 / white)).astype(np.uint8))
    if not image.has_transparency_data:
        return image if image.mode == "L" else image.convert("RGB")
    layered = image.convert("RGBA")
    colours, opacity = np.asarray(layered.convert("L")), np.asarray(layered.getchannel("A"))
    ink = colours[opacity > 127]
    is_light = bool(ink.size) and float(ink.mean()) > 127
    ground = Image.new("RGBA", layered.size, (0, 0, 0, 255) if is_light else (255, 255, 255, 255))
    return Image.alpha_composite(ground, layered).convert("RGB")


def _background_level(grey: Image.Image) -> float:
    """Returns the median grey of the border."""
    return float(np.median(_border(np.asarray(grey))))


def _border(pixels: np.ndarray) -> np.ndarray:
    """Returns the outermost pixels of an image (height, width), which are mostly background."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _has_dark_background(grey: Image.Image) -> bool:
    return _background_level(grey) < 128


def _resize_digit(grey: Image.Image, input_spec: InputSpec) -> Image.Image:
    """Returns the ink scaled into its box, with its centre of mass in the middle, unless the image has it there."""
    original = grey.copy()
    grey.thumbnail((MAX_WORKING_SCALE * input_spec.width, MAX_WORKING_SCALE * input_spec.height))
    ink = _ink_intensity(np.asarray(grey if input_spec.is_dark else ImageOps.invert(grey), dtype=np.float64))
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cropped = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if original.size == input_spec.size and _is_centred_in_its_box(ink, cropped):
        return original
    side = DIGIT_BOX_SHARE * min(input_spec.size) / max(cropped.shape)
    size = (max(1, round(cropped.shape[1] * side)), max(1, round(cropped.shape[0] * side)))
    box = Image.fromarray((cropped * 255).astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    image = Image.new("L", input_spec.size)
    image.paste(box, _centering_offset(np.asarray(box, dtype=np.float64), input_spec))
    return image if input_spec.is_dark else ImageOps.invert(image)


def _is_centred_in_its_box(ink: np.ndarray, cropped: np.ndarray) -> bool:
    """Returns whether ink (height, width) has the size and the place that MNIST gives it.

    Args:
        ink: Of the whole image.
        cropped: Its part that holds ink.
    """
    from scipy import ndimage

    side = min(ink.shape)
    middle = (np.array(ink.shape) - 1) / 2
    distance = float(np.abs(np.array(ndimage.center_of_mass(ink)) - middle).max())
    has_size: bool = abs(max(cropped.shape) - DIGIT_BOX_SHARE * side) <= 1
    return has_size and distance <= CENTRE_TOLERANCE_SHARE * side


def _ink_intensity(grey: np.ndarray) -> np.ndarray:
    """Returns the ink of each pixel (height, width) of a light drawing, in [0, 1], without background and dirt.

    A top hat removes uneven light: what is wider than half the image is background.
    """
    from scipy import ndimage

    ink = ndimage.white_tophat(grey, size=max(3, min(grey.shape) // 2))
    background = _border(ink)  # not all pixels: ink may cover most of an image that is cut close
    middle = float(np.median(background))
    deviation = 1.4826 * float(np.median(np.abs(background - middle)))
    if ink.max() < max(1.0, middle + INK_THRESHOLD_SIGMAS * deviation):
        raise ValueError("nothing is drawn on it")
    ink[ink < max(MIN_INK_CONTRAST * float(ink.max()), middle + INK_THRESHOLD_SIGMAS * deviation)] = 0
    components, count = ndimage.label(ink)
    sizes = ndimage.sum_labels(ink > 0, components, range(1, count + 1))
    ink[~np.isin(components, 1 + np.flatnonzero(sizes >= MIN_COMPONENT_SHARE * sizes.max()))] = 0
    return ink / float(ink.max())


def _centering_offset(box: np.ndarray, input_spec: InputSpec) -> tuple[int, int]:
    """Returns the position (left, top) at which a box's centre of mass is in the middle, as far as it stays inside."""
    rows, columns = np.indices(box.shape)
    left = round(input_spec.width / 2 - float((box * columns).sum() / box.sum()))
    top = round(input_spec.height / 2 - float((box * rows).sum() / box.sum()))
    return min(max(left, 0), input_spec.width - box.shape[1]), min(max(top, 0), input_spec.height - box.shape[0])


def _resize_whole(grey: Image.Image, input_spec: InputSpec) -> Image.Image:
    if grey.size == input_spec.size:
        return grey
    return ImageOps.pad(grey, input_spec.size, Image.Resampling.LANCZOS, color=round(_background_level(grey)))


_RESIZE_FUNCTIONS: Mapping[ResizeMode, Callable[[Image.Image, InputSpec], Image.Image]] = {
    ResizeMode.DIGIT: _resize_digit,
    ResizeMode.WHOLE: _resize_whole,
}
