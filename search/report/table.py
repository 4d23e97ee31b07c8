"""The leaderboard of the HTML page: its rows, with what they are sorted and filtered by.

Called by ``page``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from search.leaderboard import formatting
from search.leaderboard.board import MAX_SHOWN_ROWS, BoardEntry, Row, Section
from search.leaderboard.columns import COLUMNS, DisplayColumn
from search.leaderboard.reference import Reference
from search.leaderboard.row_parts import Ensemble
from search.leaderboard.row_selector import BASELINE
from search.leaderboard.tables import board_columns, ranked_columns, remarks

FILTER_FIELDS = ("engine", "space", "study", "state")
"""Fields of ``TableRow`` that the page can filter by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCell:
    """A cell of the leaderboard.

    Args:
        text: Its text.
        sort_value: What it is sorted by: a number in a right-aligned column, else text; empty cells come last.
    """

    text: str
    sort_value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A line of the leaderboard.

    Args:
        entry: The row, ensemble or published figure.
        kind: "row", "ensemble" or "published".
        engine: Engine and sampler; empty in a published figure.
        space: The space's name; empty in a published figure.
        study: The study's name; empty in a published figure.
        state: How the search trial ended; the kind in other lines.
        cells: By the key of the column.
    """

    entry: BoardEntry
    kind: str
    engine: str = ""
    space: str = ""
    study: str = ""
    state: str
    cells: Mapping[str, TableCell]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderboardTable:
    """The leaderboard.

    Args:
        columns: By key.
        rows: By test error, then those without one in the order of the board.
        filters: Fields to filter by, with their values; those with several values.
        remarks: What is said below it: the mark of chosen rows, and cautions.
        hidden_rows: Rows left out.
    """

    columns: Mapping[str, DisplayColumn[BoardEntry]]
    rows: tuple[TableRow, ...]
    filters: Mapping[str, tuple[str, ...]]
    remarks: tuple[str, ...]
    hidden_rows: int


def leaderboard_table(section: Section) -> LeaderboardTable:
    """Returns a section's leaderboard."""
    ranked = section.ranked_entries
    unverified = section.unverified[: max(0, MAX_SHOWN_ROWS - len(ranked))]
    entries = [*ranked, *unverified]
    columns = board_columns(ranked_columns(section), entries)
    rows = tuple(_table_row(entry, columns) for entry in entries)
    choices = {name: tuple(sorted({getattr(row, name) for row in rows} - {""})) for name in FILTER_FIELDS}
    return LeaderboardTable(
        columns=columns,
        rows=rows,
        filters={name: values for name, values in choices.items() if len(values) > 1},
        remarks=tuple(remarks(entries)),
        hidden_rows=section.hidden_rows + len(section.unverified) - len(unverified),
    )


def row_commands(row: Row) -> Iterator[tuple[str, str]]:
    """Yields commands for a row: the purpose, and the command."""
    study, which = shlex.quote(formatting.one_line(row.study.name)), BASELINE if row.trial is None else str(row.trial)
    verified = " --test" if row.test_error and row.trial is not None else ""
    yield "Reproduce it", f"python -m search reproduce {study} {which}{verified}"
    if row.test_error:
        yield "Export it as a script", f"python -m search export {study} {which} --as script"


def parameter_rows(row: Row) -> list[tuple[str, Any, Any]]:
    """Returns the active parameters: name, value, and the baseline's value where it differs, else None."""
    baseline = row.study.space.baseline
    return [
        (name, value, None if name in baseline and baseline[name] == value else baseline.get(name, "not used"))
        for name, value in row.config.items()
    ]


def _table_row(entry: BoardEntry, columns: Mapping[str, DisplayColumn[BoardEntry]]) -> TableRow:
    cells = {key: _cell(key, entry, column.text(entry)) for key, column in columns.items()}
    if isinstance(entry, Reference):
        return TableRow(entry=entry, kind="published", state="published", cells=cells)
    is_ensemble = isinstance(entry, Ensemble)
    return TableRow(
        entry=entry,
        kind="ensemble" if is_ensemble else "row",
        engine=formatting.engine_label(entry.study),
        space=entry.study.space.name,
        study=entry.study.name,
        state="ensemble" if isinstance(entry, Ensemble) else COLUMNS["state"].value(entry),
        cells=cells,
    )


def _cell(key: str, entry: BoardEntry, text: str) -> TableCell:
    if isinstance(entry, Row):
        value = entry.name if key == "label" else COLUMNS[key].value(entry)
    else:
        value = entry.error_percent if key == "test_error_percent" else text.replace(",", "")
    return TableCell(text=text, sort_value="" if text == "" or value is None else value)
