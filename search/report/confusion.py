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

from search.data.dataset import LabeledImages
from search.leaderboard.board import Row

MAX_IMAGES = 72
"""Images that are shown, those that most seeds miss first."""
MAX_MATRIX_CLASSES = 20
"""Classes up to which there is a table of confusions; a larger one could not be read."""
MAX_IMAGE_SIDE = 96
"""Pixels of a side above which a picture is thinned; it is shown small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MisclassifiedImage:
    """A test image that at least one seed gets wrong.

    Args:
        index: Its place in the test set, from 0.
        seed_count: How many seeds get it wrong.
        true: Its class; None where the data are not at hand.
        predicted: What it was taken for, the most frequent first; empty where that was not recorded.
        data_uri: The image as a data URI; empty where the data are not at hand.
    """

    index: int
    seed_count: int
    true: int | None
    predicted: tuple[int, ...]
    data_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedPair:
    """A pair of classes.

    Args:
        true: The class of the images.
        predicted: What they were taken for.
        images_per_seed: Images a seed, on average.
    """

    true: int
    predicted: int
    images_per_seed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionMatrix:
    """Which classes are taken for which.

    Args:
        images_per_class: Test images by class.
        pairs: Pairs of classes, the most frequent first.
    """

    images_per_class: tuple[int, ...]
    pairs: tuple[ConfusedPair, ...]

    @property
    def matrix(self) -> tuple[tuple[float, ...], ...]:
        """Images a seed by true and predicted class; empty where there are too many classes for a table."""
        classes = range(len(self.images_per_class))
        if len(classes) > MAX_MATRIX_CLASSES:
            return ()
        means = {(pair.true, pair.predicted): pair.images_per_seed for pair in self.pairs}
        return tuple(tuple(means.get((true, said), 0.0) for said in classes) for true in classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misclassifications:
    """The mistakes of one row.

    Args:
        row: The row.
        seed_count: Test runs that they are taken over.
        image_count: Test images; None where that was not recorded.
        missed_by_any_seed: Images that at least one seed gets wrong.
        missed_by_all_seeds: Those that every seed gets wrong.
        shown: The first of them.
        confusion: None where the data or the predictions are not at hand.
        missing_reason: What cannot be shown, and why; empty where all can.
    """

    row: Row
    seed_count: int
    image_count: int | None
    missed_by_any_seed: int
    missed_by_all_seeds: int
    shown: tuple[MisclassifiedImage, ...]
    confusion: ConfusionMatrix | None = None
    missing_reason: str = ""


def find_misclassifications(row: Row, test: LabeledImages | None) -> Misclassifications | None:
    """Returns a verified row's mistakes; None where none of its runs recorded any.

    Args:
        row: The row.
        test: The test images; None where they are not at hand.
    """
    runs = [run for run in row.completed_replicates if run.wrong or run.error_percent == 0.0]
    if not runs:
        return None
    predictions_by_image: dict[int, list[int]] = defaultdict(list)
    for run in runs:
        predicted = run.predicted if len(run.predicted) == len(run.wrong) else (-1,) * len(run.wrong)
        for index, said in zip(run.wrong, predicted, strict=True):
            predictions_by_image[index].append(said)
    test = test if test is not None and max(predictions_by_image, default=-1) < len(test.labels) else None
    ordered = sorted(predictions_by_image, key=lambda index: (-len(predictions_by_image[index]), index))
    has_predictions = all(said >= 0 for told in predictions_by_image.values() for said in told)
    return Misclassifications(
        row=row,
        seed_count=len(runs),
        image_count=runs[0].scored,
        missed_by_any_seed=len(predictions_by_image),
        missed_by_all_seeds=sum(len(told) == len(runs) for told in predictions_by_image.values()),
        shown=tuple(_misclassified_image(index, predictions_by_image[index], test) for index in ordered[:MAX_IMAGES]),
        confusion=_confusion(predictions_by_image, test, len(runs)) if test is not None and has_predictions else None,
        missing_reason=_missing_reason(has_images=test is not None, has_predictions=has_predictions),
    )


def _missing_reason(*, has_images: bool, has_predictions: bool) -> str:
    parts = []
    if not has_images:
        parts.append("The test images are not on this machine, so the mistakes are told by their index alone.")
    if not has_predictions:
        parts.append("The record does not say which classes were predicted: an earlier version wrote it.")
    return " ".join(parts)


def _misclassified_image(index: int, predictions: Sequence[int], test: LabeledImages | None) -> MisclassifiedImage:
    counts = Counter(one for one in predictions if one >= 0)
    return MisclassifiedImage(
        index=index,
        seed_count=len(predictions),
        true=None if test is None else int(test.labels[index]),
        predicted=tuple(sorted(counts, key=lambda one: (-counts[one], one))),
        data_uri="" if test is None else png_data_uri(np.asarray(test.images[index])),
    )


def _confusion(predictions_by_image: Mapping[int, Sequence[int]], test: LabeledImages, seeds: int) -> ConfusionMatrix:
    pairs = Counter((int(test.labels[index]), said) for index, told in predictions_by_image.items() for said in told)
    classes = 1 + max(int(test.labels.max()), *(max(pair) for pair in pairs), 0)
    confused_pairs = [
        ConfusedPair(true=true, predicted=said, images_per_seed=number / seeds)
        for (true, said), number in pairs.items()
    ]
    return ConfusionMatrix(
        images_per_class=tuple(np.bincount(test.labels, minlength=classes).tolist()),
        pairs=tuple(sorted(confused_pairs, key=lambda pair: (-pair.images_per_seed, pair.true, pair.predicted))),
    )


def png_data_uri(image: np.ndarray) -> str:
    """Returns an image as the data URI of a PNG.

    Args:
        image: (height, width, 1 or 3), uint8 in 0..255 or float32 in [0, 1].
    """
    from PIL import Image

    step = -(-max(image.shape[:2]) // MAX_IMAGE_SIDE)
    thinned = image[::step, ::step]
    pixels = thinned if thinned.dtype == np.uint8 else (thinned * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
