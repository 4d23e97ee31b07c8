"""The headline of a section: the chosen row's test error, and its differences to baseline, tutorial and others.

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
MIN_SCALE_PERCENT = 0.01
"""Error that the ruler holds at least, in percent: one image of MNIST's 10,000."""
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
        chosen: The row that its study chose by validation; None where nothing was verified.
        best_unverified: Without it, the complete row with the lowest validation error, if there is one.
        statistics: Differences to other figures.
        marks: Lines of the ruler by test error: "chosen", "row", "baseline", "ensemble" or "published", and the entry.
        scale_end: End of the ruler, in percent; it begins at 0.
        ticks: Of the ruler, in percent.
    """

    chosen: Row | None
    best_unverified: Row | None
    statistics: tuple[HeadlineStatistic, ...]
    marks: tuple[tuple[str, BoardEntry], ...]
    scale_end: float
    ticks: tuple[float, ...]


def section_headline(section: Section) -> Headline:
    """Returns a section's headline."""
    chosen = section.headline
    marks = sorted(_marks(section, chosen), key=lambda mark: mark[1].error_percent or 0.0) if chosen else []
    ends = [entry.interval.high if entry.interval else entry.error_percent or 0.0 for _, entry in marks]
    step, end = _scale(max(ends, default=1.0))
    return Headline(
        chosen=chosen,
        best_unverified=None if chosen else _best_unverified(section),
        statistics=tuple(_statistics(section, chosen)) if chosen else (),
        marks=tuple(marks),
        scale_end=end,
        ticks=tuple(round(index * step, 6) for index in range(round(end / step) + 1)),
    )


def _best_unverified(section: Section) -> Row | None:
    complete = [
        row
        for row in section.rows
        if row.state is State.COMPLETE and row.validation_error_percent is not None and not row.is_too_large
    ]
    return min(complete, key=lambda row: row.validation_error_percent or 0.0, default=None)


def _statistics(section: Section, chosen: Row) -> Iterator[HeadlineStatistic]:
    error = chosen.error_percent or 0.0
    if chosen.baseline_difference:
        yield _difference("To the baseline", chosen.baseline_difference, section)
    elif not chosen.is_baseline and chosen.trial is not None:
        yield HeadlineStatistic(title="To the baseline", value="not known", note="its study has no verified baseline")
    if chosen.best_recipe:
        name = formatting.one_line(chosen.best_recipe.recipe.removeprefix(RECIPE_PREFIX))
        yield _difference("To the best recipe", chosen.best_recipe.difference, section, name)
    if chosen.tutorial_difference is not None:
        yield HeadlineStatistic(
            title=f"To the tutorial's {formatting.percent(error - chosen.tutorial_difference)} %",
            value=f"{formatting.percentage_points(chosen.tutorial_difference)} points",
            note="the tutorial's figure is from one run",
        )
    for reference in section.references:
        if reference.is_rounded:
            yield HeadlineStatistic(
                title=f"To the {reference.label}",
                value=f"{formatting.percentage_points(error - reference.error_percent)} points",
                note=f"quoted as {formatting.test_error(reference)} %",
            )
    if chosen.validation_test_gap is not None:
        yield HeadlineStatistic(
            title="Validation error",
            value=f"{formatting.percent(chosen.validation_error_percent)} %",
            note=f"test minus validation {formatting.percentage_points(chosen.validation_test_gap)}",
        )


def _difference(title: str, difference: Difference, section: Section, name: str = "") -> HeadlineStatistic:
    verdict = formatting.verdict(difference, section.equivalence_points)
    figure = formatting.percentage_points(difference.mean)
    bounds = f"95 % {formatting.interval_bounds(difference.interval)}: " if difference.interval else ""
    note = f"{name}; {bounds}{verdict}" if name else f"{bounds}{verdict}"
    return HeadlineStatistic(title=title, value=f"{figure} points", note=note)


def _marks(section: Section, chosen: Row) -> Iterator[tuple[str, BoardEntry]]:
    others = [row for row in section.ranked if not row.is_baseline and row is not chosen]
    if not chosen.is_baseline:
        yield ("chosen", chosen)
    yield from (("row", row) for row in others[: MAX_RULER_ROWS - 1])
    studies = set(chosen.study_names)
    baseline = next((row for row in section.ranked if row.is_baseline and studies & set(row.study_names)), None)
    if baseline:
        yield ("chosen" if baseline is chosen else "baseline", baseline)
    yield from (("ensemble", ensemble) for ensemble in section.ensembles[:1])
    for reference in section.references:
        if reference.is_rounded or reference.label == f"{TUTORIAL_LABEL_PREFIX}{chosen.study.space.name}":
            yield ("published", reference)


def _scale(largest: float) -> tuple[float, float]:
    """Returns a round distance between ticks and the end of the scale, about five ticks on; both above 0."""
    largest = max(largest, MIN_SCALE_PERCENT)
    rough = largest * 1.02 / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return step, step * math.ceil(largest * 1.02 / step)
