"""The chosen row's misclassified test images, with true and predicted classes, and its confusion matrix.

The record holds indices and predicted classes; true classes and pixels come from the data set, where it is available.
Called by ``page``.
"""

from __future__ import annotations

import base64
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.data.dataset import LabeledImages
from search.data.pixels import to_uint8
from search.leaderboard.board import Row

MAX_IMAGES = 72
"""Images shown, those that most seeds misclassify first."""
MAX_MATRIX_CLASSES = 20
"""Classes up to which there is a matrix; more are not readable."""
MAX_IMAGE_SIDE = 96
"""Pixels of a side above which an image is downsampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MisclassifiedImage:
    """A test image that at least one seed misclassifies.

    Args:
        index: In the test set, from 0.
        seed_count: Number of seeds that misclassify it.
        true: Its class; None where the data are not available.
        predicted: The predicted classes, the most frequent first; empty where they were not recorded.
        data_uri: The image; empty where the data are not available.
    """

    index: int
    seed_count: int
    true: int | None
    predicted: tuple[int, ...]
    data_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedPair:
    """A pair of confused classes.

    Args:
        true: True class.
        predicted: Predicted class.
        images_per_seed: Mean number of images over seeds.
    """

    true: int
    predicted: int
    images_per_seed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionMatrix:
    """The confused classes.

    Args:
        images_per_class: Test images by class.
        pairs: Confused pairs, the most frequent first.
    """

    images_per_class: tuple[int, ...]
    pairs: tuple[ConfusedPair, ...]

    @property
    def matrix(self) -> tuple[tuple[float, ...], ...]:
        """Mean number of images by true and predicted class; empty with too many classes."""
        classes = range(len(self.images_per_class))
        if len(classes) > MAX_MATRIX_CLASSES:
            return ()
        means = {(pair.true, pair.predicted): pair.images_per_seed for pair in self.pairs}
        return tuple(tuple(means.get((true, predicted), 0.0) for predicted in classes) for true in classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misclassifications:
    """The misclassified test images of one row.

    Args:
        seed_count: Complete test runs.
        image_count: Test images; None where their number was not recorded.
        missed_by_any_seed: Images that at least one seed misclassifies.
        missed_by_all_seeds: Images that every seed misclassifies.
        shown: The first ``MAX_IMAGES`` of them.
        confusion: None where the data or the predictions are not available.
        missing_reason: What cannot be shown, and why; empty where all can.
        class_names: Names of the classes; empty if these are the numbers from 0.
    """

    seed_count: int
    image_count: int | None
    missed_by_any_seed: int
    missed_by_all_seeds: int
    shown: tuple[MisclassifiedImage, ...]
    confusion: ConfusionMatrix | None = None
    missing_reason: str = ""
    class_names: tuple[str, ...] = ()

    def class_name(self, label: int) -> str:
        """Returns the name of a class, or its number."""
        return self.class_names[label] if label < len(self.class_names) else str(label)


def find_misclassifications(row: Row, test: LabeledImages | None) -> Misclassifications | None:
    """Returns a verified row's misclassified images; None where none of its runs recorded them.

    Args:
        row: The row.
        test: The test images; None where they are not available.
    """
    runs = [run for run in row.completed_replicates if run.wrong or run.error_percent == 0.0]
    if not runs:
        return None
    predictions_by_image: dict[int, list[int]] = defaultdict(list)
    for run in runs:
        predicted = run.predicted if len(run.predicted) == len(run.wrong) else (-1,) * len(run.wrong)
        for index, prediction in zip(run.wrong, predicted, strict=True):
            predictions_by_image[index].append(prediction)
    test = test if test is not None and max(predictions_by_image, default=-1) < len(test.labels) else None
    ordered = sorted(predictions_by_image, key=lambda index: (-len(predictions_by_image[index]), index))
    has_predictions = all(min(predictions) >= 0 for predictions in predictions_by_image.values())
    return Misclassifications(
        seed_count=len(runs),
        image_count=runs[0].scored,
        missed_by_any_seed=len(predictions_by_image),
        missed_by_all_seeds=sum(len(found) == len(runs) for found in predictions_by_image.values()),
        shown=tuple(_misclassified_image(index, predictions_by_image[index], test) for index in ordered[:MAX_IMAGES]),
        confusion=_confusion(predictions_by_image, test, len(runs)) if test is not None and has_predictions else None,
        missing_reason=_missing_reason(has_images=test is not None, has_predictions=has_predictions),
        class_names=() if test is None else test.class_names,
    )


def _missing_reason(*, has_images: bool, has_predictions: bool) -> str:
    parts = []
    if not has_images:
        parts.append("The test images are not on this machine, so only the indices are shown.")
    if not has_predictions:
        parts.append("The record, written by an earlier version, does not hold the predicted classes.")
    return " ".join(parts)


def _misclassified_image(index: int, predictions: Sequence[int], test: LabeledImages | None) -> MisclassifiedImage:
    counts = Counter(prediction for prediction in predictions if prediction >= 0)
    return MisclassifiedImage(
        index=index,
        seed_count=len(predictions),
        true=None if test is None else int(test.labels[index]),
        predicted=tuple(sorted(counts, key=lambda predicted: (-counts[predicted], predicted))),
        data_uri="" if test is None else png_data_uri(np.asarray(test.images[index])),
    )


def _confusion(predictions_by_image: Mapping[int, Sequence[int]], test: LabeledImages, seeds: int) -> ConfusionMatrix:
    pairs = Counter(
        (int(test.labels[index]), predicted) for index, found in predictions_by_image.items() for predicted in found
    )
    classes = 1 + max(int(test.labels.max()), *(max(pair) for pair in pairs), 0)
    confused_pairs = [
        ConfusedPair(true=true, predicted=predicted, images_per_seed=count / seeds)
        for (true, predicted), count in pairs.items()
    ]
    return ConfusionMatrix(
        images_per_class=tuple(np.bincount(test.labels, minlength=classes).tolist()),
        pairs=tuple(sorted(confused_pairs, key=lambda pair: (-pair.images_per_seed, pair.true, pair.predicted))),
    )


def png_data_uri(image: np.ndarray) -> str:
    """Returns an image as the data URI of a PNG.

    Args:
        image: (height, width, 1 or 3), uint8 in 0..255 or float32.
    """
    from PIL import Image

    step = -(-max(image.shape[:2]) // MAX_IMAGE_SIDE)
    thinned = image[::step, ::step]
    pixels = to_uint8(thinned)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
