"""The split of the training images into training and validation images, once or in folds.

``protocol.Split`` explains the ways.

Uses labels and groups only, and no test data. Called when a study is planned and when a phase's images are opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from search.data.dataset import DatasetInfo, LabeledImages
from search.data.holdout import nearest_groups
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


def default_split(info: DatasetInfo, folds: int = 1) -> Split:
    """Returns the default split: as given if the data say so.

    Else, and with several folds, it is by groups if there are some, else stratified.
    """
    if info.given_validation and folds == 1:
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


def make_folds(images: LabeledImages, *, split: Split, seed: int, folds: int) -> tuple[SplitIndices, ...]:
    """Returns the training and validation images of each fold; one fold is the split of ``make_split_indices``.

    Of several, each validates another part, of about equal size; together they validate each image once. But images
    without which a fold would have nothing of their class to train on are validated in none, with ``group`` nor are
    their groups.

    Args:
        images: The training images.
        split: How the parts are drawn.
        seed: Of the draw.
        folds: Their number.

    Raises:
        UserError: There are too few images or groups, or a block is lopsided.
    """
    if folds == 1:
        return (make_split_indices(images, split=split, seed=seed),)
    fold_of = FOLD_ASSIGNMENTS[split](images, folds, np.random.default_rng(seed))
    _keep_classes_in_training(fold_of, images.labels, images.groups if split is Split.GROUP else None)
    if missing := set(range(folds)) - set(fold_of.tolist()):
        raise UserError(
            f"{len(missing)} of the folds have no image to validate on. Received: --folds {folds} --split {split}, "
            f"{len(fold_of)} images, {np.count_nonzero(fold_of >= 0)} of which can be spared from training.",
            hint="Use fewer folds." if split is Split.STRATIFIED else "Use fewer folds, or --split stratified.",
        )
    return tuple(
        SplitIndices(training=np.flatnonzero(fold_of != fold), validation=np.flatnonzero(fold_of == fold))
        for fold in range(folds)
    )


def _assign_stratified(images: LabeledImages, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Deals the images of a random order sorted by class to the folds in turn, but for the only one of a class."""
    order = rng.permutation(len(images.labels))
    by_class = order[np.argsort(images.labels[order], kind="stable")]
    dealt = by_class[np.bincount(images.labels)[images.labels[by_class]] > 1]
    fold_of = np.full(len(order), -1, dtype=np.int64)
    fold_of[dealt] = np.arange(len(dealt)) % folds
    return fold_of


def _assign_groups(images: LabeledImages, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Puts each group, in random order and the largest first, into the fold with the fewest images so far."""
    names, group_of, sizes = np.unique(_groups_of(images), return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    counts, fold_of_group = np.zeros(folds, dtype=np.int64), np.empty(len(names), dtype=np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        fold_of_group[group] = counts.argmin()
        counts[fold_of_group[group]] += sizes[group]
    fold_of: np.ndarray = fold_of_group[group_of]
    return fold_of


def _assign_blocks(images: LabeledImages, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Cuts the file into blocks; not random."""
    count = len(images.labels)
    fold_of = np.arange(count) * folds // count
    for fold in range(folds):
        _check_block_classes(images.labels, np.flatnonzero(fold_of == fold), "A block")
    return fold_of


def _refuse_given(images: LabeledImages, folds: int, rng: np.random.Generator) -> np.ndarray:
    raise UserError(
        f"Folds validate on all training images, not on given ones. Received: --split given --folds {folds}.",
        hint="Leave --split or --folds out.",
    )


FOLD_ASSIGNMENTS: Mapping[Split, Callable[[LabeledImages, int, np.random.Generator], np.ndarray]] = {
    Split.GIVEN: _refuse_given,
    Split.GROUP: _assign_groups,
    Split.BLOCK: _assign_blocks,
    Split.STRATIFIED: _assign_stratified,
}
"""The functions that return the number of the fold that validates each image, (count,) int64, by split."""


def _keep_classes_in_training(fold_of: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> None:
    """Sets the fold of images to -1 that a fold cannot spare: those of a class that only this fold would validate.

    Args:
        fold_of: (count,), changed in place.
        labels: (count,).
        groups: (count,), of which whole ones are set; None to set single images.
    """
    while True:
        folds_of_class = {label: np.unique(fold_of[labels == label]) for label in np.unique(labels)}
        scarce = [label for label, found in folds_of_class.items() if len(found) == 1 and found[0] >= 0]
        if not scarce:
            return
        kept = np.isin(labels, scarce)
        fold_of[kept if groups is None else np.isin(groups, groups[kept])] = -1


def _select_groups(images: LabeledImages, rng: np.random.Generator) -> np.ndarray:
    """Takes whole groups, about a sixth of the images; none that holds the last training images of a class."""
    groups = _groups_of(images)
    if len(np.unique(groups)) < 2:
        raise UserError("A split by groups needs at least two groups. Received: 1.")
    return nearest_groups(groups, images.labels, len(groups) // VALIDATION_DIVISOR, rng)


def _groups_of(images: LabeledImages) -> np.ndarray:
    if images.groups is None:
        raise UserError(
            "A split by groups needs groups_train in the data set. Received: none.",
            hint="Add groups_train to the .npz file, or use --split stratified.",
        )
    return images.groups


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
    _check_block_classes(images.labels, block, "The last sixth")
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


def _check_block_classes(labels: np.ndarray, block: np.ndarray, name: str) -> None:
    overall = np.bincount(labels)
    received = np.bincount(labels[block], minlength=len(overall))
    expected = overall * len(block) / len(labels)
    lopsided = np.flatnonzero((received < expected / MAX_CLASS_IMBALANCE) | (received > expected * MAX_CLASS_IMBALANCE))
    if len(lopsided):
        label = lopsided[0]
        raise UserError(
            f"{name} of the training images is lopsided. Expected: about {expected[label]:.0f} of the "
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
