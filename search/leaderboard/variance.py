"""Test errors and their differences, with intervals that cover the training seeds and the choice of the test images.

Every run classifies every image, so seeds and images are crossed, and the mean's variance is that of a two-way layout
with both factors random. Without results by image, the intervals cover the seeds alone.

    estimate_error     mean error of a configuration
    error_difference   ours minus theirs, paired by seed and image where both have the same seeds
    p_value            of a difference on these test images, for these trained models

Called by ``compute`` and ``ranking``.

Source: Searle, Casella and McCulloch, "Variance Components" (1992), chapter 4, for the mean squares; Obuchowski and
Rockette, Communications in Statistics 24 (1995), and Hillis, Statistics in Medicine 26 (2007), for their use where
readers (here: seeds) and cases (here: images) are both drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from search.leaderboard import statistics
from search.leaderboard.statistics import MIN_STANDARD_ERROR, Difference, Estimate, t_interval

RESAMPLES = 9999
"""Of the permutation test; its smallest p value is 0.0002."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunErrors:
    """The complete test runs of a configuration.

    Args:
        errors_percent: Test error in percent by seed.
        wrong_indices: Indices of the misclassified images, by seed; empty where they were not recorded.
        image_count: Number of test images; None where it was not recorded.
    """

    errors_percent: Mapping[int, float]
    wrong_indices: Mapping[int, Sequence[int]] = field(default_factory=dict)
    image_count: int | None = None

    @property
    def has_per_image_results(self) -> bool:
        """Whether the results by image are known."""
        return self.image_count is not None and self.wrong_indices.keys() == self.errors_percent.keys()


@dataclass(frozen=True, slots=True)
class _MeanSquares:
    """Mean squares of a two-way layout with one value a cell.

    Args:
        seeds: Between seeds.
        images: Between images.
        residual: Residual.
        shape: Number of seeds and of images.
    """

    seeds: float
    images: float
    residual: float
    shape: tuple[int, int]

    @property
    def degrees_of_freedom(self) -> tuple[int, int, int]:
        """Degrees of freedom, in the order of the mean squares."""
        seeds, images = self.shape
        return seeds - 1, images - 1, (seeds - 1) * (images - 1)


def estimate_error(runs: RunErrors) -> Estimate:
    """Returns the mean error in percent with its interval; at least one run."""
    seeds = sorted(runs.errors_percent)
    if len(seeds) < 2 or not runs.has_per_image_results:
        return statistics.t_estimate([runs.errors_percent[seed] for seed in seeds])
    assert runs.image_count is not None
    mean, layout = _analyze_variance(_error_matrix(runs, seeds, _misclassified_images(runs)), runs.image_count)
    return Estimate(mean=mean, interval=_crossed_interval(mean, layout), n=len(seeds))


def error_difference(ours: RunErrors, theirs: RunErrors) -> Difference:
    """Returns our mean error minus theirs, in percentage points.

    With at least two common seeds, the runs with these are paired; else the seeds count as independent. The images are
    the same in both cases.
    """
    if not (ours.has_per_image_results and theirs.has_per_image_results and ours.image_count == theirs.image_count):
        return statistics.seed_difference(ours.errors_percent, theirs.errors_percent)
    assert ours.image_count is not None
    union = np.union1d(_misclassified_images(ours), _misclassified_images(theirs))
    shared = sorted(ours.errors_percent.keys() & theirs.errors_percent.keys())
    if len(shared) >= 2:
        gap = _error_matrix(ours, shared, union) - _error_matrix(theirs, shared, union)
        mean, layout = _analyze_variance(gap, ours.image_count)
        return Difference(mean=mean, interval=_crossed_interval(mean, layout), paired=True)
    tables = [_error_matrix(runs, sorted(runs.errors_percent), union) for runs in (ours, theirs)]
    return _unpaired_difference(tables[0], tables[1], ours.image_count)


def p_value(ours: RunErrors, theirs: RunErrors) -> float | None:
    """Returns how often models of equal error would differ as much on these images; None without results by image.

    With one run each, McNemar's exact test. With several, a permutation test that exchanges the two sides' mean error
    on each image. Neither covers the training seeds.

    Source: McNemar, Psychometrika 12 (1947); Edgington, "Randomization Tests" (1980).
    """
    if not (ours.has_per_image_results and theirs.has_per_image_results and ours.image_count == theirs.image_count):
        return None
    from scipy import stats

    union = np.union1d(_misclassified_images(ours), _misclassified_images(theirs))
    means = [_error_matrix(runs, sorted(runs.errors_percent), union).mean(axis=0) for runs in (ours, theirs)]
    gap = (means[0] - means[1])[means[0] != means[1]]
    if not len(gap):
        return 1.0
    if np.all(np.abs(gap) == 1.0):
        return float(stats.binomtest(int((gap > 0).sum()), len(gap)).pvalue)
    test = stats.permutation_test((gap,), np.sum, permutation_type="samples", n_resamples=RESAMPLES, rng=0)
    return float(test.pvalue)


def _misclassified_images(runs: RunErrors) -> np.ndarray:
    """Returns the images that any run misclassified, sorted."""
    return np.unique(np.concatenate([np.asarray(wrong, dtype=np.int64) for wrong in runs.wrong_indices.values()]))


def _error_matrix(runs: RunErrors, seeds: Sequence[int], images: np.ndarray) -> np.ndarray:
    """Returns 1 where a seed's run misclassified an image, else 0: (seeds, images)."""
    return np.array([np.isin(images, runs.wrong_indices[seed]) for seed in seeds], dtype=np.float64)


def _analyze_variance(matrix: np.ndarray, image_count: int) -> tuple[float, _MeanSquares]:
    """Returns the mean and the mean squares of the values, in percent.

    Args:
        matrix: (seeds, images that are not all 0), values in [-1, 1].
        image_count: Number of all images.
    """
    values, seeds = 100.0 * matrix, len(matrix)
    mean = float(values.sum()) / (seeds * image_count)
    between_seeds = image_count * float(((values.sum(axis=1) / image_count - mean) ** 2).sum())
    by_image = values.mean(axis=0)
    between_images = seeds * (float(((by_image - mean) ** 2).sum()) + (image_count - len(by_image)) * mean**2)
    total = float((values**2).sum()) - seeds * image_count * mean**2
    rest = max(0.0, total - between_seeds - between_images)
    freedom = _MeanSquares(0, 0, 0, (seeds, image_count)).degrees_of_freedom
    squares = (between_seeds, between_images, rest)
    seeds_ms, images_ms, rest_ms = (s / f if f else 0.0 for s, f in zip(squares, freedom, strict=True))
    return mean, _MeanSquares(seeds_ms, images_ms, rest_ms, (seeds, image_count))


def _crossed_interval(mean: float, mean_squares: _MeanSquares) -> statistics.Interval | None:
    """Returns the interval of a mean over seeds and images; a negative variance of the seeds counts as 0."""
    if mean_squares.seeds <= mean_squares.residual:
        terms: tuple[float, ...] = (mean_squares.images,)
        freedom: tuple[int, ...] = (mean_squares.degrees_of_freedom[1],)
    else:
        terms, freedom = (
            (mean_squares.seeds, mean_squares.images, -mean_squares.residual),
            mean_squares.degrees_of_freedom,
        )
    return _satterthwaite_interval(
        mean, [term / (mean_squares.shape[0] * mean_squares.shape[1]) for term in terms], freedom
    )


def _unpaired_difference(ours: np.ndarray, theirs: np.ndarray, images: int) -> Difference:
    """Returns the difference of two means over the same images and independent seeds.

    With a single run on a side, its seed's share of the variance is that which shows between the images.
    """
    means, layouts = zip(*(_analyze_variance(table, images) for table in (ours, theirs)), strict=True)
    mean = means[0] - means[1]
    gap = 100.0 * (ours.mean(axis=0) - theirs.mean(axis=0))
    spread = float((gap**2).sum()) - images * mean**2
    terms, freedom = [spread / (images - 1) / images], [images - 1]
    for layout in layouts:
        if layout.seeds > layout.residual:
            terms.append((layout.seeds - layout.residual) / (layout.shape[0] * images))
            freedom.append(layout.degrees_of_freedom[0])
    return Difference(mean=mean, interval=_satterthwaite_interval(mean, terms, freedom), paired=False)


def _satterthwaite_interval(mean: float, terms: Sequence[float], freedom: Sequence[int]) -> statistics.Interval | None:
    """Returns the interval of a mean whose variance is a sum of mean squares, each with its degrees of freedom.

    Source: Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    total = max(0.0, sum(terms))
    spread = sum(term**2 / degrees for term, degrees in zip(terms, freedom, strict=True) if degrees)
    if sqrt(total) < MIN_STANDARD_ERROR or not spread:
        return None
    return t_interval(mean, sqrt(total), total**2 / spread)
