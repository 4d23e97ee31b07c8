"""Best-so-far curves: the least validation error that a search had reached, against its cost by then.

The cost is epochs trained, whatever became of the trial, or seconds of the study's clock; a trial counts when it ends.
Only complete trials lower the error: that of a pruned or paused trial is not the error of a full training. Called by
the report and by ``search.compare``.
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
        epochs: Epochs trained by then, those of unfinished trials included, without restored ones.
        seconds: Seconds of the study's clock by then, over all its sessions.
        error_percent: Least validation error of a complete trial by then, in percent.
    """

    epochs: int
    seconds: float
    error_percent: float


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


def best_error_curve(record: StudyRecord) -> tuple[CurvePoint, ...]:
    """Returns a study's curve: a point at each improvement, and one at the search's end; empty without a first."""
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
    """Returns the outcomes of the search trials in the order in which they ended; those without a time come first."""
    outcomes = [trial.outcome for trial in record.trials_in_phase(Phase.SEARCH) if trial.outcome is not None]
    return sorted(outcomes, key=lambda outcome: outcome.elapsed_seconds or 0.0)


def aggregate_curves(curves: Sequence[Sequence[CurvePoint]], cost: Callable[[CurvePoint], float]) -> CurveBand | None:
    """Returns mean, least and greatest of the curves from where all have begun; None without a curve.

    Args:
        curves: One per repeat; empty ones are left out.
        cost: Returns the epochs or the seconds of a point.
    """
    nonempty = [curve for curve in curves if curve]
    if not nonempty:
        return None
    first = max(cost(curve[0]) for curve in nonempty)
    costs = sorted({first} | {cost(point) for curve in nonempty for point in curve if cost(point) > first})
    errors = np.array(
        [[[point.error_percent for point in curve if cost(point) <= at][-1] for at in costs] for curve in nonempty]
    )
    return CurveBand(
        costs=tuple(costs),
        mean=tuple(errors.mean(axis=0).tolist()),
        low=tuple(errors.min(axis=0).tolist()),
        high=tuple(errors.max(axis=0).tolist()),
    )
