"""What ``data show`` tells of a data set: its size, and how many images of each class every role gets.

Computes a ``View`` first, then shows it as tables that fit 80 columns, or as JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from search.data.dataset import DatasetInfo, LabeledImages, open_test
from search.data.split import make_split_indices
from search.protocol import Split

SPLIT_DESCRIPTIONS = {
    Split.GROUP: "whole groups, drawn with seed {seed}",
    Split.BLOCK: "the last sixth",
    Split.STRATIFIED: "a sixth of each class, drawn with seed {seed}",
}
"""Splits to the words for their validation images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetSummary:
    """The images of one role.

    Args:
        name: training, validation or test.
        count: Number of images.
        images: Which ones, in words.
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
    """

    info: DatasetInfo
    split: Split
    split_seed: int
    roles: tuple[SubsetSummary, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the view as a plain dict."""
        return asdict(self)


def summarize_dataset(info: DatasetInfo, training: LabeledImages, *, split: Split, seed: int) -> DatasetSummary:
    """Returns the view of a data set under a split; of the test images it opens the labels only.

    Raises:
        UserError: The data do not allow the split.
    """
    indices = make_split_indices(training, split=split, seed=seed)
    description = SPLIT_DESCRIPTIONS[split].format(seed=seed)
    parts = (
        ("training", _range(indices.training) or "all other training images", training.labels[indices.training]),
        ("validation", _range(indices.validation) or description, training.labels[indices.validation]),
        ("test", f"all {info.test_count:,} test images, counted by their labels alone", open_test(info).labels),
    )
    roles = tuple(
        SubsetSummary(
            name=name, count=len(labels), images=images, per_class=np.bincount(labels, minlength=info.classes).tolist()
        )
        for name, images, labels in parts
    )
    return DatasetSummary(info=info, split=split, split_seed=seed, roles=roles)


def _range(indices: np.ndarray) -> str:
    """Returns ascending indices in words, such as ``training images 0 to 49,999``, or nothing where they have gaps."""
    first, last = int(indices[0]), int(indices[-1])
    return f"training images {first:,} to {last:,}" if last - first + 1 == len(indices) else ""


def print_summary(summary: DatasetSummary, console: Console) -> None:
    """Prints the view."""
    console.print(_facts(summary))
    console.print(_counts(summary))


def _facts(summary: DatasetSummary) -> Table:
    """Returns what the data set is and which images have which role."""
    info = summary.info
    height, width, channels = info.image_shape
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Data set", info.name)
    table.add_row("SHA-256", info.sha256)
    table.add_row("Images", f"{height} x {width}, {channels} channel{'s' if channels > 1 else ''}")
    table.add_row("Split", f"{summary.split}: {SPLIT_DESCRIPTIONS[summary.split].format(seed=summary.split_seed)}")
    for role in summary.roles:
        table.add_row(role.name.capitalize(), role.images)
    return table


def _counts(summary: DatasetSummary) -> Table:
    """Returns the number of images of each class in each role."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    table.add_column("Class", "All", justify="right")
    for role in summary.roles:
        table.add_column(role.name.capitalize(), f"{role.count:,}", justify="right")
    for label, counts in enumerate(zip(*(role.per_class for role in summary.roles), strict=True)):
        table.add_row(str(label), *(f"{count:,}" for count in counts))
    return table
