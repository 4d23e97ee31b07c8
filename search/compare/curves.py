"""Several searches as one curve: their mean at each cost, with a band. Called by the ``compute`` of each comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from search.compare.paired_tests import MIN_UNITS
from search.leaderboard.statistics import t_estimate
from search.records.curves import CurvePoint

ERROR_LIMITS = (0.0, 100.0)
"""Of an error in percent; bands end there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveBand:
    """Several curves as one: at each cost their mean and a band around it.

    Args:
        costs: Where the curves change, rising.
        mean: Mean of the curves from that cost on; a curve that has ended keeps its last value.
        low: Lower end of the band.
        high: Upper end.
    """

    costs: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def expected_best_error(
    curves: Sequence[Sequence[CurvePoint]], cost: Callable[[CurvePoint], float], *, repeats: int
) -> CurveBand | None:
    """Returns the expected best validation error against the cost, in percent, with a band over repeats.

    The curve begins where all of them have a complete trial. The mean over repeats is used as the estimate. That of the
    source draws from the trials of one search as if their order did not matter, which does not hold where an engine
    learns from trials or prunes them.

    Source: Dodge et al., "Show Your Work: Improved Reporting of Experimental Results", EMNLP 2019, for the quantity.

    Args:
        curves: Best-so-far curves, one per repeat; empty ones are left out.
        cost: Returns the cost of a point; it does not fall along a curve.
        repeats: Planned repeats, which decide what the band is; see ``has_interval``.

    Returns:
        The curve; None without one.
    """
    nonempty = [curve for curve in curves if curve]
    if not nonempty:
        return None
    first = max(cost(curve[0]) for curve in nonempty)
    costs = sorted({first} | {cost(point) for curve in nonempty for point in curve if cost(point) > first})
    errors = np.array([_errors_at(curve, costs, cost) for curve in nonempty])
    ends = _interval_at if has_interval(repeats) else _range_at
    low, high = zip(*map(ends, errors.T.tolist()), strict=True)
    return CurveBand(costs=tuple(costs), mean=tuple(errors.mean(axis=0).tolist()), low=low, high=high)


def has_interval(repeats: int) -> bool:
    """Returns whether a band is the mean's 95 % interval; with fewer repeats it lies from the least to the most.

    Student's interval over three repeats jumps from one cost to the next and is wider than the plot.
    """
    return repeats >= MIN_UNITS


def _interval_at(errors: Sequence[float]) -> tuple[float, float]:
    estimate = t_estimate(errors, within=ERROR_LIMITS)
    return (estimate.interval.low, estimate.interval.high) if estimate.interval else (estimate.mean, estimate.mean)


def _range_at(errors: Sequence[float]) -> tuple[float, float]:
    return min(errors), max(errors)


def _errors_at(curve: Sequence[CurvePoint], costs: Sequence[float], cost: Callable[[CurvePoint], float]) -> np.ndarray:
    """Returns the errors that a curve has reached at the costs, (costs,)."""
    places = np.searchsorted([cost(point) for point in curve], costs, side="right") - 1
    return np.array([point.error_percent for point in curve])[places]
