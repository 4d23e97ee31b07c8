"""Holds out test images where a data set has none. Called by ``canonical``; ``split`` draws whole groups by it."""

from __future__ import annotations

import numpy as np

from search.errors import UserError

DEFAULT_TEST_SHARE = 0.15
HOLDOUT_SEED = 0
"""One draw for all: another would be another data set, whose results do not compare."""


def select_test_images(labels: np.ndarray, groups: np.ndarray | None, share: float) -> np.ndarray:
    """Returns the indices of the images that are held out, ascending.

    Whole groups if there are any, so that no group is on both sides; else equal shares of each class. Every class keeps
    at least one training image: a group that holds all images of a class is not held out.

    Args:
        labels: (count,) integers.
        groups: (count,) integers or strings, or None.
        share: Share of the images, in (0, 1).

    Raises:
        UserError: There are too few images or groups to hold any out.
    """
    rng = np.random.default_rng(HOLDOUT_SEED)
    wanted = round(len(labels) * share)
    if groups is not None and len(np.unique(groups)) > 1:
        chosen = nearest_groups(groups, labels, wanted, rng)
    else:
        order = rng.permutation(len(labels))
        by_class = order[np.argsort(labels[order], kind="stable")]
        free = by_class[~_is_last_of_class(labels[by_class])]
        wanted = min(wanted, len(free))
        chosen = free[((np.arange(wanted) + 0.5) * len(free) / max(wanted, 1)).astype(int)]
    missing = np.setdiff1d(labels, np.delete(labels, chosen))
    if len(chosen) == 0 or len(missing):
        raise UserError(
            f"No test images can be held out of {len(labels)} images: a class would have none left to train on, or no "
            f"image is left to test on. Received: --test-share {share:g}.",
            hint="Give test images of their own, or another --test-share.",
        )
    return np.sort(chosen)


def nearest_groups(groups: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the indices of whole groups that together hold about ``count`` images.

    Goes through the groups in random order and takes each that brings the number nearer to it, but none that holds the
    last images of a class. Takes the smallest group if all are too large; none if each holds all images of a class.
    """
    names, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(group_of, kind="stable"), np.cumsum(sizes)[:-1])
    left = np.bincount(labels)

    def is_free(group: int) -> bool:
        own, counts = np.unique(labels[members[group]], return_counts=True)
        return bool(np.all(left[own] > counts))

    missing, taken = count, []
    for group in rng.permutation(len(names)):
        if abs(missing - sizes[group]) < abs(missing) and is_free(group):
            missing -= sizes[group]
            left -= np.bincount(labels[members[group]], minlength=len(left))
            taken.append(group)
    taken = taken or [group for group in np.argsort(sizes, kind="stable") if is_free(group)][:1]
    return np.flatnonzero(np.isin(group_of, taken))


def _is_last_of_class(sorted_labels: np.ndarray) -> np.ndarray:
    return np.append(sorted_labels[1:] != sorted_labels[:-1], True)
