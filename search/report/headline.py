"""The headline of a section: the best error, and how it stands to baseline, tutorial and state of the art."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from search.leaderboard import formatting
from search.leaderboard.board import Ensemble, Row, Section
from search.leaderboard.reference import Reference
from search.trial import State

MAX_RULER_ROWS = 4
"""Verified rows that the ruler shows besides the baseline and the published figures."""
TUTORIAL_LABEL_PREFIX = "tutorial: "
"""How the labels of the tutorial's figures begin; the space's name follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulerMark:
    """A line of the ruler: one error rate, in percent, with the ends of its interval where it has one.

    Args:
        label: Whose.
        kind: "winner", "row", "baseline", "ensemble" or "published".
        error_percent: The error, in percent.
        low: Lower end.
        high: Upper end.
        text: The figure as it is written.
    """

    label: str
    kind: str
    error_percent: float
    low: float | None = None
    high: float | None = None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlineStatistic:
    """A figure beside the headline.

    Args:
        title: What it is.
        value: The figure, with its unit.
        note: What is to be known of it.
    """

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What a section says first.

    Args:
        winner: The first ranked row; None where nothing was verified.
        best_unverified: Where nothing was, the row with the lowest validation error of those trained in full, if there
            is one.
        statistics: How it stands to others.
        marks: Lines of the ruler, the least error first.
        scale_end: Where the ruler ends, in percent; it begins at 0.
        ticks: What is written along it, in percent.
    """

    winner: Row | None
    best_unverified: Row | None
    statistics: tuple[HeadlineStatistic, ...]
    marks: tuple[RulerMark, ...]
    scale_end: float
    ticks: tuple[float, ...]


def section_headline(section: Section) -> Headline:
    """Returns a section's headline."""
    winner = section.ranked[0] if section.ranked else None
    marks = sorted(_marks(section, winner), key=lambda mark: mark.error_percent) if winner else []
    step, end = _scale(max((mark.high or mark.error_percent for mark in marks), default=1.0))
    return Headline(
        winner=winner,
        best_unverified=None if winner else _best_unverified(section),
        statistics=tuple(_statistics(section, winner)) if winner else (),
        marks=tuple(marks),
        scale_end=end,
        ticks=tuple(round(place * step, 6) for place in range(round(end / step) + 1)),
    )


def _best_unverified(section: Section) -> Row | None:
    full = [row for row in section.rows if row.state is State.COMPLETE and row.validation_error_percent is not None]
    return min(full, key=lambda row: row.validation_error_percent or 0.0, default=None)


def _statistics(section: Section, winner: Row) -> Iterator[HeadlineStatistic]:
    assert winner.test_error is not None
    if winner.baseline_difference:
        difference = winner.baseline_difference
        pairing = (
            "a tie: the interval holds 0"
            if difference.is_tie
            else "paired by seed"
            if difference.paired
            else "seeds not paired"
        )
        spread = f" {formatting.plus_minus(difference.interval)}" if difference.interval else ""
        yield HeadlineStatistic(
            title="To the baseline",
            value=f"{formatting.percentage_points(difference.mean)}{spread} points",
            note=pairing,
        )
    elif not winner.is_baseline and winner.trial is not None:
        yield HeadlineStatistic(title="To the baseline", value="not known", note="its study has no verified baseline")
    if winner.tutorial_difference is not None:
        figure = formatting.percent(winner.test_error.mean - winner.tutorial_difference)
        title = f"To the tutorial's {figure} %"
        yield HeadlineStatistic(
            title=title,
            value=f"{formatting.percentage_points(winner.tutorial_difference)} points",
            note="its figure is of one run",
        )
    for reference in section.references:
        if reference.is_rounded:
            gap_points = formatting.percentage_points(winner.test_error.mean - reference.error_percent)
            title = f"To the {reference.label}"
            yield HeadlineStatistic(
                title=title, value=f"{gap_points} points", note=f"quoted as {formatting.published_error(reference)} %"
            )
    if winner.validation_test_gap is not None:
        figure = f"{formatting.percent(winner.validation_error_percent)} %"
        yield HeadlineStatistic(
            title="Validation error",
            value=figure,
            note=f"test minus validation {formatting.percentage_points(winner.validation_test_gap)}",
        )


def _marks(section: Section, winner: Row) -> Iterator[RulerMark]:
    shown = [row for row in section.ranked if not row.is_baseline][:MAX_RULER_ROWS]
    baseline = next((row for row in section.ranked if row.is_baseline and row.study == winner.study), None)
    for row in [*shown, *([baseline] if baseline else [])]:
        yield _row_mark(row, "winner" if row is winner else "baseline" if row.is_baseline else "row")
    for one in section.ensembles[:1]:
        yield _ensemble_mark(one)
    for reference in section.references:
        if reference.is_rounded or reference.label == f"{TUTORIAL_LABEL_PREFIX}{winner.study.space.name}":
            yield _published_mark(reference)


def _row_mark(row: Row, kind: str) -> RulerMark:
    assert row.test_error is not None
    interval = row.test_error.interval
    return RulerMark(
        label=row.name,
        kind=kind,
        error_percent=row.test_error.mean,
        low=max(0.0, interval.low) if interval else None,
        high=interval.high if interval else None,
        text=formatting.estimate(row.test_error),
    )


def _ensemble_mark(ensemble: Ensemble) -> RulerMark:
    return RulerMark(
        label=ensemble.label,
        kind="ensemble",
        error_percent=ensemble.error_percent,
        low=max(0.0, ensemble.interval.low) if ensemble.interval else None,
        high=ensemble.interval.high if ensemble.interval else None,
        text=formatting.ensemble_error(ensemble),
    )


def _published_mark(reference: Reference) -> RulerMark:
    return RulerMark(
        label=reference.label,
        kind="published",
        error_percent=reference.error_percent,
        text=formatting.published_error(reference),
    )


def _scale(largest: float) -> tuple[float, float]:
    """Returns a round distance between ticks and the end of the scale, some five ticks on."""
    rough = max(largest, 1e-3) * 1.02 / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return step, step * math.ceil(largest * 1.02 / step)
