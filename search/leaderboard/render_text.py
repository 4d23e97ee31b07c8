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

from search.leaderboard import causes, tables, words
from search.leaderboard.board import Board, Row, Section
from search.leaderboard.details import SPARE, WORDY, details
from search.leaderboard.reference import Reference
from search.leaderboard.verdict import verdict
from search.records.failures import Failure

STUDY_ROOM = 20
"""Characters of a line that the studies' names take where there are several."""

WIDE = 100
"""Characters of a line that has room for everything."""

UNVERIFIED_CONFIGS = 3
"""How many configurations are spelled out where none is verified."""


def render(board: Board) -> str:
    """Returns the board as text that fits standard output."""
    console = Console(highlight=False)
    with console.capture() as capture:
        for section in board.sections:
            _section(console, section)
        for note in board.notes:
            console.print(Text(words.one_line(note)))
    return _lines(capture.get())


def render_details(board: Board) -> str:
    """Returns every search trial on a line: its epochs, what it went on from, and what the engine noted of it."""
    console = Console(highlight=False)
    with console.capture() as capture:
        for section in board.sections:
            console.print(Text(tables.title(section), "bold"))
            one_by_one = details(section)
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
            shown = [at for at, name in enumerate(one_by_one.headers) if name != SPARE or console.width >= WIDE]
            for at in shown:
                name = one_by_one.headers[at]
                table.add_column(name, justify=one_by_one.sides[at], no_wrap=name not in WORDY, overflow="fold")
            for line in one_by_one.lines:
                table.add_row(*(Text(line[at]) for at in shown))
            console.print(table)
    return _lines(capture.get())


def _lines(text: str) -> str:
    """Returns the text without blanks at the ends of its lines, and with one line break at its own."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n") + "\n"


def _section(console: Console, section: Section) -> None:
    console.print(Text(tables.title(section), "bold"))
    if section.ranked:
        console.print(_table(console.width, tables.RANKED, tables.entries(section)))
    if section.unranked:
        console.print(Text("Not verified on the test images", "bold"))
        console.print(_table(console.width, tables.UNRANKED, section.unranked))
    changed = [row for row in section.ranked or section.unranked[:UNVERIFIED_CONFIGS] if row.changes]
    if changed:
        console.print(Text("Changed from the baseline", "bold"))
        _changes(console, changed)
    if section.failures:
        console.print(Text(causes.TITLE, "bold"))
        console.print(causes_table(section.failures))
    for sentence in (*verdict(section), tables.accounts(section)):
        console.print(Text(sentence))
    console.print()


def _table(width: int, columns: Sequence[tables.Column], entries: Sequence[tables.Entry]) -> Table:
    telling = tables.choose(columns, entries)
    room = width - STUDY_ROOM if tables.STUDY in telling else width
    shown = [column for column in telling if column.room <= room]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in shown:
        justify: JustifyMethod = "right" if column.number else "left"
        table.add_column(column.header, justify=justify, no_wrap=column.number, overflow="fold")
    for entry in entries:
        style = _style(entry)
        table.add_row(*(Text(column.show(entry)) for column in shown), style=style)
    return table


def _style(entry: tables.Entry) -> str:
    if isinstance(entry, Row):
        return "bold" if entry.rank == 1 else ""
    return "dim" if isinstance(entry, Reference) else ""


def causes_table(failures: Sequence[Failure]) -> Table:
    """Returns the causes of failures and interruptions, for whoever prints them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown = causes.columns(failures)
    for column in shown:
        table.add_column(column.header, justify=column.side, no_wrap=not column.wraps, overflow="fold")
    for failure in failures:
        table.add_row(*(Text(column.cell(failure)) for column in shown))
    return table


def _changes(console: Console, rows: Sequence[Row]) -> None:
    names = tables.choose((tables.WHAT, tables.STUDY), rows)
    for row in rows:
        console.print(Text(", ".join(column.show(row) for column in names)))
        console.print(Padding(Text(words.one_line(words.settings(row.changes))), (0, 0, 0, 4)))
    console.print()
