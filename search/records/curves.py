"""Best-so-far curves: the least validation error that a search had reached, against its cost by then.

The cost is epochs trained, whatever became of the trial, or seconds of the study's clock; a trial counts when it ends.
Only complete trials lower the error: that of a pruned or paused trial is not the error of a full training. Called by
the report and by ``search.compare``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from search.records.record import StudyRecord
from search.trial import Outcome, Phase, State


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A step of a curve.

    Args:
        trials: Search trials that had ended by then, whatever became of them, without interrupted ones.
        epochs: Epochs trained by then, those of unfinished trials included, without restored ones.
        seconds: Seconds of the study's clock by then, over all its sessions.
        error_percent: Least validation error of a complete trial by then, in percent.
    """

    trials: int
    epochs: int
    seconds: float
    error_percent: float


def best_error_curve(record: StudyRecord) -> tuple[CurvePoint, ...]:
    """Returns a study's curve: a point at each improvement, and one at the search's end; empty without a first."""
    points: list[CurvePoint] = []
    best, trials, epochs, seconds = inf, 0, 0, 0.0
    for outcome in search_outcomes(record):
        epochs, seconds = epochs + outcome.epochs_trained, max(seconds, outcome.elapsed_seconds or 0.0)
        trials += outcome.state is not State.INTERRUPTED
        error = outcome.error_percent if outcome.state is State.COMPLETE else None
        if error is not None and error < best:
            best = error
            points.append(CurvePoint(trials=trials, epochs=epochs, seconds=seconds, error_percent=best))
    if points and (points[-1].trials, points[-1].epochs) != (trials, epochs):
        points.append(CurvePoint(trials=trials, epochs=epochs, seconds=seconds, error_percent=best))
    return tuple(points)


def search_outcomes(record: StudyRecord) -> list[Outcome]:
    """Returns the outcomes of the search trials in the order in which they ended; those without a time come first."""
    outcomes = [trial.outcome for trial in record.trials_in_phase(Phase.SEARCH) if trial.outcome is not None]
    return sorted(outcomes, key=lambda outcome: outcome.elapsed_seconds or 0.0)
