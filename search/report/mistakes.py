"""Mistakes: which test images the winner gets wrong, how many of its seeds do, and which class it takes for which.

The record holds their indices and the classes that were predicted; their true classes and pixels come from the data
set, where it is at hand.
"""

from __future__ import annotations

import base64
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.leaderboard.board import Row
from search.training.data import Images

MOST = 72
"""Images that are shown, those that most seeds miss first."""
MOST_CLASSES = 20
"""Classes up to which there is a table of confusions; a larger one could not be read."""
LARGEST = 96
"""Pixels of a side above which a picture is thinned; it is shown small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A test image that at least one seed gets wrong.

    Args:
        index: Its place in the test set, from 0.
        seeds: How many seeds get it wrong.
        true: Its class; None where the data are not at hand.
        predicted: What it was taken for, the most frequent first; empty where that was not recorded.
        picture: The image as a data URI; empty where the data are not at hand.
    """

    index: int
    seeds: int
    true: int | None
    predicted: tuple[int, ...]
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confused:
    """A pair of classes.

    Args:
        true: The class of the images.
        predicted: What they were taken for.
        mean: Images a seed, on average.
    """

    true: int
    predicted: int
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Which classes are taken for which.

    Args:
        images: Test images by class.
        pairs: Pairs of classes, the most frequent first.
    """

    images: tuple[int, ...]
    pairs: tuple[Confused, ...]

    @property
    def matrix(self) -> tuple[tuple[float, ...], ...]:
        """Images a seed by true and predicted class; empty where there are too many classes for a table."""
        classes = range(len(self.images))
        if len(classes) > MOST_CLASSES:
            return ()
        means = {(pair.true, pair.predicted): pair.mean for pair in self.pairs}
        return tuple(tuple(means.get((true, said), 0.0) for said in classes) for true in classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistakes:
    """The mistakes of one row.

    Args:
        row: The row.
        seeds: Test runs that they are taken over.
        scored: Test images; None where that was not recorded.
        count: Images that at least one seed gets wrong.
        always: Those that every seed gets wrong.
        shown: The first of them.
        confusion: None where the data or the predictions are not at hand.
        missing: What cannot be shown, and why; empty where all can.
    """

    row: Row
    seeds: int
    scored: int | None
    count: int
    always: int
    shown: tuple[Mistake, ...]
    confusion: Confusion | None = None
    missing: str = ""


def mistakes(row: Row, test: Images | None) -> Mistakes | None:
    """Returns a verified row's mistakes; None where none of its runs recorded any.

    Args:
        row: The row.
        test: The test images; None where they are not at hand.
    """
    runs = [run for run in row.complete if run.wrong or run.error_percent == 0.0]
    if not runs:
        return None
    missed: dict[int, list[int]] = defaultdict(list)
    for run in runs:
        predicted = run.predicted if len(run.predicted) == len(run.wrong) else (-1,) * len(run.wrong)
        for index, said in zip(run.wrong, predicted, strict=True):
            missed[index].append(said)
    test = test if test is not None and max(missed, default=-1) < len(test.labels) else None
    ordered = sorted(missed, key=lambda index: (-len(missed[index]), index))
    known = all(said >= 0 for told in missed.values() for said in told)
    return Mistakes(
        row=row,
        seeds=len(runs),
        scored=runs[0].scored,
        count=len(missed),
        always=sum(len(told) == len(runs) for told in missed.values()),
        shown=tuple(_mistake(index, missed[index], test) for index in ordered[:MOST]),
        confusion=_confusion(missed, test, len(runs)) if test is not None and known else None,
        missing=_missing(has_images=test is not None, has_predictions=known),
    )


def _missing(*, has_images: bool, has_predictions: bool) -> str:
    parts = []
    if not has_images:
        parts.append("The test images are not on this machine, so the mistakes are told by their index alone.")
    if not has_predictions:
        parts.append("The record does not say which classes were predicted: an earlier version wrote it.")
    return " ".join(parts)


def _mistake(index: int, said: Sequence[int], test: Images | None) -> Mistake:
    told = Counter(one for one in said if one >= 0)
    return Mistake(
        index=index,
        seeds=len(said),
        true=None if test is None else int(test.labels[index]),
        predicted=tuple(sorted(told, key=lambda one: (-told[one], one))),
        picture="" if test is None else picture(np.asarray(test.images[index])),
    )


def _confusion(missed: Mapping[int, Sequence[int]], test: Images, seeds: int) -> Confusion:
    pairs = Counter((int(test.labels[index]), said) for index, told in missed.items() for said in told)
    classes = 1 + max(int(test.labels.max()), *(max(pair) for pair in pairs), 0)
    found = [Confused(true=true, predicted=said, mean=number / seeds) for (true, said), number in pairs.items()]
    return Confusion(
        images=tuple(np.bincount(test.labels, minlength=classes).tolist()),
        pairs=tuple(sorted(found, key=lambda pair: (-pair.mean, pair.true, pair.predicted))),
    )


def picture(image: np.ndarray) -> str:
    """Returns an image as the data URI of a PNG.

    Args:
        image: (height, width, 1 or 3), uint8 in 0..255 or float32 in [0, 1].
    """
    from PIL import Image

    step = -(-max(image.shape[:2]) // LARGEST)
    thinned = image[::step, ::step]
    pixels = thinned if thinned.dtype == np.uint8 else (thinned * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
