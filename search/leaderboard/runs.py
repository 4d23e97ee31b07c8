"""What the test runs of a configuration say of its error, and of its difference to another's.

An interval covers both what is random in it: the training seed, and which images happened to be in the test set. Every
run answers for every image, so seeds and images are crossed, and the mean's variance is that of a two-way layout with
both factors random. Where a record lacks the results image by image, the intervals cover the seeds alone.

    estimate     mean error of a configuration
    difference   ours minus theirs, seed by seed and image by image where both have the same seeds
    p_value      of a difference on these test images, for these very models

Pure arithmetic; called by ``rows`` and ``ranking``.

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
from search.leaderboard.statistics import NO_SPREAD, Difference, Estimate, interval

RESAMPLES = 9999
"""Of the permutation test: the least p value it can give is 0.0002."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The complete test runs of a configuration.

    Args:
        errors_percent: Test error in percent by seed.
        wrong: Indices of the images classified wrongly, by seed; empty where the record lacks them.
        images: How many images were scored; None where the record lacks it.
    """

    errors_percent: Mapping[int, float]
    wrong: Mapping[int, Sequence[int]] = field(default_factory=dict)
    images: int | None = None

    @property
    def has_images(self) -> bool:
        """Whether the results are known image by image."""
        return self.images is not None and self.wrong.keys() == self.errors_percent.keys()


@dataclass(frozen=True, slots=True)
class _Layout:
    """Mean squares of a two-way layout with one value a cell.

    Args:
        seeds: Between seeds.
        images: Between images.
        rest: What is left.
        shape: Number of seeds and of images.
    """

    seeds: float
    images: float
    rest: float
    shape: tuple[int, int]

    @property
    def freedom(self) -> tuple[int, int, int]:
        """Degrees of freedom, in the order of the mean squares."""
        seeds, images = self.shape
        return seeds - 1, images - 1, (seeds - 1) * (images - 1)


def estimate(runs: Runs) -> Estimate:
    """Returns the mean error in percent with its interval; at least one run."""
    seeds = sorted(runs.errors_percent)
    if len(seeds) < 2 or not runs.has_images:
        return statistics.estimate([runs.errors_percent[seed] for seed in seeds])
    assert runs.images is not None
    mean, layout = _analyse(_table(runs, seeds, _union(runs)), runs.images)
    return Estimate(mean=mean, interval=_crossed(mean, layout), n=len(seeds))


def difference(ours: Runs, theirs: Runs) -> Difference:
    """Returns our mean error minus theirs, in percentage points.

    Runs that share a seed are compared seed by seed when there are at least two such pairs; else the seeds of the two
    count as drawn apart. The images are the same either way.
    """
    if not (ours.has_images and theirs.has_images and ours.images == theirs.images):
        return statistics.difference(ours.errors_percent, theirs.errors_percent)
    assert ours.images is not None
    union = np.union1d(_union(ours), _union(theirs))
    shared = sorted(ours.errors_percent.keys() & theirs.errors_percent.keys())
    if len(shared) >= 2:
        gap = _table(ours, shared, union) - _table(theirs, shared, union)
        mean, layout = _analyse(gap, ours.images)
        return Difference(mean=mean, interval=_crossed(mean, layout), paired=True)
    tables = [_table(runs, sorted(runs.errors_percent), union) for runs in (ours, theirs)]
    return _unpaired(tables[0], tables[1], ours.images)


def p_value(ours: Runs, theirs: Runs) -> float | None:
    """Returns how often models that err alike would differ as much on these images; None without their results.

    One run each: McNemar's exact test. Several: the same idea for their mean error on each image, a permutation test
    that exchanges the two sides image by image. Neither covers the training seeds.

    Source: McNemar, Psychometrika 12 (1947); Edgington, "Randomization Tests" (1980).
    """
    if not (ours.has_images and theirs.has_images and ours.images == theirs.images):
        return None
    from scipy import stats

    union = np.union1d(_union(ours), _union(theirs))
    means = [_table(runs, sorted(runs.errors_percent), union).mean(axis=0) for runs in (ours, theirs)]
    gap = (means[0] - means[1])[means[0] != means[1]]
    if not len(gap):
        return 1.0
    if np.all(np.abs(gap) == 1.0):
        return float(stats.binomtest(int((gap > 0).sum()), len(gap)).pvalue)
    test = stats.permutation_test((gap,), np.sum, permutation_type="samples", n_resamples=RESAMPLES, rng=0)
    return float(test.pvalue)


def _union(runs: Runs) -> np.ndarray:
    """Returns the images that any run got wrong, sorted; on all others every value is 0."""
    return np.unique(np.concatenate([np.asarray(wrong, dtype=np.int64) for wrong in runs.wrong.values()]))


def _table(runs: Runs, seeds: Sequence[int], images: np.ndarray) -> np.ndarray:
    """Returns 1 where a seed's run got an image wrong, else 0: (seeds, images)."""
    return np.array([np.isin(images, runs.wrong[seed]) for seed in seeds], dtype=np.float64)


def _analyse(table: np.ndarray, images: int) -> tuple[float, _Layout]:
    """Returns the mean in percent, and the mean squares of the values in percent.

    Args:
        table: (seeds, images that are not all 0), values in [-1, 1].
        images: Number of all images.
    """
    values, seeds = 100.0 * table, len(table)
    mean = float(values.sum()) / (seeds * images)
    between_seeds = images * float(((values.sum(axis=1) / images - mean) ** 2).sum())
    by_image = values.mean(axis=0)
    between_images = seeds * (float(((by_image - mean) ** 2).sum()) + (images - len(by_image)) * mean**2)
    total = float((values**2).sum()) - seeds * images * mean**2
    rest = max(0.0, total - between_seeds - between_images)
    freedom = _Layout(0, 0, 0, (seeds, images)).freedom
    squares = (between_seeds, between_images, rest)
    seeds_ms, images_ms, rest_ms = (s / f if f else 0.0 for s, f in zip(squares, freedom, strict=True))
    return mean, _Layout(seeds_ms, images_ms, rest_ms, (seeds, images))


def _crossed(mean: float, layout: _Layout) -> statistics.Interval | None:
    """Returns the interval of a mean over seeds and images; a negative variance of the seeds counts as none."""
    if layout.seeds <= layout.rest:
        terms: tuple[float, ...] = (layout.images,)
        freedom: tuple[int, ...] = (layout.freedom[1],)
    else:
        terms, freedom = (layout.seeds, layout.images, -layout.rest), layout.freedom
    return _satterthwaite(mean, [term / (layout.shape[0] * layout.shape[1]) for term in terms], freedom)


def _unpaired(ours: np.ndarray, theirs: np.ndarray, images: int) -> Difference:
    """Returns the difference of two means over the same images and over seeds that were drawn apart."""
    means, layouts = zip(*(_analyse(table, images) for table in (ours, theirs)), strict=True)
    mean = means[0] - means[1]
    if min(len(ours), len(theirs)) < 2:
        return Difference(mean=mean, interval=None, paired=False)
    gap = 100.0 * (ours.mean(axis=0) - theirs.mean(axis=0))
    spread = float((gap**2).sum()) - images * mean**2
    terms, freedom = [spread / (images - 1) / images], [images - 1]
    for layout in layouts:
        if layout.seeds > layout.rest:
            terms.append((layout.seeds - layout.rest) / (layout.shape[0] * images))
            freedom.append(layout.freedom[0])
    return Difference(mean=mean, interval=_satterthwaite(mean, terms, freedom), paired=False)


def _satterthwaite(mean: float, terms: Sequence[float], freedom: Sequence[int]) -> statistics.Interval | None:
    """Returns the interval of a mean whose variance is a sum of mean squares, each with its degrees of freedom.

    Source: Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    total = max(0.0, sum(terms))
    spread = sum(term**2 / degrees for term, degrees in zip(terms, freedom, strict=True) if degrees)
    if sqrt(total) < NO_SPREAD or not spread:
        return None
    return interval(mean, sqrt(total), total**2 / spread)
