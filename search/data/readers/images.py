"""Decodes image files by Pillow into one array of one size. Used by ``class_folders`` and ``parquet``.

One image at a time is in memory.
"""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from search.data.raw import RawPart
from search.data.read_options import ReadOptions
from search.data.spill import blocks_of, check_space, map_blocks
from search.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 64_000_000
"""Pixels of an image, such as 8,000 x 8,000; decoding one of them takes a quarter of a GiB."""
NAMED_FILES = 3
"""Unreadable files that are named; the others are counted."""
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
"""Grey of more than 8 bits; ``pixels`` finds what white is, from all training images."""
GREY_MODES = ("1", "L", *DEEP_MODES)
OPAQUE_MODES = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")
READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, struct.error, MemoryError)
"""What Pillow raises for files that are damaged or no images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """An encoded image.

    Args:
        name: Its name in messages.
        open: Opens its bytes, or returns its path.
    """

    name: str
    open: Callable[[], Path | BinaryIO]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedImages:
    """Images in one array.

    Args:
        images: (count, height, width, 1 or 3), as a memory map; uint8, or float32 if all sources have more than 8 bits.
        indices: Which of the sources they are, ascending.
        formats: Their formats, such as "JPEG", with how many there are.
        unreadable: Names of the sources that could not be read.
        sizes: What sizes they had if they were resized, such as "32 x 32" or "7 sizes"; else empty.
    """

    images: np.ndarray
    indices: np.ndarray
    formats: Counter[str]
    unreadable: tuple[str, ...]
    sizes: str

    @property
    def kind(self) -> str:
        """The images in the plural, such as "JPEGs"."""
        return f"{next(iter(self.formats))}s" if len(self.formats) == 1 else "images"

    @property
    def notes(self) -> tuple[str, ...]:
        """A line on the files that could not be read, if there are any."""
        if not self.unreadable:
            return ()
        count = len(self.unreadable)
        more = f" and {count - NAMED_FILES:,} more" if count > NAMED_FILES else ""
        return (f"left out, as not readable: {', '.join(self.unreadable[:NAMED_FILES])}{more}",)


def decode_images(sources: Callable[[], Iterable[ImageSource]], options: ReadOptions, *, where: str) -> DecodedImages:
    """Returns all images in one size: that of the options, else their own, else the median.

    Color where any image has color, unless the options say otherwise.

    Args:
        sources: Lists the images; called twice, as their sizes are known only after all headers were read.
        options: Image size and channels.
        where: The file or folder, for messages.

    Raises:
        UserError: An image is too large, half of them or more are unreadable, or all do not fit on the disk.
    """
    shapes, formats, modes, unreadable = list[tuple[int, int]](), Counter[str](), set[str](), dict[int, str]()
    count = 0
    for index, source in enumerate(sources()):
        count += 1
        with _opened(source) as image:
            if image is None:
                unreadable[index] = source.name
            else:
                shapes.append(image.size[::-1])
                formats[image.format or "image"] += 1
                modes.add(image.mode)
    _check_readable(unreadable, count, where)
    height, width = options.image_size or tuple(round(side) for side in np.median(shapes, axis=0))
    channels = options.channels or (1 if modes <= set(GREY_MODES) else 3)
    dtype = np.dtype(np.float32 if modes <= set(DEEP_MODES) else np.uint8)
    size = len(shapes) * height * width * channels * dtype.itemsize
    check_space(f"All images of {where} at {height} x {width}", size)
    is_grey = True

    def decode() -> Iterator[np.ndarray]:
        nonlocal is_grey
        for index, source in enumerate(sources()):
            if index in unreadable:
                continue
            with _opened(source) as image:
                pixels = None if image is None else _decode(image, (height, width), channels, dtype)
            if pixels is None:
                unreadable[index] = source.name
            else:
                is_grey = is_grey and bool((pixels[..., :1] == pixels[..., 1:]).all())
                yield pixels[np.newaxis]

    images = map_blocks(decode())
    _check_readable(unreadable, count, where)
    if options.channels is None and channels == 3 and is_grey:
        images = map_blocks(block[..., :1] for block in blocks_of(images))
    return DecodedImages(
        images=images,
        indices=np.array([index for index in range(count) if index not in unreadable]),
        formats=formats,
        unreadable=tuple(unreadable[index] for index in sorted(unreadable)),
        sizes=_describe_sizes(set(shapes), (height, width)),
    )


def _describe_sizes(found: Set[tuple[int, int]], size: tuple[int, int]) -> str:
    """Returns the sizes of images that were resized, in words; empty if all had that size."""
    if len(found) > 1:
        return f"{len(found):,} sizes"
    ((height, width),) = found
    return "" if (height, width) == size else f"{height} x {width}"


def split_parts(decoded: DecodedImages, parts: Sequence[str], labels: Sequence[object]) -> Mapping[str, RawPart]:
    """Returns the images that could be decoded by part.

    Args:
        decoded: The images.
        parts: The part of each source; those of one part are neighbors.
        labels: The label of each source.

    Raises:
        UserError: No training image is among them.
    """
    kept_parts, kept_labels = np.array(parts)[decoded.indices], np.array(labels)[decoded.indices]
    found = {}
    for part in dict.fromkeys(kept_parts.tolist()):
        places = np.flatnonzero(kept_parts == part)
        members = slice(places[0], places[-1] + 1)
        found[part] = RawPart(images=decoded.images[members], labels=kept_labels[members])
    if "train" not in found:
        raise UserError("No training image can be read.", hint="Name the folder or file of the training images train.")
    return found


def _check_readable(unreadable: Mapping[int, str], count: int, where: str) -> None:
    if 2 * len(unreadable) >= count:
        raise UserError(
            f"{len(unreadable)} of {count} images cannot be read. Received: {where}.",
            hint="Check that the files are images that Pillow can open, and copy them again if they are damaged.",
        )


@contextmanager
def _opened(source: ImageSource) -> Iterator[Image.Image | None]:
    """Yields an image, of which only the header was read; None if it is no image.

    Raises:
        UserError: It has more than ``MAX_PIXELS`` pixels.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below; other warnings concern single files
            image: Any = Image.open(source.open())
    except Image.DecompressionBombError as error:
        raise _too_large_error(source.name, str(error).rstrip(".")) from error
    except READ_ERRORS:
        yield None
        return
    with image:
        if image.size[0] * image.size[1] > MAX_PIXELS:
            raise _too_large_error(source.name, f"{image.size[1]:,} x {image.size[0]:,}")
        yield image


def _too_large_error(name: str, received: str) -> UserError:
    return UserError(
        f"The image {name} is too large. Expected: at most {MAX_PIXELS:,} pixels. Received: {received}.",
        hint="Make it smaller, or leave it out.",
    )


def _decode(image: Image.Image, size: tuple[int, int], channels: int, dtype: np.dtype) -> np.ndarray | None:
    """Returns an image's pixels, (height, width, channels), float32 as they are or uint8; None if it is damaged."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.draft(
                "RGB" if channels == 3 else "L", (4 * size[1], 4 * size[0])
            )  # JPEGs decode smaller; others ignore it
            upright = ImageOps.exif_transpose(image)
            flat = upright.convert("F") if dtype == np.float32 else _to_8_bits(upright, channels)
    except READ_ERRORS:
        return None
    if flat.size != (size[1], size[0]):
        flat = flat.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(flat).reshape(*size, -1)
    return np.broadcast_to(pixels, (*size, channels))


def _to_8_bits(image: Image.Image, channels: int) -> Image.Image:
    """Returns an image in grey or color, of 8 bits a channel; one of 16 bits stands among others of 8."""
    from PIL import Image

    if image.mode.startswith("I"):
        values = np.asarray(image)
        image = Image.fromarray((values // 257 if values.max(initial=0) > 255 else values).astype(np.uint8))
    return _without_opacity(image).convert("L" if channels == 1 else "RGB")


def _without_opacity(image: Image.Image) -> Image.Image:
    """Returns an image on white, as browsers show it; a drawing on a transparent ground is black without this."""
    from PIL import Image

    if image.mode in OPAQUE_MODES or (image.mode == "P" and "transparency" not in image.info):
        return image
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, (255, 255, 255, 255)), layered)
