"""Means, differences and 95 % intervals over the seeds of training runs.

These intervals cover the randomness of training (weights, data order, dropout, augmentation) alone; those of
``variance`` also cover the choice of the test images. Called by ``variance`` and the comparison of engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, variance

CONFIDENCE = 0.95
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of two configurations.

    Args:
        mean: Ours minus theirs.
        interval: Of the difference; None where it cannot be estimated.
        paired: Whether the runs are paired by seed.
    """

    mean: float
    interval: Interval | None
    paired: bool

    @property
    def is_tie(self) -> bool:
        """Whether the interval contains 0 or is missing."""
        return self.interval is None or self.interval.contains(0.0)


def t_estimate(values: Sequence[float]) -> Estimate:
    """Returns the mean of at least one value, with Student's t interval.

    Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908).
    """
    if len(values) < 2:
        return Estimate(mean=fmean(values), interval=None, n=1)
    standard_error = sqrt(_squared_standard_error(values))
    return Estimate(
        mean=fmean(values), interval=t_interval(fmean(values), standard_error, len(values) - 1), n=len(values)
    )


def seed_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference:
    """Returns ours minus theirs, each by seed.

    With at least two common seeds, the runs with these are paired; else the means are compared as independent samples.
    """
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) >= 2:
        return paired_difference([ours[seed] - theirs[seed] for seed in shared])
    return welch_difference(list(ours.values()), list(theirs.values()))


def paired_difference(differences: Sequence[float]) -> Difference:
    """Returns the mean of the differences of paired runs, with Student's t interval."""
    paired = t_estimate(differences)
    return Difference(mean=paired.mean, interval=paired.interval, paired=True)


def welch_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Returns the difference of two independent means, with Welch's interval for unequal variances.

    Source: Welch, "The Generalization of 'Student's' Problem", Biometrika 34 (1947); degrees of freedom after
    Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    mean = fmean(ours) - fmean(theirs)
    if min(len(ours), len(theirs)) < 2:
        return Difference(mean=mean, interval=None, paired=False)
    a, b = _squared_standard_error(ours), _squared_standard_error(theirs)
    spread = a**2 / (len(ours) - 1) + b**2 / (len(theirs) - 1)
    degrees_of_freedom = (a + b) ** 2 / spread if spread else 1.0
    return Difference(mean=mean, interval=t_interval(mean, sqrt(a + b), degrees_of_freedom), paired=False)


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


def _t_quantile(degrees_of_freedom: float) -> float:
    """Returns the quantile of Student's distribution for two-sided intervals."""
    from scipy.special import stdtrit  # its import takes 0.2 s, which ``status`` does not need

    return float(stdtrit(degrees_of_freedom, (1 + CONFIDENCE) / 2))
