"""Means, differences and 95 % intervals.

``t_estimate`` and the differences of samples cover what varies between the values alone, such as the training seeds;
``variance`` also covers the choice of the test images. Called by it, by ``ranking`` and by the comparison of engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from statistics import fmean, variance

CONFIDENCE = 0.95
PERCENT = 100.0
EQUIVALENCE_POINTS = 0.05
"""Differences up to this size, in percentage points, make no difference in practice, unless another size is given."""
MIN_STANDARD_ERROR = 1e-9
"""Smaller standard errors are rounding noise: an error rate over n images is a multiple of 1 / n."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval.

    Args:
        low: Lower end, in the unit of the values.
        high: Upper end.
    """

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance between the ends."""
        return (self.high - self.low) / 2

    def contains(self, value: float) -> bool:
        """Returns whether the value lies inside, ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over runs.

    Args:
        mean: Mean of the values.
        interval: Of the mean; None for one value, or for equal values.
        n: Number of values.
    """

    mean: float
    interval: Interval | None
    n: int


class Verdict(StrEnum):
    """What the interval of a difference of errors shows of our error, given a region of practical equivalence.

    LOWER and HIGHER mean that it excludes 0. EQUIVALENT means that it lies in the region, even if it excludes 0.

    Source: Kruschke, "Rejecting or Accepting Parameter Values in Bayesian Estimation", Advances in Methods and
    Practices in Psychological Science 1 (2018), for the region.
    """

    LOWER = "lower"
    HIGHER = "higher"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of two configurations.

    Args:
        mean: Ours minus theirs.
        interval: Of the difference; None where it cannot be estimated.
        paired: Whether results are paired, by repeat or by image.
        p: Of a difference of 0, two-sided; None where there is no interval.
        outperforming: Share of the pairs of one run of each side in which ours is lower, equal ones counting half; None
            where it was not asked for.
    """

    mean: float
    interval: Interval | None
    paired: bool
    p: float | None = None
    outperforming: float | None = None

    @property
    def is_tie(self) -> bool:
        """Whether the interval contains 0 or is missing."""
        return self.interval is None or self.interval.contains(0.0)

    def verdict(self, equivalence_points: float = EQUIVALENCE_POINTS) -> Verdict:
        """Returns what the interval shows; undecided without one.

        Args:
            equivalence_points: Half the width of the region of practical equivalence, in the unit of the values.
        """
        if self.interval is None:
            return Verdict.UNDECIDED
        if max(-self.interval.low, self.interval.high) <= equivalence_points:
            return Verdict.EQUIVALENT
        if self.interval.contains(0.0):
            return Verdict.UNDECIDED
        return Verdict.LOWER if self.mean < 0 else Verdict.HIGHER


def t_estimate(values: Sequence[float], *, within: tuple[float, float] | None = None) -> Estimate:
    """Returns the mean of at least one value, with Student's t interval.

    Args:
        values: The values.
        within: Least and largest possible value, which bound the interval; None without bounds.

    Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908).
    """
    if len(values) < 2:
        return Estimate(mean=fmean(values), interval=None, n=1)
    standard_error = sqrt(_squared_standard_error(values))
    interval = t_interval(fmean(values), standard_error, len(values) - 1)
    if interval and within:
        interval = Interval(max(within[0], interval.low), min(within[1], interval.high))
    return Estimate(mean=fmean(values), interval=interval, n=len(values))


def outperforming(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Returns the share of the pairs of one run of ours and one of theirs in which ours has the lower error.

    Equal errors count half. It estimates the probability that a run of ours outperforms one of theirs, on these images.

    Source: Bouthillier et al., "Accounting for Variance in Machine Learning Benchmarks", MLSys 2021.
    """
    pairs = [(a, b) for a in ours for b in theirs]
    return fmean(1.0 if a < b else 0.5 if a == b else 0.0 for a, b in pairs)


def paired_difference(differences: Sequence[float]) -> Difference:
    """Returns the mean of the differences of paired runs, with Student's t interval."""
    paired = t_estimate(differences)
    return Difference(mean=paired.mean, interval=paired.interval, paired=True)


def welch_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Returns the difference of two independent means, with Welch's interval for unequal variances.

    Source: Welch, "The Generalization of 'Student's' Problem", Biometrika 34 (1947); degrees of freedom after
    Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    mean, share = fmean(ours) - fmean(theirs), outperforming(ours, theirs)
    if min(len(ours), len(theirs)) < 2:
        return Difference(mean=mean, interval=None, paired=False, outperforming=share)
    a, b = _squared_standard_error(ours), _squared_standard_error(theirs)
    spread = a**2 / (len(ours) - 1) + b**2 / (len(theirs) - 1)
    degrees_of_freedom = (a + b) ** 2 / spread if spread else 1.0
    return t_difference(
        mean, standard_error=sqrt(a + b), degrees_of_freedom=degrees_of_freedom, is_paired=False, outperforming=share
    )


def t_difference(
    mean: float, *, standard_error: float, degrees_of_freedom: float, is_paired: bool, outperforming: float
) -> Difference:
    """Returns a difference with Student's t interval and p; without both where the error is rounding noise."""
    from scipy.special import stdtr  # its import takes 0.2 s, which ``status`` does not need

    interval = t_interval(mean, standard_error, degrees_of_freedom)
    p = None if interval is None else 2.0 * float(stdtr(degrees_of_freedom, -abs(mean) / standard_error))
    return Difference(mean=mean, interval=interval, paired=is_paired, p=p, outperforming=outperforming)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p values adjusted for their number, in the same order: the chance of any false alarm keeps the level.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statist. 6 (1979).
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def prediction_interval(values: Sequence[float]) -> Interval | None:
    """Returns the interval of one more value, with 95 % probability; None for one value.

    Source: Student's prediction interval; Geisser, "Predictive Inference", 1993, section 2.
    """
    if len(values) < 2:
        return None
    half_width = _t_quantile(len(values) - 1) * sqrt(variance(values) * (1 + 1 / len(values)))
    return Interval(fmean(values) - half_width, fmean(values) + half_width)


def _squared_standard_error(values: Sequence[float]) -> float:
    """Returns the squared standard error of the mean."""
    return variance(values) / len(values)


def t_interval(mean: float, standard_error: float, degrees_of_freedom: float) -> Interval | None:
    """Returns Student's t interval of a mean from its standard error; None where that is rounding noise."""
    if standard_error < MIN_STANDARD_ERROR:
        return None
    half_width = _t_quantile(degrees_of_freedom) * standard_error
    return Interval(mean - half_width, mean + half_width)


def wilson_interval(share: float, count: float, degrees_of_freedom: float) -> Interval:
    """Returns Wilson's interval of a share, in percent.

    Args:
        share: The share, 0 to 1.
        count: Number of independent trials whose share would have the same variance.
        degrees_of_freedom: Of the estimate of that variance, for Student's quantile.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927); Korn and
    Graubard, Survey Methodology 24 (1998), for the effective count.
    """
    quantile = _t_quantile(degrees_of_freedom)
    shrinkage = 1 + quantile**2 / count
    middle = (share + quantile**2 / (2 * count)) / shrinkage
    half_width = quantile / shrinkage * sqrt(share * (1 - share) / count + quantile**2 / (4 * count**2))
    low = max(0.0, middle - half_width) if share > 0 else 0.0  # exactly: rounding must not shut the share itself out
    high = min(1.0, middle + half_width) if share < 1 else 1.0
    return Interval(PERCENT * low, PERCENT * high)


def _t_quantile(degrees_of_freedom: float) -> float:
    """Returns the quantile of Student's distribution for two-sided intervals."""
    from scipy.special import stdtrit  # its import takes 0.2 s, which ``status`` does not need

    return float(stdtrit(degrees_of_freedom, (1 + CONFIDENCE) / 2))
