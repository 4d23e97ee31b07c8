"""The interval of a balanced error, which is the mean of the classes' error rates.

Classes are strata: how many test images each has is given, and its images are a sample of that class. The balanced
error is the mean of results by image in which an image of a class of n weighs N / (C n), so seeds and groups of images
enter as they do in the error's interval. Called by ``compute``.

Source: Cochran, "Sampling Techniques" (1977), chapter 5, for the variance of a stratified mean; Korn and Graubard,
Survey Methodology 24 (1998), for Wilson's interval with an effective count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from math import inf, sqrt

import numpy as np

from search.data.mnist import MNIST_SHA256, read_mnist_test_labels
from search.leaderboard.board import Row
from search.leaderboard.image_groups import ImageGroups
from search.leaderboard.statistics import MIN_STANDARD_ERROR, Interval, wilson_interval
from search.leaderboard.variance import ErrorTable, RunErrors, Term, clustered_term, sum_of_terms
from search.records.record import StudyRecord


def with_balanced_intervals(rows: Iterable[Row], studies: Iterable[StudyRecord]) -> tuple[Row, ...]:
    """Returns the rows, those whose balanced test error is known with its interval.

    Args:
        rows: Rows of one section.
        studies: Its studies.
    """
    labels = image_labels(studies)
    return tuple(
        row
        if labels is None or row.balanced_error_percent is None
        else replace(row, balanced_interval=balanced_interval(row.run_errors, labels))
        for row in rows
    )


def image_labels(studies: Iterable[StudyRecord]) -> np.ndarray | None:
    """Returns the (images,) classes of the test images of studies of the same data; None where no study knows them."""
    for study in studies:
        if study.header.protocol.data_sha256 == MNIST_SHA256:
            return _mnist_labels()
        if study.test_labels:
            return np.asarray(study.test_labels)
    return None


_mnist_labels = cache(read_mnist_test_labels)


def balanced_interval(runs: RunErrors, labels: np.ndarray) -> Interval | None:
    """Returns the interval of the mean balanced error, in percent, over seeds and test images.

    Args:
        runs: The complete runs.
        labels: (images,) class of each test image.

    Returns:
        Wilson's interval for as many independent images as would give the variance, at most those that equal error
        rates of all classes would give. None without results by image.
    """
    wrong = runs.wrong_by_image
    if wrong is None or len(labels) != wrong.shape[1]:
        return None
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = len(labels) / (len(counts) * counts)
    groups = runs.image_groups
    table = ErrorTable.of(wrong * weights[classes], groups, runs.single_run_spread)
    share = float(table.error_shares.mean())
    variance, freedom = sum_of_terms([*_image_terms(table.error_shares, classes, counts, groups), *table.seed_terms])
    images = len(counts) ** 2 / float((1 / counts).sum())
    if sqrt(variance) < MIN_STANDARD_ERROR:
        return wilson_interval(share, images, inf)
    return wilson_interval(share, min(images, share * (1 - share) / variance), freedom)


def _image_terms(values: np.ndarray, classes: np.ndarray, counts: np.ndarray, groups: ImageGroups | None) -> list[Term]:
    """Returns the variance of the mean of (images,) values over the choice of the images of each class.

    A class of one image is taken to vary as the others do on average.
    """
    means = np.bincount(classes, weights=values) / counts
    deviations = values - means[classes]
    squares = np.bincount(classes, weights=deviations**2)
    several = counts > 1
    mean_square = float(squares[several].sum() / max(1, (counts[several] - 1).sum()))
    by_class = np.where(several, squares / np.maximum(1, counts - 1), mean_square) * counts / len(values) ** 2
    terms = [Term(float(part), max(1, count - 1)) for part, count in zip(by_class, counts.tolist(), strict=True)]
    if groups is None:
        return terms
    clustered = clustered_term(deviations, groups)
    return [clustered] if clustered.variance > sum(term.variance for term in terms) else terms
