"""Pictures: the first images of a data set, in the terminal and as a PNG.

The PNG is the tutorial's figure: the first four training images in grey, two by two. Called by ``data show``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from search.data.dataset import LabeledImages
from search.errors import UserError

COUNT = 4
WIDTH = 80
GAP = 3
LARGEST = (WIDTH - GAP) // 2
"""Pixels that a side may have in the terminal, so that two pictures fit beside each other; larger ones are thinned."""

SHADES = " .:-=+*#%@"
"""Black to white, where there are no colours: in a file, or where the user wants none."""

UPPER_HALF = "\u2580"


def print_images(images: LabeledImages, console: Console) -> None:
    """Draws the first images, two pixels to a character, as many side by side as fit 80 columns."""
    colourless = console.color_system is None or console.no_color or console.options.ascii_only
    draw = _draw_in_shades if colourless else _draw_in_colours
    pixels = [_to_pixels(image) for image in images.images[:COUNT]]
    pictures = [Text(f"class {label}\n") + draw(part) for label, part in zip(images.labels, pixels, strict=False)]
    per_row = max(1, (min(console.width, WIDTH) + GAP) // (pixels[0].shape[1] + GAP))
    for first in range(0, len(pictures), per_row):
        grid = Table.grid(padding=(0, GAP, 0, 0))
        grid.add_row(*pictures[first : first + per_row])
        console.print(grid)
        console.print()


def _to_pixels(image: np.ndarray) -> np.ndarray:
    """Returns an image as (height, width, red green blue), uint8, thinned to fit and of an even height."""
    step = -(-max(image.shape[:2]) // LARGEST)
    thinned = image[::step, ::step]
    pixels = thinned if thinned.dtype == np.uint8 else (thinned * 255).round().astype(np.uint8)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return np.pad(pixels, ((0, len(pixels) % 2), (0, 0), (0, 0)))


def _draw_in_colours(pixels: np.ndarray) -> Text:
    """Draws the upper of two pixels in a character's own colour, the lower in its background's."""
    lines = (
        Text.assemble(
            *((UPPER_HALF, Style(color=_colour(up), bgcolor=_colour(low))) for up, low in zip(*pair, strict=True))
        )
        for pair in zip(pixels[::2], pixels[1::2], strict=True)
    )
    return Text("\n", no_wrap=True).join(lines)


def _colour(pixel: np.ndarray) -> Color:
    red, green, blue = pixel.tolist()
    return Color.from_rgb(red, green, blue)


def _draw_in_shades(pixels: np.ndarray) -> Text:
    """Draws the mean of two pixels as a character that covers as much of its cell as they are bright."""
    grey = pixels.mean(axis=2)
    levels = (grey[::2] + grey[1::2]) / 2 * (len(SHADES) - 1) / 255
    return Text(
        "\n".join("".join(SHADES[level] for level in line) for line in levels.round().astype(int)), no_wrap=True
    )


def save_grid(images: LabeledImages, path: Path) -> None:
    """Writes the first images as a PNG, two by two, each under its class.

    Raises:
        UserError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5.4), layout="constrained")
    for axes, image, label in zip(figure.subplots(2, 2).flat, images.images, images.labels, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
        axes.set_title(f"class {label}")
        axes.set_axis_off()
    try:
        figure.savefig(path, dpi=150, format="png")
    except OSError as error:
        raise UserError(
            f"The picture cannot be written: {error.strerror or error}. Received: out={str(path)!r}.",
            hint="Give --out a path in a folder that exists and can be written.",
        ) from error
