"""The options by which a data set is read. Imports no library, so that command lines can check them at once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

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

    @property
    def words(self) -> tuple[str, ...]:
        """Words for the name of a study of data that are read so, such as "64x64"; none for data as they are."""
        height, width = self.image_size or (0, 0)
        return (
            *([f"{height}x{width}"] if self.image_size else []),
            *([f"test{100 * self.test_share:g}"] if self.test_share is not None else []),
            *(["transposed"] if self.transpose else []),
            *([{1: "grey", 3: "color"}[self.channels]] if self.channels else []),
        )


def parse_image_size(text: str) -> tuple[int, int]:
    """Returns (height, width) of a text such as ``64`` or ``48x64``.

    Raises:
        UserError: The text has another form.
    """
    match = _IMAGE_SIZE.fullmatch(text.strip())
    if not match:
        raise UserError(f"An image size is such as 64, or 48x64 (height x width). Received: {text!r}.")
    return int(match[1]), int(match[2] or match[1])


def parse_share(text: str) -> float:
    """Returns the share in a text such as ``0.15`` or ``15%``.

    Raises:
        UserError: The text has another form.
    """
    number, percent, _ = text.strip().partition("%")
    try:
        return float(number) / (100 if percent else 1)
    except ValueError:
        raise UserError(f"A share is such as 0.15 or 15%. Received: {text!r}.") from None


def make_read_options(
    *, image_size: str | None, test_share: float | None, transpose: bool, channels: int | None
) -> ReadOptions:
    """Returns the options from values as a user gives them.

    Raises:
        UserError: A value is out of range.
    """
    size = None if image_size is None else parse_image_size(image_size)
    return ReadOptions(image_size=size, test_share=test_share, transpose=transpose, channels=channels)
