"""A data set as it stands in its files, and the options by which it is read.

Made by ``search.data.readers``; brought into one form by ``search.data.canonical``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search.errors import UserError

MAX_SIDE = 4096
"""Largest height or width that ``--image-size`` takes."""
_IMAGE_SIZE = re.compile(r"(\d+)(?:\s*[x×]\s*(\d+))?")  # noqa: RUF001 - people paste the multiplication sign


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How a data set is read. Part of its identity, since its hash is that of the arrays that are made.

    Args:
        image_size: (height, width) in pixels to which all images are resized; None for the size that they have, or
            the median of images of several sizes.
        test_share: Share of the images that is held out for testing, in (0, 1); None for
            ``search.data.holdout.DEFAULT_TEST_SHARE`` where the data have no test images.
        transpose: Whether rows and columns of all images are exchanged.
        channels: 1 for grey, 3 for color; None for what the images have.
    """

    image_size: tuple[int, int] | None = None
    test_share: float | None = None
    transpose: bool = False
    channels: int | None = None

    def __post_init__(self) -> None:
        if self.image_size is not None and not all(1 <= side <= MAX_SIDE for side in self.image_size):
            height, width = self.image_size
            raise UserError(
                f"Images are 1 to {MAX_SIDE} pixels high and wide. Received: --image-size {height}x{width}."
            )
        if self.test_share is not None and not (math.isfinite(self.test_share) and 0 < self.test_share < 1):
            raise UserError(
                f"A share lies between 0 and 1. Received: --test-share {self.test_share:g}.",
                hint="Hold out 15 % with --test-share 0.15.",
            )
        if self.channels not in (None, 1, 3):
            raise UserError(f"Images have 1 channel (grey) or 3 (color). Received: --channels {self.channels}.")


def parse_image_size(text: str) -> tuple[int, int]:
    """Returns (height, width) of a text such as ``64`` or ``48x64``.

    Raises:
        UserError: The text has another form.
    """
    match = _IMAGE_SIZE.fullmatch(text.strip())
    if not match:
        raise UserError(f"An image size is such as 64, or 48x64 (height x width). Received: {text!r}.")
    return int(match[1]), int(match[2] or match[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawPart:
    """The training, validation or test images as they stand in a file.

    Args:
        images: Of any shape and type that ``search.data.shapes`` and ``search.data.pixels`` understand.
        labels: Of any form that ``search.data.labels`` understands.
        groups: (count,) integers or strings, or None.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawDataset:
    """A data set as it stands in its files.

    Args:
        parts: By name: "train", and perhaps "val" and "test".
        source: What the images are, in the plural, such as "JPEGs in 10 folders".
        class_names: Names of the classes if labels are indices into them, else empty.
        notes: What the user should know of the reading, such as files that were left out.
        is_resized: Whether the reader has applied the image size and the channels of the options.
    """

    parts: Mapping[str, RawPart]
    source: str
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_resized: bool = False


def raw_from_arrays(arrays: Mapping[str, np.ndarray], source: str) -> RawDataset:
    """Returns the data set of arrays with their usual names, ``x_train``, ``y_train`` and so on."""
    parts = {
        part: RawPart(images=arrays[f"x_{part}"], labels=arrays[f"y_{part}"], groups=arrays.get(f"groups_{part}"))
        for part in ("train", "val", "test")
        if f"x_{part}" in arrays
    }
    return RawDataset(parts=parts, source=source)
