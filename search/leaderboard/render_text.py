"""The board as text for a terminal, a pipe or a log.

Width, colour and character set are those of standard output, as Rich finds them (it heeds COLUMNS, NO_COLOR and pipes).
Names reach Rich as ``Text``, never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from search.leaderboard import failure_table, formatting, tables
from search.leaderboard.board import Board, Row, Section
from search.leaderboard.reference import Reference
from search.leaderboard.summary import summary_sentences
from search.leaderboard.tables import NARROW_HIDDEN_COLUMN, WRAPPED_COLUMNS, trial_details
from search.records.failures import FailureGroup

STUDY_COLUMN_WIDTH = 20
"""Characters of a line that the studies' names take where there are several."""

FULL_WIDTH = 100
"""Characters of a line that has room for everything."""

MAX_UNVERIFIED_CONFIGS = 3
"""How many configurations are spelled out where none is verified."""


def render(board: Board) -> str:
    """Returns the board as text that fits standard output."""
    console = Console(highlight=False)
    with console.capture() as capture:
        for section in board.sections:
            _section(console, section)
        for note in board.notes:
            console.print(Text(formatting.one_line(note)))
    return _strip_trailing_blanks(capture.get())


def render_details(board: Board) -> str:
    """Returns every search trial on a line: its epochs, what it went on from, and what the engine noted of it."""
    console = Console(highlight=False)
    with console.capture() as capture:
        for section in board.sections:
            console.print(Text(tables.section_title(section), "bold"))
            one_by_one = trial_details(section)
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
            shown = [
                at
                for at, name in enumerate(one_by_one.headers)
                if name != NARROW_HIDDEN_COLUMN or console.width >= FULL_WIDTH
            ]
            for at in shown:
                name = one_by_one.headers[at]
                table.add_column(
                    name, justify=one_by_one.alignments[at], no_wrap=name not in WRAPPED_COLUMNS, overflow="fold"
                )
            for line in one_by_one.rows:
                table.add_row(*(Text(line[at]) for at in shown))
            console.print(table)
    return _strip_trailing_blanks(capture.get())


def _strip_trailing_blanks(text: str) -> str:
    """Returns the text without blanks at the ends of its lines, and with one line break at its own."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n") + "\n"


def _section(console: Console, section: Section) -> None:
    console.print(Text(tables.section_title(section), "bold"))
    if section.ranked:
        console.print(_table(console.width, tables.RANKED_COLUMNS, tables.ranked_entries(section)))
    if section.unverified:
        console.print(Text("Not verified on the test images", "bold"))
        console.print(_table(console.width, tables.UNVERIFIED_COLUMNS, section.unverified))
    changed = [row for row in section.ranked or section.unverified[:MAX_UNVERIFIED_CONFIGS] if row.changed_parameters]
    if changed:
        console.print(Text("Changed from the baseline", "bold"))
        _changes(console, changed)
    if section.failures:
        console.print(Text(failure_table.SECTION_TITLE, "bold"))
        console.print(rich_failure_table(section.failures))
    for sentence in (*summary_sentences(section), tables.cost_line(section)):
        console.print(Text(sentence))
    console.print()


def _table(width: int, columns: Sequence[tables.DisplayColumn], entries: Sequence[tables.BoardEntry]) -> Table:
    informative = tables.informative_columns(columns, entries)
    available_width = width - STUDY_COLUMN_WIDTH if tables.STUDY_COLUMN in informative else width
    shown = [column for column in informative if column.min_width <= available_width]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in shown:
        justify: JustifyMethod = "right" if column.is_numeric else "left"
        table.add_column(column.header, justify=justify, no_wrap=column.is_numeric, overflow="fold")
    for entry in entries:
        style = _style(entry)
        table.add_row(*(Text(column.text(entry)) for column in shown), style=style)
    return table


def _style(entry: tables.BoardEntry) -> str:
    if isinstance(entry, Row):
        return "bold" if entry.rank == 1 else ""
    return "dim" if isinstance(entry, Reference) else ""


def rich_failure_table(failures: Sequence[FailureGroup]) -> Table:
    """Returns the causes of failures and interruptions, for whoever prints them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown = failure_table.visible_columns(failures)
    for column in shown:
        table.add_column(column.header, justify=column.align, no_wrap=not column.wraps, overflow="fold")
    for failure in failures:
        table.add_row(*(Text(column.cell(failure)) for column in shown))
    return table


def _changes(console: Console, rows: Sequence[Row]) -> None:
    names = tables.informative_columns((tables.LABEL_COLUMN, tables.STUDY_COLUMN), rows)
    for row in rows:
        console.print(Text(", ".join(column.text(row) for column in names)))
        console.print(
            Padding(Text(formatting.one_line(formatting.parameter_values(row.changed_parameters))), (0, 0, 0, 4))
        )
    console.print()
