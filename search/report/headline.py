"""The headline of a section: the best test error, and its differences to baseline, tutorial and state of the art.

Called by ``page``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from search.leaderboard import formatting
from search.leaderboard.board import BoardEntry, Row, Section
from search.leaderboard.statistics import Difference
from search.trial import RECIPE_PREFIX, State

MAX_RULER_ROWS = 4
"""Verified rows on the ruler, besides the baseline."""
TUTORIAL_LABEL_PREFIX = "tutorial: "
"""Prefix of the tutorial's labels; the space's name follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlineStatistic:
    """A figure next to the headline.

    Args:
        title: Its name.
        value: The figure with its unit.
        note: A remark.
    """

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The first part of a section.

    Args:
        winner: The first ranked row; None where nothing was verified.
        best_unverified: Without a winner, the complete row with the lowest validation error, if there is one.
        statistics: Differences to other figures.
        marks: Lines of the ruler by test error: "winner", "row", "baseline", "ensemble" or "published", and the entry.
        scale_end: End of the ruler, in percent; it begins at 0.
        ticks: Of the ruler, in percent.
    """

    winner: Row | None
    best_unverified: Row | None
    statistics: tuple[HeadlineStatistic, ...]
    marks: tuple[tuple[str, BoardEntry], ...]
    scale_end: float
    ticks: tuple[float, ...]


def section_headline(section: Section) -> Headline:
    """Returns a section's headline."""
    winner = section.ranked[0] if section.ranked else None
    marks = sorted(_marks(section, winner), key=lambda mark: mark[1].error_percent or 0.0) if winner else []
    ends = [entry.interval.high if entry.interval else entry.error_percent or 0.0 for _, entry in marks]
    step, end = _scale(max(ends, default=1.0))
    return Headline(
        winner=winner,
        best_unverified=None if winner else _best_unverified(section),
        statistics=tuple(_statistics(section, winner)) if winner else (),
        marks=tuple(marks),
        scale_end=end,
        ticks=tuple(round(index * step, 6) for index in range(round(end / step) + 1)),
    )


def _best_unverified(section: Section) -> Row | None:
    complete = [row for row in section.rows if row.state is State.COMPLETE and row.validation_error_percent is not None]
    return min(complete, key=lambda row: row.validation_error_percent or 0.0, default=None)


def _statistics(section: Section, winner: Row) -> Iterator[HeadlineStatistic]:
    error = winner.error_percent or 0.0
    if winner.baseline_difference:
        yield _difference("To the baseline", winner.baseline_difference)
    elif not winner.is_baseline and winner.trial is not None:
        yield HeadlineStatistic(title="To the baseline", value="not known", note="its study has no verified baseline")
    if winner.best_recipe:
        name = formatting.one_line(winner.best_recipe.recipe.removeprefix(RECIPE_PREFIX))
        yield _difference("To the best recipe", winner.best_recipe.difference, name)
    if winner.tutorial_difference is not None:
        yield HeadlineStatistic(
            title=f"To the tutorial's {formatting.percent(error - winner.tutorial_difference)} %",
            value=f"{formatting.percentage_points(winner.tutorial_difference)} points",
            note="the tutorial's figure is from one run",
        )
    for reference in section.references:
        if reference.is_rounded:
            yield HeadlineStatistic(
                title=f"To the {reference.label}",
                value=f"{formatting.percentage_points(error - reference.error_percent)} points",
                note=f"quoted as {formatting.test_error(reference)} %",
            )
    if winner.validation_test_gap is not None:
        yield HeadlineStatistic(
            title="Validation error",
            value=f"{formatting.percent(winner.validation_error_percent)} %",
            note=f"test minus validation {formatting.percentage_points(winner.validation_test_gap)}",
        )


def _difference(title: str, difference: Difference, name: str = "") -> HeadlineStatistic:
    figure = formatting.with_interval(formatting.percentage_points(difference.mean), difference.interval)
    pairing = "paired by seed" if difference.paired else "seeds not paired"
    note = "a tie: the interval holds 0" if difference.is_tie else pairing
    return HeadlineStatistic(title=title, value=f"{figure} points", note=f"{name}; {note}" if name else note)


def _marks(section: Section, winner: Row) -> Iterator[tuple[str, BoardEntry]]:
    yield from (
        ("winner" if row is winner else "row", row)
        for row in [row for row in section.ranked if not row.is_baseline][:MAX_RULER_ROWS]
    )
    baseline = next((row for row in section.ranked if row.is_baseline and row.study == winner.study), None)
    if baseline:
        yield ("winner" if baseline is winner else "baseline", baseline)
    yield from (("ensemble", ensemble) for ensemble in section.ensembles[:1])
    for reference in section.references:
        if reference.is_rounded or reference.label == f"{TUTORIAL_LABEL_PREFIX}{winner.study.space.name}":
            yield ("published", reference)


def _scale(largest: float) -> tuple[float, float]:
    """Returns a round distance between ticks and the end of the scale, about five ticks on."""
    rough = max(largest, 1e-3) * 1.02 / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return step, step * math.ceil(largest * 1.02 / step)
