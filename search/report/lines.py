"""The lines of the leaderboard as the page shows them: rows, ensembles and published figures, each at its place.

Each carries what it is sorted and filtered by.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from search.leaderboard import words
from search.leaderboard.board import UNFINISHED, Ensemble, Row, Section
from search.leaderboard.picking import BASELINE
from search.leaderboard.reference import Reference
from search.report import palette
from search.report.headline import Headline

MOST = 500
"""Rows that a page holds; the files beside it hold all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the leaderboard.

    Args:
        kind: "row", "ensemble" or "published".
        name: What it is.
        error_percent: Test error, in percent; None where it was not verified.
        error: The test error as it is written.
        low: Lower end of its interval, in percent.
        high: Upper end.
        row: The row; None in a line of another kind.
        engine: Engine and sampler; empty in a published figure.
        space: The space's name; empty in a published figure.
        study: The study's name; empty in a published figure.
        state: How the search trial ended, "ensemble" or "published".
        parameters: Trainable parameters.
        note: What is to be known of it.
    """

    kind: str
    name: str
    error_percent: float | None
    error: str = ""
    low: float | None = None
    high: float | None = None
    row: Row | None = None
    engine: str = ""
    space: str = ""
    study: str = ""
    state: str
    parameters: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The leaderboard.

    Args:
        lines: By test error, then those without one as the board orders them.
        filters: What can be filtered by: names of the choices to their values, where there are several.
        hidden: Rows that the page leaves out.
        end: Where the scale of the intervals ends, in percent; it begins at 0.
    """

    lines: tuple[Line, ...]
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hidden: int
    end: float


def table(section: Section, headline: Headline) -> Table:
    """Returns a section's leaderboard."""
    ranked = [*map(_row, section.ranked), *map(_ensemble, section.ensembles), *map(_published, section.references)]
    ranked.sort(key=lambda line: inf if line.error_percent is None else line.error_percent)
    unranked = [_row(row) for row in section.unranked[: max(0, MOST - len(ranked))]]
    lines = (*ranked, *unranked)
    choices = {name: tuple(sorted({getattr(line, name) for line in lines} - {""})) for name in FILTERS}
    return Table(
        lines=lines,
        filters={name: values for name, values in choices.items() if len(values) > 1},
        hidden=section.hidden + len(section.unranked) - len(unranked),
        end=headline.end,
    )


FILTERS = ("engine", "space", "study", "state")
"""What the lines can be filtered by."""


def commands(row: Row) -> Iterator[tuple[str, str]]:
    """Yields what can be done with a row: what for, and the command."""
    study, which = shlex.quote(words.one_line(row.study.name)), BASELINE if row.trial is None else str(row.trial)
    verified = " --test" if row.test and row.trial is not None else ""
    yield "Train it again and compare", f"python -m search reproduce {study} {which}{verified}"
    if row.test:
        yield "Write it as a script", f"python -m search export {study} {which} --as script"


def settings(row: Row) -> list[tuple[str, Any, Any]]:
    """Returns the active parameters: name, value, and the baseline's value where it is another, else None."""
    baseline = row.study.space.baseline
    return [
        (name, value, None if name in baseline and baseline[name] == value else baseline.get(name, "not used"))
        for name, value in row.config.items()
    ]


def _row(row: Row) -> Line:
    interval = row.test.interval if row.test else None
    return Line(
        kind="row",
        name=row.label,
        error_percent=row.test.mean if row.test else None,
        error=words.estimate(row.test),
        low=max(0.0, interval.low) if interval else None,
        high=interval.high if interval else None,
        row=row,
        engine=palette.engine(row.study),
        space=row.study.space.name,
        study=row.study.name,
        state=row.state.value if row.state else UNFINISHED,
        parameters=row.parameters,
        note=row.caveat,
    )


def _ensemble(one: Ensemble) -> Line:
    return Line(
        kind="ensemble",
        name=one.label,
        error_percent=one.error_percent,
        error=words.ensemble(one),
        low=max(0.0, one.interval.low) if one.interval else None,
        high=one.interval.high if one.interval else None,
        engine=palette.engine(one.study),
        space=one.study.space.name,
        study=one.study.name,
        state="ensemble",
        parameters=one.parameters,
        note=f"Models: {words.members(one)}.",
    )


def _published(reference: Reference) -> Line:
    return Line(
        kind="published",
        name=reference.label,
        error_percent=reference.error_percent,
        error=words.reference(reference),
        state="published",
        note=f"Source: {reference.source}.",
    )
