"""Is a published figure, one run of somebody's, consistent with our repeats of the same thing?

Pure arithmetic on error rates; called by the ``baseline`` command.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from scipy.special import stdtrit

from search.leaderboard.statistics import CONFIDENCE, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineCheck:
    """Our repeats beside a published figure.

    Args:
        errors_percent: Test error of each repeat, in percent; at least one.
        published_error_percent: The published figure, or None where there is none.
    """

    errors_percent: tuple[float, ...]
    published_error_percent: float | None

    @property
    def mean(self) -> float:
        """Mean test error in percent."""
        return fmean(self.errors_percent)

    @property
    def standard_deviation(self) -> float | None:
        """Standard deviation over repeats, in percentage points; None for one repeat."""
        return stdev(self.errors_percent) if len(self.errors_percent) > 1 else None

    @property
    def prediction_interval(self) -> Interval | None:
        """The interval that one more run falls into with 95 % probability; None for one repeat.

        Source: Student's prediction interval; Geisser, "Predictive Inference", 1993, section 2.
        """
        if self.standard_deviation is None:
            return None
        n = len(self.errors_percent)
        half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * self.standard_deviation * sqrt(1 + 1 / n)
        return Interval(self.mean - half, self.mean + half)

    def summary(self) -> str:
        """Says in a sentence whether the figure is consistent with the repeats."""
        if self.published_error_percent is None:
            return "There is no published figure to compare with."
        if self.prediction_interval is None:
            return "One repeat says nothing about consistency; take at least three."
        consistent = self.prediction_interval.contains(self.published_error_percent)
        return (
            f"The tutorial's {self.published_error_percent:.2f} % is "
            f"{'consistent' if consistent else 'NOT consistent'} with "
            f"these repeats: one more run falls within {max(0.0, self.prediction_interval.low):.2f} "
            f"to {self.prediction_interval.high:.2f} % "
            f"with 95 % probability ({self.mean - self.published_error_percent:+.2f} points from the "
            "figure to our mean)."
        )
