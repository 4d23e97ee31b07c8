"""Renders the board as text for a terminal, a pipe or a log.

Width, colours and character set are those of standard output, as Rich detects them (it reads COLUMNS and NO_COLOR).
Names reach Rich as ``Text``, so markup in them is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from search.leaderboard import formatting, tables
from search.leaderboard.board import MAX_SHOWN_ROWS, Board, BoardEntry, Row, Section, top_rows
from search.leaderboard.columns import DisplayColumn
from search.leaderboard.reference import Reference
from search.leaderboard.summary import cost_line, section_title, summary_sentences

T = TypeVar("T")

MIN_TEXT_WIDTH = 16
"""Characters that a line leaves to columns of text; figures are left out until it does."""
MAIN_FIGURES = 2
"""Columns of figures that are never left out: rank and test error."""
MAX_UNVERIFIED_CONFIGS = 3
"""Configurations spelled out where none is verified."""


def to_text(board: Board) -> str:
    """Returns the board as text that fits standard output."""
    console = Console(highlight=False)
    shown = top_rows(board, MAX_SHOWN_ROWS)
    sections = (part for section in shown.sections for part in _section(section, console.width))
    return printed(console, [*sections, *(Text(formatting.one_line(note)) for note in board.notes)])


def to_details(board: Board) -> str:
    """Returns a line for every search trial: epochs, the trial that it continued, and the engine's notes."""
    console = Console(highlight=False)
    parts: list[RenderableType] = []
    for section in board.sections:
        parts.append(Text(section_title(section), "bold"))
        parts.append(rich_table(tables.trial_table(section), console.width))
    return printed(console, parts)


def printed(console: Console, parts: Iterable[RenderableType]) -> str:
    """Returns what the console prints, without trailing blanks, ending with one line break."""
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).rstrip("\n") + "\n"


def rich_table(table: tables.Table[T], width: int | None = None, style: Callable[[T], str] = lambda entry: "") -> Table:
    """Returns a table for Rich.

    Args:
        table: The table.
        width: Characters per line; None shows every column.
        style: Returns the style of an entry's line.
    """
    columns = [column for column in table.columns if width is None or column.min_width <= width]
    while width is not None and (spare := _dropped(columns, table.entries, width)) is not None:
        columns.remove(spare)
    rich = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    cells = [[column.text(entry) for entry in table.entries] for column in columns]
    for column, texts in zip(columns, cells, strict=True):
        width = max(map(cell_len, [*column.header.splitlines(), *texts]))  # Rich would lay out each cell to measure it
        rich.add_column(
            column.header,
            justify=column.align,
            no_wrap=not column.wraps,
            overflow="fold",
            width=None if column.wraps else width,
        )
    for entry, line in zip(table.entries, zip(*cells, strict=True), strict=True):
        rich.add_row(*map(Text, line), style=style(entry))
    return rich


def _dropped(columns: Sequence[DisplayColumn[T]], entries: Sequence[T], width: int) -> DisplayColumn[T] | None:
    """Returns the widest of the figures after the main ones where texts would have too little room, else None."""
    figures = [column for column in columns if not column.wraps]
    widths = {
        id(column): 1 + max(map(cell_len, (*column.header.split("\n"), *map(column.text, entries))))
        for column in figures
    }
    is_tight = len(figures) < len(columns) and width - sum(widths.values()) < MIN_TEXT_WIDTH
    return max(figures[MAIN_FIGURES:], key=lambda column: widths[id(column)], default=None) if is_tight else None


def _section(section: Section, width: int) -> Iterator[RenderableType]:
    yield Text(section_title(section), "bold")
    if section.ranked:
        yield rich_table(tables.board_table(tables.ranked_columns(section), section.ranked_entries), width, _style)
        yield from _remarks(section.ranked_entries)
    if section.unverified:
        yield Text("Not verified on the test images", "bold")
        yield rich_table(tables.board_table(tables.UNVERIFIED_COLUMNS, section.unverified), width, _style)
        yield from _remarks(section.unverified)
    changed = [row for row in section.ranked or section.unverified[:MAX_UNVERIFIED_CONFIGS] if row.changed_parameters]
    if changed:
        yield Text("Changed from the baseline", "bold")
        for row, names in zip(changed, tables.board_table(("label",), changed).rows(), strict=True):
            yield Text(", ".join(names))
            values = formatting.one_line(formatting.parameter_values(row.changed_parameters))
            yield Padding(Text(values), (0, 0, 0, 4))
        yield Text()
    if section.failures:
        yield Text(tables.FAILURES_TITLE, "bold")
        yield rich_table(tables.failure_table(section.failures))
    for sentence in (*summary_sentences(section), cost_line(section)):
        yield Text(sentence)
    yield Text()


def _remarks(entries: Sequence[BoardEntry]) -> Iterator[RenderableType]:
    remarks = tables.remarks(entries)
    yield from (Text(formatting.one_line(remark)) for remark in remarks)
    if remarks:
        yield Text()


def _style(entry: BoardEntry) -> str:
    if isinstance(entry, Row):
        return "bold" if entry.chosen_in else ""
    return "dim" if isinstance(entry, Reference) else ""
