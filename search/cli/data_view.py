"""What ``data show`` prints of a data set: its facts, the images per class and role, and the first images.

Tables and images fit 80 columns. The PNG is the tutorial's figure: the first four training images, two by two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from search.data.dataset import DatasetInfo, LabeledImages, open_test
from search.data.pixels import to_uint8
from search.data.split import SplitIndices, make_folds
from search.errors import UserError
from search.protocol import Split

SPLIT_DESCRIPTIONS = {
    Split.GIVEN: "those that came with the data",
    Split.GROUP: "whole groups, drawn with seed {seed}",
    Split.BLOCK: "the last sixth",
    Split.STRATIFIED: "a sixth of each class, drawn with seed {seed}",
}
"""How each split draws the validation images."""
FOLD_DESCRIPTIONS = {
    Split.GROUP: "whole groups in {folds} parts of about equal size, drawn with seed {seed}",
    Split.BLOCK: "{folds} blocks of the file",
    Split.STRATIFIED: "equal shares of each class in {folds} parts, drawn with seed {seed}",
}
"""How each split divides the training images into folds; given validation images are refused with folds."""
NAMED_CLASSES = 6
IMAGE_COUNT = 4
WIDTH, GAP = 80, 3
"""Characters of a line, and between two images."""
MAX_SIDE = (WIDTH - GAP) // 2
"""Most pixels of an image's side in the terminal, so that two fit beside each other; larger images are thinned."""

SHADES = " .:-=+*#%@"
"""Black to white, for output without colours."""
UPPER_HALF = "\u2580"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetSummary:
    """The images of one role.

    Args:
        name: training, validation or test.
        count: Number of images.
        images: A description of them.
        per_class: Number of images of each class, from class 0.
    """

    name: str
    count: int
    images: str
    per_class: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """A data set under one split.

    Args:
        info: The data set.
        split: How validation images are drawn.
        split_seed: Seed of that draw.
        roles: Training, validation and test.
        constant_error_percent: Test error of always predicting the class that is largest in training.
        folds: Networks of a search trial; with several, each training image trains and validates.
        rare_classes: Names of the classes with fewer training images than folds; some folds validate none of them.
        never_validated: Number of training images that no fold validates.
    """

    info: DatasetInfo
    split: Split
    split_seed: int
    roles: tuple[SubsetSummary, ...]
    constant_error_percent: float
    folds: int = 1
    rare_classes: tuple[str, ...] = ()
    never_validated: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns the summary as a plain dict."""
        return asdict(self)


def summarize_dataset(
    info: DatasetInfo, training: LabeledImages, *, split: Split, seed: int, folds: int = 1
) -> DatasetSummary:
    """Returns the summary of a data set under a split.

    Of the test images it tells the number in each class.

    Raises:
        UserError: The data do not allow the split.
    """
    parts_of_folds = make_folds(training, split=split, seed=seed, folds=folds)
    trained, validated = _describe_fold(parts_of_folds[0]) if folds == 1 else _describe_folds(parts_of_folds)
    training_indices, validation_indices = (
        np.unique(np.concatenate([getattr(part, role) for part in parts_of_folds]))
        for role in ("training", "validation")
    )
    description = SPLIT_DESCRIPTIONS[split].format(seed=seed)
    test, counts = open_test(info), np.bincount(training.labels, minlength=info.classes)
    parts = (
        ("training", trained, training.labels[training_indices]),
        ("validation", validated or description, training.labels[validation_indices]),
        ("test", f"all {info.test_count:,} test images, counted by their labels alone", test.labels),
    )
    roles = tuple(
        SubsetSummary(
            name=name, count=len(labels), images=images, per_class=np.bincount(labels, minlength=info.classes).tolist()
        )
        for name, images, labels in parts
    )
    return DatasetSummary(
        info=info,
        split=split,
        split_seed=seed,
        roles=roles,
        constant_error_percent=100 * float(np.mean(test.labels != counts.argmax())),
        folds=folds,
        rare_classes=tuple(info.class_name(label) for label in np.flatnonzero(counts < folds).tolist()),
        never_validated=len(training.labels) - len(validation_indices) if folds > 1 else 0,
    )


def _describe_fold(indices: SplitIndices) -> tuple[str, str]:
    """Returns which images train and which validate; an empty text where only the split says it."""
    return _range(indices.training) or "all other training images", _range(indices.validation)


def _describe_folds(folds: Sequence[SplitIndices]) -> tuple[str, str]:
    """Returns the same of several folds."""
    trained, validated = (
        sorted({len(fold.training) for fold in folds}),
        sorted({len(fold.validation) for fold in folds}),
    )
    return (
        f"{_between(trained)} images for each of the {len(folds)} networks of a search trial",
        f"the other {_between(validated)} images of each network, together",
    )


def _between(counts: Sequence[int]) -> str:
    """Returns ascending counts as ``48`` or ``48 to 50``."""
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _range(indices: np.ndarray) -> str:
    """Returns ascending indices as ``training images 0 to 49,999``, or "" if they have gaps."""
    first, last = int(indices[0]), int(indices[-1])
    return f"training images {first:,} to {last:,}" if last - first + 1 == len(indices) else ""


def print_summary(summary: DatasetSummary, console: Console) -> None:
    """Prints the summary."""
    console.print(_facts(summary))
    console.print(_counts(summary))


def _facts(summary: DatasetSummary) -> Table:
    """Returns a table of the data set's facts and the images of each role."""
    info = summary.info
    validation_count = summary.roles[1].count
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Data set", info.name)
    table.add_row("SHA-256", info.sha256)
    for number, line in enumerate(info.reading):
        table.add_row("" if number else "Read as", line)
    table.add_row("Split", _describe_split(summary))
    for role in summary.roles:
        table.add_row(role.name.capitalize(), role.images)
    table.add_row("Resolution", f"one validation image is {100 / validation_count:.2g} points of error")
    table.add_row(
        "Constant", f"always predicting the largest class has {summary.constant_error_percent:.1f} % test error"
    )
    for caution in filter(None, (info.caution, _describe_rare(summary))):
        table.add_row("Caution", caution)
    return table


def _describe_split(summary: DatasetSummary) -> str:
    if summary.folds == 1:
        return f"{summary.split}: {SPLIT_DESCRIPTIONS[summary.split].format(seed=summary.split_seed)}"
    return f"{summary.split}: {FOLD_DESCRIPTIONS[summary.split].format(folds=summary.folds, seed=summary.split_seed)}"


def _describe_rare(summary: DatasetSummary) -> str:
    """Returns what folds cannot validate, as a clause; mostly empty."""
    names, more = summary.rare_classes[:NAMED_CLASSES], len(summary.rare_classes) - NAMED_CLASSES
    said = [
        f"some networks validate none of the classes with fewer than {summary.folds} training images: "
        f"{', '.join(names)}{f' and {more:,} more' if more > 0 else ''}"
        if names
        else "",
        f"{summary.never_validated:,} of the training images can be spared by no network, so none validates them"
        if summary.never_validated
        else "",
    ]
    return "; ".join(filter(None, said))


def _counts(summary: DatasetSummary) -> Table:
    """Returns a table of the number of images per class and role."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    table.add_column("Class", "All", justify="right")
    for role in summary.roles:
        table.add_column(role.name.capitalize(), f"{role.count:,}", justify="right")
    for label, counts in enumerate(zip(*(role.per_class for role in summary.roles), strict=True)):
        table.add_row(Text(summary.info.class_name(label)), *(f"{count:,}" for count in counts))
    return table


def _shown_images(labels: np.ndarray) -> list[int]:
    """Returns the numbers of the images to show: the first of each class, then others, since files come by class."""
    firsts = sorted(np.unique(labels, return_index=True)[1].tolist())[:IMAGE_COUNT]
    others = (number for number in range(len(labels)) if number not in firsts)
    return sorted([*firsts, *islice(others, IMAGE_COUNT - len(firsts))])


def print_images(info: DatasetInfo, images: LabeledImages, console: Console) -> None:
    """Draws images of the first classes, two pixels to a character, as many beside each other as fit 80 columns."""
    is_colourless = console.color_system is None or console.no_color or console.options.ascii_only
    draw = _draw_in_shades if is_colourless else _draw_in_colours
    shown = _shown_images(images.labels)
    pixels = [_to_pixels(images.images[number]) for number in shown]
    names = [info.class_name(int(images.labels[number])) for number in shown]
    pictures = [Text(f"class {name}\n") + draw(part) for name, part in zip(names, pixels, strict=False)]
    per_row = max(1, (min(console.width, WIDTH) + GAP) // (pixels[0].shape[1] + GAP))
    for first in range(0, len(pictures), per_row):
        grid = Table.grid(padding=(0, GAP, 0, 0))
        grid.add_row(*pictures[first : first + per_row])
        console.print(grid)
        console.print()


def _to_pixels(image: np.ndarray) -> np.ndarray:
    """Returns an image as (height, width, 3), uint8, thinned to fit, with an even height."""
    step = -(-max(image.shape[:2]) // MAX_SIDE)
    thinned = image[::step, ::step]
    pixels = to_uint8(thinned)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return np.pad(pixels, ((0, len(pixels) % 2), (0, 0), (0, 0)))


def _draw_in_colours(pixels: np.ndarray) -> Text:
    """Draws the upper of two pixels as a character's colour, the lower as its background."""
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
    """Draws the mean of two pixels as a character of the same brightness."""
    grey = pixels.mean(axis=2)
    levels = (grey[::2] + grey[1::2]) / 2 * (len(SHADES) - 1) / 255
    return Text(
        "\n".join("".join(SHADES[level] for level in line) for line in levels.round().astype(int)), no_wrap=True
    )


def save_grid(info: DatasetInfo, images: LabeledImages, path: Path) -> None:
    """Writes images of the first classes as a PNG, two by two, with their classes.

    Raises:
        UserError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5.4), layout="constrained")
    for axes, number in zip(figure.subplots(2, 2).flat, _shown_images(images.labels), strict=False):
        axes.imshow(to_uint8(images.images[number]), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"class {info.class_name(int(images.labels[number]))}", parse_math=False)
        axes.set_axis_off()
    try:
        figure.savefig(path, dpi=150, format="png")
    except OSError as error:
        raise UserError(
            f"The image cannot be written: {error.strerror or error}. Received: out={str(path)!r}.",
            hint="Name a file in a folder that exists and that you may write to, with --out.",
        ) from error
