"""Test errors and their differences, with intervals that cover the training seeds and the choice of the test images.

Every run classifies every image, so seeds and images are crossed, and the mean's variance is that of a two-way layout
with both factors random. Where images come in groups, such as writers, the groups are the factor, and results are
summed by group. Without results by image, the intervals cover the seeds alone.

    estimate_error     mean error of a configuration
    single_model       error of one model, over the choice of the test images alone
    error_difference   ours minus theirs, paired by image

    spread_of_seeds    variance between seeds for configurations with one run, from others with several

Called by ``compute``, ``ranking`` and ``ensembles``.

Source: Searle, Casella and McCulloch, "Variance Components" (1992), chapter 4, for the mean squares; Obuchowski and
Rockette, Communications in Statistics 24 (1995), and Hillis, Statistics in Medicine 26 (2007), for their use where
readers (here: seeds) and cases (here: images) are both drawn at random; Cameron, Gelbach and Miller, Journal of
Business and Economic Statistics 29 (2011), for sums over groups in two ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, sqrt

import numpy as np

from search.leaderboard import statistics
from search.leaderboard.image_groups import ImageGroups
from search.leaderboard.statistics import (
    MIN_STANDARD_ERROR,
    PERCENT,
    Difference,
    Estimate,
    Interval,
    t_difference,
    wilson_interval,
)


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """The variance of a configuration's true error over training seeds, which one run does not tell.

    Args:
        ratio: The variance divided by p (1 - p), where p is the error as a share.
        degrees_of_freedom: Of the estimate.
    """

    ratio: float
    degrees_of_freedom: float


PUBLISHED_SPREAD = SeedSpread(1.2e-4, inf)
"""Upper 95 % limit in this project's first published studies: 0.07 points at an error of 0.4 %, 0.11 at 1.0 %.

Seven configurations of three spaces with errors of 0.4 to 1.9 % had two to four runs each. In units of p (1 - p) /
10,000 the variance of their errors over the runs was 0.81, with 16 degrees of freedom, so at most 1.63. The single
images give 0.43 of this, which a difference's variance over images holds already. Configurations that were published
later differ less.
"""
NO_SPREAD = SeedSpread(0.0, inf)
"""Of a model that exists once."""


@dataclass(frozen=True, kw_only=True)
class RunErrors:
    """The complete test runs of a configuration.

    Args:
        errors_percent: Test error of each run, in percent.
        wrong_indices: Indices of the misclassified images of each run; empty where a run lacks them.
        image_count: Number of test images; None where it was not recorded.
        groups: Of the test images; None where they are taken as independent.
        single_run_spread: Spread of the seeds that counts where there is one run.
    """

    errors_percent: Sequence[float]
    wrong_indices: Sequence[Sequence[int]] = ()
    image_count: int | None = None
    groups: ImageGroups | None = None
    single_run_spread: SeedSpread = PUBLISHED_SPREAD

    @cached_property
    def by_image(self) -> ErrorTable | None:
        """The results by image; None where they are not known, or where they are of one image."""
        wrong = self.wrong_by_image
        return None if wrong is None else ErrorTable.of(wrong, self.image_groups, self.single_run_spread)

    @property
    def image_groups(self) -> ImageGroups | None:
        """The groups, if they are those of this number of images."""
        return self.groups if self.groups is not None and len(self.groups.codes) == self.image_count else None

    @property
    def wrong_by_image(self) -> np.ndarray | None:
        """(runs, images) values, 1 for a misclassified image, else 0; None where ``by_image`` is."""
        if self.image_count is None or len(self.wrong_indices) != len(self.errors_percent) or not self.errors_percent:
            return None
        highest = max(max(indices, default=-1) for indices in self.wrong_indices)
        if self.image_count < 2 or highest >= self.image_count:
            return None  # the count of an older record follows from its rounded error, and may be too low
        wrong = np.zeros((len(self.errors_percent), self.image_count))
        for line, indices in zip(wrong, self.wrong_indices, strict=True):
            line[np.asarray(indices, dtype=np.int64)] = 1.0
        return wrong


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the variance of a mean: an estimate with its degrees of freedom."""

    variance: float
    degrees_of_freedom: float


@dataclass(frozen=True, slots=True, eq=False)
class ErrorTable:
    """The results of a configuration by image.

    Args:
        error_shares: (images,) share of the runs that misclassify each image.
        groups: Of the images; None where they are taken as independent.
        seed_terms: Variance of the mean share that other seeds would add; empty if it is not positive.
        seed_variance: Estimate of the variance of the true share over seeds; may be negative; None for one run.
        shares_by_run: Share of the images that each run misclassifies.
    """

    error_shares: np.ndarray
    groups: ImageGroups | None
    seed_terms: tuple[Term, ...]
    seed_variance: float | None
    shares_by_run: tuple[float, ...]

    @classmethod
    def of(cls, wrong: np.ndarray, groups: ImageGroups | None, single_run_spread: SeedSpread) -> ErrorTable:
        """Returns the table of (runs, images) values, 1 for a misclassified image, else 0."""
        error_shares, by_run = wrong.mean(axis=0), tuple(wrong.mean(axis=1).tolist())
        if len(wrong) == 1:
            share, spread = by_run[0], single_run_spread
            term = Term(spread.ratio * share * (1 - share), spread.degrees_of_freedom)
            return cls(error_shares, groups, (term,), None, by_run)
        between, residual = _seed_mean_squares(wrong, groups)
        variance = between.variance + residual.variance
        return cls(error_shares, groups, (between, residual) if variance > 0 else (), len(wrong) * variance, by_run)


def _seed_mean_squares(wrong: np.ndarray, groups: ImageGroups | None) -> tuple[Term, Term]:
    """Returns the mean square of at least two seeds and, negative, that of the residual, as parts of the mean's."""
    seeds, images = wrong.shape
    by_seed = wrong.mean(axis=1, keepdims=True)
    effects = by_seed - by_seed.mean()
    between = float((effects**2).sum()) / (seeds - 1) / seeds
    rest = wrong - wrong.mean(axis=0) - effects
    if groups is not None:
        rest = np.stack([np.bincount(groups.codes, weights=line) for line in rest])
    units = rest.shape[1]
    residual = units / (units - 1) * float((rest**2).sum()) / ((seeds - 1) * seeds * images**2)
    return Term(between, seeds - 1), Term(-residual, (seeds - 1) * (units - 1))


def spread_of_seeds(configurations: Iterable[RunErrors]) -> SeedSpread:
    """Returns the spread of the seeds over configurations with several runs, but at least the published one."""
    total, freedom = 0.0, 0
    for runs in configurations:
        table = runs.by_image
        if table is None or table.seed_variance is None or not 0 < (share := float(table.error_shares.mean())) < 1:
            continue
        seeds = len(runs.errors_percent)
        total += (seeds - 1) * table.seed_variance / (share * (1 - share))
        freedom += seeds - 1
    if total <= freedom * PUBLISHED_SPREAD.ratio:
        return PUBLISHED_SPREAD
    return SeedSpread(total / freedom, freedom)


def _image_term(values: np.ndarray, groups: ImageGroups | None) -> Term:
    """Returns the variance of the mean of (images,) values over the choice of images, or of their groups.

    Images of a group are not taken as less alike than independent ones: with few errors, that would be chance.
    """
    images = len(values)
    deviations = values - values.mean()
    independent = Term(float(deviations @ deviations) / (images - 1) / images, images - 1)
    if groups is None:
        return independent
    clustered = clustered_term(deviations, groups)
    return Term(max(clustered.variance, independent.variance), clustered.degrees_of_freedom)


def clustered_term(deviations: np.ndarray, groups: ImageGroups) -> Term:
    """Returns the variance of the mean of (images,) deviations over the choice of their groups."""
    sums, count = np.bincount(groups.codes, weights=deviations), len(groups.sizes)
    return Term(count / (count - 1) * float(sums @ sums) / len(deviations) ** 2, count - 1)


def estimate_error(runs: RunErrors) -> Estimate:
    """Returns the mean error in percent with its interval; at least one run.

    Of one run the variance of the seeds is that of ``SeedSpread``.
    """
    table = runs.by_image
    if table is None:
        return statistics.t_estimate(runs.errors_percent, within=(0.0, 100.0))
    terms = (_image_term(table.error_shares, table.groups), *table.seed_terms)
    interval = _error_interval(table, terms)
    return Estimate(mean=PERCENT * float(table.error_shares.mean()), interval=interval, n=len(runs.errors_percent))


def single_model(runs: RunErrors) -> Interval | None:
    """Returns the interval of one model's error in percent, over the test images; None without results by image."""
    table = runs.by_image
    if table is None:
        return None
    return _error_interval(table, (_image_term(table.error_shares, table.groups),))


def _error_interval(table: ErrorTable, terms: Sequence[Term]) -> Interval:
    """Returns Wilson's interval for as many independent images as would give the variance, at most those there are.

    More seeds do not replace images: the images that no seed misclassifies tell as much of rare errors as one run.
    """
    share, (variance, freedom) = float(table.error_shares.mean()), sum_of_terms(terms)
    images = float(len(table.error_shares))
    if sqrt(variance) < MIN_STANDARD_ERROR:
        return wilson_interval(share, images, inf)
    return wilson_interval(share, min(images, share * (1 - share) / variance), freedom)


def error_difference(ours: RunErrors, theirs: RunErrors) -> Difference:
    """Returns our mean error minus theirs, in percentage points.

    The images are the same, so they are paired: the variance is that of the difference of the mean results by image,
    and of the seeds of each side, which of one run is that of ``SeedSpread``. Seeds are not paired, since equal seeds
    make networks of other configurations hardly more alike. One image more on which the two differ is added to the
    variance, so that few images do not decide.

    Source: Agresti and Min, Statistics in Medicine 24 (2005), for the images that are added.
    """
    a, b = ours.by_image, theirs.by_image
    if a is None or b is None or len(a.error_shares) != len(b.error_shares):
        return statistics.welch_difference(ours.errors_percent, theirs.errors_percent)
    gap, images = a.error_shares - b.error_shares, len(a.error_shares)
    image_term = _image_term(gap, a.groups)
    image_term = Term(image_term.variance + 1 / images**2, image_term.degrees_of_freedom)
    variance, freedom = sum_of_terms((image_term, *a.seed_terms, *b.seed_terms))
    return t_difference(
        PERCENT * float(gap.mean()),
        standard_error=PERCENT * sqrt(variance),
        degrees_of_freedom=freedom,
        is_paired=True,
        outperforming=statistics.outperforming(a.shares_by_run, b.shares_by_run),
    )


def sum_of_terms(terms: Sequence[Term]) -> tuple[float, float]:
    """Returns the sum of the variances and its degrees of freedom.

    Source: Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    total = max(0.0, sum(term.variance for term in terms))
    spread = sum(term.variance**2 / term.degrees_of_freedom for term in terms)
    return total, total**2 / spread if spread else inf
