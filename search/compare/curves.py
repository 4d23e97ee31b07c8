"""Several searches as one curve: their mean at each cost, with a band. Called by the ``compute`` of each comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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
    curves: Sequence[Sequence[CurvePoint]], cost: Callable[[CurvePoint], float]
) -> CurveBand | None:
    """Returns the expected best validation error against the cost, in percent, with its 95 % interval over repeats.

    The curve begins where all repeats have a complete trial. Without a spread, or with one repeat, the band is empty.

    The mean over repeats is used as the estimate. That of the source draws from the trials of one search as if their
    order did not matter, which does not hold where an engine learns from trials or prunes them.

    Source: Dodge et al., "Show Your Work: Improved Reporting of Experimental Results", EMNLP 2019, for the quantity.

    Args:
        curves: Best-so-far curves, one per repeat; empty ones are left out.
        cost: Returns the cost of a point; it does not fall along a curve.

    Returns:
        The curve; None without one.
    """
    nonempty = [curve for curve in curves if curve]
    if not nonempty:
        return None
    first = max(cost(curve[0]) for curve in nonempty)
    costs = sorted({first} | {cost(point) for curve in nonempty for point in curve if cost(point) > first})
    errors = np.array([_errors_at(curve, costs, cost) for curve in nonempty])
    estimates = [t_estimate(at_cost.tolist(), within=ERROR_LIMITS) for at_cost in errors.T]
    ends = [
        (estimate.interval.low, estimate.interval.high) if estimate.interval else (estimate.mean, estimate.mean)
        for estimate in estimates
    ]
    low, high = zip(*ends, strict=True)
    return CurveBand(costs=tuple(costs), mean=tuple(estimate.mean for estimate in estimates), low=low, high=high)


def _errors_at(curve: Sequence[CurvePoint], costs: Sequence[float], cost: Callable[[CurvePoint], float]) -> np.ndarray:
    """Returns the errors that a curve has reached at the costs, (costs,)."""
    places = np.searchsorted([cost(point) for point in curve], costs, side="right") - 1
    return np.array([point.error_percent for point in curve])[places]
