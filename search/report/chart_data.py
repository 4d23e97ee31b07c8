"""Points: the search trials of a study as charts show them, each with what the study had cost when it ended.

Called by the charts and the plot beside the Markdown report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.leaderboard.board import Row
from search.records.record import StudyHeader, StudyRecord
from search.trial import Phase, State

MAX_POINTS = 400
"""Trials that a chart draws one by one: the leaderboard's first rows."""
MIN_POINTS_PER_STUDY = 25
"""Trials of a study that it draws, however many studies share it."""
MIN_PLOTTED_ERROR_PERCENT = 0.005
"""Least error that a logarithmic axis shows, in percent; 0 has no place on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPoint:
    """A search trial with a validation error.

    Args:
        row: Its row.
        error_percent: Its validation error, in percent.
        epochs: Epochs trained by the study when it ended, its own included.
        minutes: Minutes of the study's clock when it ended; None where nobody kept one.
    """

    row: Row
    error_percent: float
    epochs: int
    minutes: float | None

    @property
    def plotted_error_percent(self) -> float:
        """Its error as a logarithmic axis can show it, in percent."""
        return max(self.error_percent, MIN_PLOTTED_ERROR_PERCENT)

    @property
    def is_complete(self) -> bool:
        """Whether it was trained in full, so that its error counts."""
        return self.row.state is State.COMPLETE


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPoints:
    """A study with the points of its search.

    Args:
        record: The study.
        rows: Its rows of the board, of search trials.
        points: Those with a validation error, in the order in which they ended.
    """

    record: StudyRecord
    rows: tuple[Row, ...]
    points: tuple[TrialPoint, ...]

    @property
    def header(self) -> StudyHeader:
        """What the study is."""
        return self.record.header

    @property
    def complete_points(self) -> tuple[TrialPoint, ...]:
        """The points that were trained in full."""
        return tuple(point for point in self.points if point.is_complete)

    @property
    def baseline_error_percent(self) -> float | None:
        """The baseline's validation error, in percent; None where it was not trained in full."""
        return next((point.error_percent for point in self.complete_points if point.row.is_baseline), None)


def leading_points(study: StudyPoints, study_count: int, max_points: int = MAX_POINTS) -> tuple[TrialPoint, ...]:
    """Returns the points of a study's first rows and its baseline, in the order in which they ended.

    Args:
        study: The study.
        study_count: How many share the room.
        max_points: Points that they have room for together.
    """
    count = max(MIN_POINTS_PER_STUDY, max_points // study_count)
    if len(study.points) <= count:
        return study.points
    leading = {row.trial for row in study.rows[:count]}
    return tuple(point for point in study.points if point.row.trial in leading or point.row.is_baseline)


def study_points(record: StudyRecord, rows: Sequence[Row]) -> StudyPoints:
    """Returns a study's points.

    Args:
        record: The study.
        rows: Rows of a board, those of other studies among them.
    """
    own = tuple(row for row in rows if row.study == record.header and row.trial is not None)
    costs = _cumulative_costs(record)
    points = [
        TrialPoint(
            row=row, error_percent=row.validation_error_percent, epochs=costs[row.trial][0], minutes=costs[row.trial][1]
        )
        for row in own
        if row.validation_error_percent is not None and row.trial in costs
    ]
    return StudyPoints(record=record, rows=own, points=tuple(sorted(points, key=lambda point: point.epochs)))


def _cumulative_costs(record: StudyRecord) -> dict[int | None, tuple[int, float | None]]:
    """Returns, by trial number, the epochs and minutes that the study had taken when the trial ended."""
    ended = [(known.trial.number, known.outcome) for known in record.trials_in_phase(Phase.SEARCH) if known.outcome]
    costs: dict[int | None, tuple[int, float | None]] = {}
    epochs = 0
    for number, outcome in sorted(ended, key=lambda one: (one[1].elapsed_seconds or 0.0, one[0])):
        epochs += outcome.epochs_trained
        costs[number] = (epochs, None if outcome.elapsed_seconds is None else outcome.elapsed_seconds / 60)
    return costs
