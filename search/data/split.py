"""The split of the training images into training and validation images; ``protocol.Split`` explains the ways.

Uses labels and groups only, and no test data. Called when a study is planned and when a phase's images are opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from search.data.dataset import DatasetInfo, LabeledImages
from search.data.holdout import nearest_groups
from search.data.sources import MNIST_SHA256
from search.errors import UserError
from search.protocol import Split

VALIDATION_DIVISOR = 6
"""Validation gets one image in six: 10,000 of MNIST's 60,000, as many as the test set holds."""

MAX_CLASS_IMBALANCE = 2.0
"""A class may be this many times rarer or more frequent in a block than in all training images."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitIndices:
    """The indices of the training and validation images.

    Args:
        training: Ascending indices, (count,) int64.
        validation: Ascending indices of all others, (count,) int64.
    """

    training: np.ndarray
    validation: np.ndarray


def default_split(info: DatasetInfo) -> Split:
    """Returns the default split: by block for MNIST, as in all earlier studies of it; as given if the data say so.

    Else it is by groups if there are some, else stratified.
    """
    if info.sha256 == MNIST_SHA256:
        return Split.BLOCK
    if info.given_validation:
        return Split.GIVEN
    return Split.GROUP if info.has_groups else Split.STRATIFIED


def make_split_indices(images: LabeledImages, *, split: Split, seed: int) -> SplitIndices:
    """Returns the split of the training images; the same seed gives the same split.

    Raises:
        UserError: There are too few images, the data have no groups, or a class is missing or lopsided.
    """
    count = len(images.labels)
    if count < VALIDATION_DIVISOR:
        raise UserError(f"A split needs at least {VALIDATION_DIVISOR} training images. Received: {count}.")
    is_validation = np.zeros(count, dtype=bool)
    is_validation[VALIDATION_SELECTORS[split](images, np.random.default_rng(seed))] = True
    indices = SplitIndices(training=np.flatnonzero(~is_validation), validation=np.flatnonzero(is_validation))
    _check_classes(images.labels, indices)
    return indices


def _select_groups(images: LabeledImages, rng: np.random.Generator) -> np.ndarray:
    """Takes whole groups, about a sixth of the images; none that holds the last training images of a class."""
    if images.groups is None:
        raise UserError(
            "A split by groups needs groups_train in the data set. Received: none.",
            hint="Add groups_train to the .npz file, or use --split stratified.",
        )
    if len(np.unique(images.groups)) < 2:
        raise UserError("A split by groups needs at least two groups. Received: 1.")
    return nearest_groups(images.groups, images.labels, len(images.groups) // VALIDATION_DIVISOR, rng)


def _select_given(images: LabeledImages, rng: np.random.Generator) -> np.ndarray:
    """Takes the validation images that came with the data; not random."""
    if images.is_validation is None:
        raise UserError(
            "The data have no validation images of their own. Received: --split given.",
            hint="Leave --split out; files may hold them as x_val and y_val, folders as val/.",
        )
    return np.flatnonzero(images.is_validation)


def _select_last_block(images: LabeledImages, rng: np.random.Generator) -> np.ndarray:
    """Takes the last sixth; not random."""
    count = len(images.labels)
    block = np.arange(count - count // VALIDATION_DIVISOR, count)
    _check_block_classes(images.labels, block)
    return block


def _select_stratified(images: LabeledImages, rng: np.random.Generator) -> np.ndarray:
    """Takes every sixth image of a random order sorted by class, which meets the share of each class to one image.

    Of a class that this leaves out, the first is taken. The only image of a class is never taken.
    """
    order = rng.permutation(len(images.labels))
    by_class = order[np.argsort(images.labels[order], kind="stable")]
    _, first, counts = np.unique(images.labels[by_class], return_index=True, return_counts=True)
    is_taken = np.arange(len(by_class)) % VALIDATION_DIVISOR == VALIDATION_DIVISOR - 1
    taken_of_class = np.add.reduceat(is_taken.astype(int), first)
    is_taken[first[taken_of_class == 0]] = True
    is_taken[first[counts == 1]] = False
    taken: np.ndarray = by_class[is_taken]
    return taken


VALIDATION_SELECTORS: Mapping[Split, Callable[[LabeledImages, np.random.Generator], np.ndarray]] = {
    Split.GIVEN: _select_given,
    Split.GROUP: _select_groups,
    Split.BLOCK: _select_last_block,
    Split.STRATIFIED: _select_stratified,
}
"""The functions that return the indices of the validation images, by split."""


def _check_block_classes(labels: np.ndarray, block: np.ndarray) -> None:
    overall = np.bincount(labels)
    received = np.bincount(labels[block], minlength=len(overall))
    expected = overall * len(block) / len(labels)
    lopsided = np.flatnonzero((received < expected / MAX_CLASS_IMBALANCE) | (received > expected * MAX_CLASS_IMBALANCE))
    if len(lopsided):
        label = lopsided[0]
        raise UserError(
            f"The last sixth of the training images is lopsided. Expected: about {expected[label]:.0f} of the "
            f"{overall[label]} images of class {label}. Received: {received[label]}.",
            hint="Use --split stratified, or --split group if the data have groups.",
        )


def _check_classes(labels: np.ndarray, indices: SplitIndices) -> None:
    """Raises a UserError where nothing is left to validate on, or nothing of a class to train on."""
    if not len(indices.validation):
        raise UserError(
            "No image can be used for validation: each class would lose its last training image. "
            f"Received: {len(labels)} images of {len(np.unique(labels))} classes.",
            hint="Give the classes more images; with groups, --split stratified needs only two of a class.",
        )
    missing = np.setdiff1d(labels, labels[indices.training])
    if len(missing):
        count = np.count_nonzero(labels == missing[0])
        raise UserError(
            f"No image of class {missing[0]} is left to train on. Received: {count} in all, every one of them for "
            "validation.",
            hint="Use --split stratified, which keeps images of each class for training.",
        )
