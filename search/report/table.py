"""The lines of the leaderboard as the page shows them: rows, ensembles and published figures, each at its place.

Each carries what it is sorted and filtered by.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from search.leaderboard import formatting
from search.leaderboard.board import UNFINISHED, Ensemble, Row, Section
from search.leaderboard.reference import Reference
from search.leaderboard.row_selector import BASELINE
from search.report import colors
from search.report.headline import Headline

MAX_TABLE_ROWS = 500
"""Rows that a page holds; the files beside it hold all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A line of the leaderboard.

    Args:
        kind: "row", "ensemble" or "published".
        name: What it is.
        error_percent: Test error, in percent; None where it was not verified.
        error: The test error as it is written.
        low: Lower end of its interval, in percent.
        high: Upper end.
        board_row: The row; None in a line of another kind.
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
    board_row: Row | None = None
    engine: str = ""
    space: str = ""
    study: str = ""
    state: str
    parameters: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderboardTable:
    """The leaderboard.

    Args:
        rows: By test error, then those without one as the board orders them.
        filters: What can be filtered by: names of the choices to their values, where there are several.
        hidden_rows: Rows that the page leaves out.
        scale_end: Where the scale of the intervals ends, in percent; it begins at 0.
    """

    rows: tuple[TableRow, ...]
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hidden_rows: int
    scale_end: float


def leaderboard_table(section: Section, headline: Headline) -> LeaderboardTable:
    """Returns a section's leaderboard."""
    ranked = [*map(_row, section.ranked), *map(_ensemble, section.ensembles), *map(_published_row, section.references)]
    ranked.sort(key=lambda line: inf if line.error_percent is None else line.error_percent)
    unranked = [_row(row) for row in section.unverified[: max(0, MAX_TABLE_ROWS - len(ranked))]]
    lines = (*ranked, *unranked)
    choices = {name: tuple(sorted({getattr(line, name) for line in lines} - {""})) for name in FILTER_FIELDS}
    return LeaderboardTable(
        rows=lines,
        filters={name: values for name, values in choices.items() if len(values) > 1},
        hidden_rows=section.hidden_rows + len(section.unverified) - len(unranked),
        scale_end=headline.scale_end,
    )


FILTER_FIELDS = ("engine", "space", "study", "state")
"""What the lines can be filtered by."""


def row_commands(row: Row) -> Iterator[tuple[str, str]]:
    """Yields what can be done with a row: what for, and the command."""
    study, which = shlex.quote(formatting.one_line(row.study.name)), BASELINE if row.trial is None else str(row.trial)
    verified = " --test" if row.test_error and row.trial is not None else ""
    yield "Train it again and compare", f"python -m search reproduce {study} {which}{verified}"
    if row.test_error:
        yield "Write it as a script", f"python -m search export {study} {which} --as script"


def parameter_rows(row: Row) -> list[tuple[str, Any, Any]]:
    """Returns the active parameters: name, value, and the baseline's value where it is another, else None."""
    baseline = row.study.space.baseline
    return [
        (name, value, None if name in baseline and baseline[name] == value else baseline.get(name, "not used"))
        for name, value in row.config.items()
    ]


def _row(row: Row) -> TableRow:
    interval = row.test_error.interval if row.test_error else None
    return TableRow(
        kind="row",
        name=row.label,
        error_percent=row.test_error.mean if row.test_error else None,
        error=formatting.estimate(row.test_error),
        low=max(0.0, interval.low) if interval else None,
        high=interval.high if interval else None,
        board_row=row,
        engine=colors.engine_key(row.study),
        space=row.study.space.name,
        study=row.study.name,
        state=row.state.value if row.state else UNFINISHED,
        parameters=row.parameters,
        note=row.caveat,
    )


def _ensemble(ensemble: Ensemble) -> TableRow:
    return TableRow(
        kind="ensemble",
        name=ensemble.label,
        error_percent=ensemble.error_percent,
        error=formatting.ensemble_error(ensemble),
        low=max(0.0, ensemble.interval.low) if ensemble.interval else None,
        high=ensemble.interval.high if ensemble.interval else None,
        engine=colors.engine_key(ensemble.study),
        space=ensemble.study.space.name,
        study=ensemble.study.name,
        state="ensemble",
        parameters=ensemble.parameters,
        note=f"Models: {formatting.ensemble_members(ensemble)}.",
    )


def _published_row(reference: Reference) -> TableRow:
    return TableRow(
        kind="published",
        name=reference.label,
        error_percent=reference.error_percent,
        error=formatting.published_error(reference),
        state="published",
        note=f"Source: {reference.source}.",
    )
