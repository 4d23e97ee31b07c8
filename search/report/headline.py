"""The headline of a section: the best error, and how it stands to baseline, tutorial and state of the art."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from search.leaderboard import words
from search.leaderboard.board import Ensemble, Row, Section
from search.leaderboard.reference import Reference

MOST = 4
"""Verified rows that the ruler shows besides the baseline and the published figures."""
TUTORIAL = "tutorial: "
"""How the labels of the tutorial's figures begin; the space's name follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line of the ruler: one error rate, in percent, with the ends of its interval where it has one.

    Args:
        label: Whose.
        kind: "winner", "row", "baseline", "ensemble" or "published".
        at: The error, in percent.
        low: Lower end.
        high: Upper end.
        text: The figure as it is written.
    """

    label: str
    kind: str
    at: float
    low: float | None = None
    high: float | None = None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A figure beside the headline.

    Args:
        title: What it is.
        figure: The figure, with its unit.
        note: What is to be known of it.
    """

    title: str
    figure: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What a section says first.

    Args:
        winner: The first ranked row; None where nothing was verified.
        facts: How it stands to others.
        marks: Lines of the ruler, the least error first.
        end: Where the ruler ends, in percent; it begins at 0.
        ticks: What is written along it, in percent.
    """

    winner: Row | None
    facts: tuple[Fact, ...]
    marks: tuple[Mark, ...]
    end: float
    ticks: tuple[float, ...]


def headline(section: Section) -> Headline:
    """Returns a section's headline."""
    winner = section.ranked[0] if section.ranked else None
    marks = sorted(_marks(section, winner), key=lambda mark: mark.at) if winner else []
    step, end = _scale(max((mark.high or mark.at for mark in marks), default=1.0))
    return Headline(
        winner=winner,
        facts=tuple(_facts(section, winner)) if winner else (),
        marks=tuple(marks),
        end=end,
        ticks=tuple(round(place * step, 6) for place in range(round(end / step) + 1)),
    )


def _facts(section: Section, winner: Row) -> Iterator[Fact]:
    assert winner.test is not None
    if winner.to_baseline:
        gap = winner.to_baseline
        how = "a tie: the interval holds 0" if gap.is_tie else "paired by seed" if gap.paired else "seeds not paired"
        spread = f" {words.plus_minus(gap.interval)}" if gap.interval else ""
        yield Fact(title="To the baseline", figure=f"{words.points(gap.mean)}{spread} points", note=how)
    elif not winner.is_baseline and winner.trial is not None:
        yield Fact(title="To the baseline", figure="not known", note="its study has no verified baseline")
    if winner.to_tutorial is not None:
        figure = words.percent(winner.test.mean - winner.to_tutorial)
        title = f"To the tutorial's {figure} %"
        yield Fact(title=title, figure=f"{words.points(winner.to_tutorial)} points", note="its figure is of one run")
    for reference in section.references:
        if reference.is_rounded:
            gap_points = words.points(winner.test.mean - reference.error_percent)
            title = f"To the {reference.label}"
            yield Fact(title=title, figure=f"{gap_points} points", note=f"quoted as {words.reference(reference)} %")
    if winner.shift is not None:
        figure = f"{words.percent(winner.validation_error_percent)} %"
        yield Fact(title="Validation error", figure=figure, note=f"test minus validation {words.points(winner.shift)}")


def _marks(section: Section, winner: Row) -> Iterator[Mark]:
    shown = [row for row in section.ranked if not row.is_baseline][:MOST]
    baseline = next((row for row in section.ranked if row.is_baseline and row.study == winner.study), None)
    for row in [*shown, *([baseline] if baseline else [])]:
        yield _mark(row, "winner" if row is winner else "baseline" if row.is_baseline else "row")
    for one in section.ensembles[:1]:
        yield _ensemble_mark(one)
    for reference in section.references:
        if reference.is_rounded or reference.label == f"{TUTORIAL}{winner.study.space.name}":
            yield _published(reference)


def _mark(row: Row, kind: str) -> Mark:
    assert row.test is not None
    interval = row.test.interval
    return Mark(
        label=row.name,
        kind=kind,
        at=row.test.mean,
        low=max(0.0, interval.low) if interval else None,
        high=interval.high if interval else None,
        text=words.estimate(row.test),
    )


def _ensemble_mark(one: Ensemble) -> Mark:
    return Mark(
        label=one.label,
        kind="ensemble",
        at=one.error_percent,
        low=max(0.0, one.interval.low) if one.interval else None,
        high=one.interval.high if one.interval else None,
        text=words.ensemble(one),
    )


def _published(reference: Reference) -> Mark:
    return Mark(label=reference.label, kind="published", at=reference.error_percent, text=words.reference(reference))


def _scale(most: float) -> tuple[float, float]:
    """Returns a round distance between ticks and the end of the scale, some five ticks on."""
    rough = max(most, 1e-3) * 1.02 / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return step, step * math.ceil(most * 1.02 / step)
