"""The data of the charts: the search trials of a study, each with the cost of the study when it ended.

Called by the charts and by ``plot``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.leaderboard.board import Row, Section
from search.records.curves import CurvePoint, best_error_curve
from search.records.record import StudyHeader, StudyRecord
from search.trial import Phase, State

MAX_POINTS = 400
"""Trials that a chart draws: the first rows of the leaderboard."""
MIN_POINTS_PER_STUDY = 25
"""Trials that it draws of each study, whatever their number."""
MIN_PLOTTED_ERROR_PERCENT = 0.005
"""Lowest error on a logarithmic axis, in percent; 0 cannot be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPoint:
    """A search trial with a validation error.

    Args:
        row: Its row.
        error_percent: Validation error, in percent.
        epochs: Epochs trained by the study when it ended, its own included.
        minutes: Minutes of the study's clock when it ended; None where they were not recorded.
    """

    row: Row
    error_percent: float
    epochs: int
    minutes: float | None

    @property
    def plotted_error_percent(self) -> float:
        """Its error on a logarithmic axis, in percent."""
        return max(self.error_percent, MIN_PLOTTED_ERROR_PERCENT)

    @property
    def is_complete(self) -> bool:
        """Whether it was trained in full."""
        return self.row.state is State.COMPLETE

    @property
    def is_stopped_early(self) -> bool:
        """Whether it is a full trial that was not trained to its end."""
        return not self.is_complete and not self.row.is_short


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A cost to draw errors against.

    Args:
        name: Its name.
        title: Title of the axis, with the unit.
        of_trial: Returns the cost when a trial ended.
        of_curve: Returns the cost at a point of the best-error curve.
    """

    name: str
    title: str
    of_trial: Callable[[TrialPoint], float]
    of_curve: Callable[[CurvePoint], float]


MINUTES = Clock(
    name="minutes",
    title="Minutes of search",
    of_trial=lambda point: point.minutes or 0.0,
    of_curve=lambda point: point.seconds / 60,
)
EPOCHS = Clock(
    name="epochs",
    title="Epochs trained",
    of_trial=lambda point: float(point.epochs),
    of_curve=lambda point: float(point.epochs),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPoints:
    """A study with the points of its search.

    Args:
        record: The study.
        rows: Its rows of search trials.
        points: Those with a validation error, in the order in which they ended.
    """

    record: StudyRecord
    rows: tuple[Row, ...]
    points: tuple[TrialPoint, ...]

    @property
    def header(self) -> StudyHeader:
        """The study's header."""
        return self.record.header

    @property
    def complete_points(self) -> tuple[TrialPoint, ...]:
        """The points that were trained in full."""
        return tuple(point for point in self.points if point.is_complete)

    @property
    def screened_points(self) -> tuple[TrialPoint, ...]:
        """The points of short trials that were trained to their end."""
        return tuple(point for point in self.points if point.row.state is State.SCREENED)

    @property
    def baseline_error_percent(self) -> float | None:
        """The baseline's validation error, in percent; None where it was not trained in full."""
        return next((point.error_percent for point in self.complete_points if point.row.is_baseline), None)

    def best_curve(self, clock: Clock) -> tuple[list[float], list[float]]:
        """Returns costs and the best errors so far, in percent, as a logarithmic axis can show them."""
        curve = best_error_curve(self.record)
        errors = [max(point.error_percent, MIN_PLOTTED_ERROR_PERCENT) for point in curve]
        return [*map(clock.of_curve, curve)], errors


def available_clocks(studies: Sequence[StudyPoints]) -> tuple[Clock, ...]:
    """Returns minutes, where they were recorded for every point, and epochs."""
    has_minutes = all(point.minutes is not None for study in studies for point in study.points)
    return (MINUTES, EPOCHS) if has_minutes else (EPOCHS,)


def common_baseline(studies: Sequence[StudyPoints]) -> float | None:
    """Returns the baseline's validation error, in percent, where the studies share one."""
    baselines = {study.baseline_error_percent for study in studies} - {None}
    return baselines.pop() if len(baselines) == 1 else None


def leading_points(study: StudyPoints, study_count: int, max_points: int = MAX_POINTS) -> tuple[TrialPoint, ...]:
    """Returns the points of a study's first rows and its baseline, in the order in which they ended.

    Args:
        study: The study.
        study_count: Number of studies in the chart.
        max_points: Points in the chart.
    """
    count = max(MIN_POINTS_PER_STUDY, max_points // study_count)
    if len(study.points) <= count:
        return study.points
    leading = {row.trial for row in study.rows[:count]}
    return tuple(point for point in study.points if point.row.trial in leading or point.row.is_baseline)


def section_points(section: Section, records: Sequence[StudyRecord]) -> list[StudyPoints]:
    """Returns the points of the records that a section has, in their order."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in section.study_rows:
        rows[row.study.name].append(row)
    return [study_points(record, rows[record.header.name]) for record in records if record.header in section.studies]


def study_points(record: StudyRecord, rows: Sequence[Row]) -> StudyPoints:
    """Returns a study's points.

    Args:
        record: The study.
        rows: Rows of a board; those of other studies are ignored.
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
    """Returns the epochs and minutes that the study had taken when each trial ended, by its number."""
    ended = [(trial.trial.number, trial.outcome) for trial in record.trials_in_phase(Phase.SEARCH) if trial.outcome]
    costs: dict[int | None, tuple[int, float | None]] = {}
    epochs = 0
    for number, outcome in sorted(ended, key=lambda pair: (pair[1].elapsed_seconds or 0.0, pair[0])):
        epochs += outcome.epochs_trained
        costs[number] = (epochs, None if outcome.elapsed_seconds is None else outcome.elapsed_seconds / 60)
    return costs
