"""Best-so-far curves: the least validation error that a search had reached, against what it had cost by then.

The cost is counted twice: in epochs trained, whatever became of the trial, and in seconds of the study's own clock.
Only a complete trial moves the curve: the error of one that was pruned or paused early is not that of a full training.
A trial's cost is counted when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from search.records.record import StudyRecord
from search.trial import Outcome, Phase, State


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A step of a curve.

    Args:
        epochs: Epochs trained by then, those of unfinished trials included; restored ones were another's work.
        seconds: Seconds of the study's clock by then, over all its sessions.
        error_percent: Least validation error of a complete trial by then, in percent.
    """

    epochs: int
    seconds: float
    error_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveBand:
    """Several curves as one: at each cost their mean, and from the least to the most.

    Args:
        costs: Where a curve steps, rising; from where all of them have begun.
        mean: Mean of the curves from that cost on, in percent; a curve that has ended keeps its last value.
        low: Least of them.
        high: Most of them.
    """

    costs: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def best_error_curve(record: StudyRecord) -> tuple[CurvePoint, ...]:
    """Returns a study's curve: a point at each improvement, and one where the search ended; none before the first."""
    points: list[CurvePoint] = []
    best, epochs, seconds = inf, 0, 0.0
    for outcome in search_outcomes(record):
        epochs, seconds = epochs + outcome.epochs_trained, max(seconds, outcome.elapsed_seconds or 0.0)
        error = outcome.error_percent if outcome.state is State.COMPLETE else None
        if error is not None and error < best:
            best = error
            points.append(CurvePoint(epochs=epochs, seconds=seconds, error_percent=best))
    if points and points[-1].epochs < epochs:
        points.append(CurvePoint(epochs=epochs, seconds=seconds, error_percent=best))
    return tuple(points)


def search_outcomes(record: StudyRecord) -> list[Outcome]:
    """Returns how the search trials ended, in the order in which they did; one whose coordinator died has no time."""
    outcomes = [known.outcome for known in record.trials_in_phase(Phase.SEARCH) if known.outcome is not None]
    return sorted(outcomes, key=lambda outcome: outcome.elapsed_seconds or 0.0)


def aggregate_curves(curves: Sequence[Sequence[CurvePoint]], cost: Callable[[CurvePoint], float]) -> CurveBand | None:
    """Returns the band of the curves that have a point; None where none has.

    Args:
        curves: One a repeat.
        cost: Takes the epochs or the seconds of a point.
    """
    nonempty = [curve for curve in curves if curve]
    if not nonempty:
        return None
    first = max(cost(curve[0]) for curve in nonempty)
    costs = sorted({first} | {cost(point) for curve in nonempty for point in curve if cost(point) > first})
    errors = np.array([[_error_at(curve, cost, where) for where in costs] for curve in nonempty])
    return CurveBand(
        costs=tuple(costs),
        mean=tuple(errors.mean(axis=0).tolist()),
        low=tuple(errors.min(axis=0).tolist()),
        high=tuple(errors.max(axis=0).tolist()),
    )


def _error_at(curve: Sequence[CurvePoint], cost: Callable[[CurvePoint], float], at_cost: float) -> float:
    return [point.error_percent for point in curve if cost(point) <= at_cost][-1]
