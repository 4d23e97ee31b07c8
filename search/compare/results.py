"""The result of a comparison: engines by rank and the tests between them, on real training and on tables alike.

``paired_tests.rank`` makes these values; the summary, the tables and the exports read them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.leaderboard.statistics import Difference, Estimate

ALPHA = 0.05
"""An adjusted p below this counts as a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What engines are ranked by; lower is better.

    Args:
        name: Such as "mean verified test error".
        unit: Follows a value, such as " %".
        difference_unit: Follows a difference, such as " percentage points".
        digits: Decimals of a value.
        sample: What intervals are over, such as "repeat".
        limits: Least and largest possible mean, where intervals end; None without limits.
    """

    name: str
    unit: str = ""
    difference_unit: str = ""
    digits: int
    sample: str
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """How engines are tested against each other.

    Args:
        name: Such as "paired t test over repeats".
        units: What engines are paired by, such as "repeats".
        p_value: Takes the differences first minus second by unit; returns the two-sided p, or None without one.
    """

    name: str
    units: str
    p_value: Callable[[Sequence[float]], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePair:
    """Two engines, compared unit by unit.

    Args:
        first: Engine with the lower mean.
        second: The other engine.
        n: Units that both engines have.
        difference: First minus second.
        p: Of the paired test; None where it cannot be computed, or has too few units.
        p_adjusted: The same, adjusted for the number of pairs.
    """

    first: str
    second: str
    n: int
    difference: Difference
    p: float | None = None
    p_adjusted: float | None = None

    @property
    def is_tie(self) -> bool:
        """Whether the runs do not show the first to be better, by p and by the mean over the units that both have."""
        return self.p_adjusted is None or self.p_adjusted >= ALPHA or self.difference.mean >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineResult:
    """The result of one engine.

    Args:
        engine: Such as "optuna:tpe".
        scores: Its value of the metric by unit of the test.
        score: The mean with its interval; None without a score.
        rank: From 1; engines that are not shown to differ from the first of a rank share it. None without a score.
        ties: Other engines of the same rank.
        pair_with_best: Its comparison with the best engine; None for the best, and without units in common.
    """

    engine: str
    scores: Mapping[Any, float]
    score: Estimate | None
    rank: int | None
    ties: int
    pair_with_best: EnginePair | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How engines compare.

    Args:
        metric: What they are ranked by.
        test: How they are tested.
        engines: By rank; then those without a score.
        pairs: The tested pairs.
    """

    metric: Metric
    test: PairedTest
    engines: tuple[EngineResult, ...]
    pairs: tuple[EnginePair, ...]
