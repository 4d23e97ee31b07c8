"""Lays out the report of a comparison as text, Markdown, CSV and JSON, and writes the report files.

Escapes everything that a user named. Called by the command line with a ``Report``, which both kinds of comparison make.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from search.compare.plot import Plot, to_svg
from search.files import write_atomic
from search.leaderboard import formatting
from search.leaderboard.render_markdown import escape, fence
from search.leaderboard.statistics import Difference, Estimate

T = TypeVar("T")
UNLIMITED_WIDTH = 1000
"""Width in characters in which every column fits."""


@dataclass(frozen=True, slots=True)
class ReportColumn(Generic[T]):
    """One column of a table.

    Args:
        header: Its name with the unit; a line break where it may be broken.
        cell: Returns the text for a row.
        is_numeric: Whether it is aligned to the right.
        min_width: Least width of the page in characters for the column to be shown.
        max_width: Largest such width.
    """

    header: str
    cell: Callable[[T], str]
    is_numeric: bool = True
    min_width: int = 0
    max_width: int = UNLIMITED_WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable(Generic[T]):
    """A table of a report.

    Args:
        title: What it shows.
        columns: Its columns.
        rows: What the columns' cells are made from.
        is_highlighted: Whether a row stands out.
    """

    title: str
    columns: Sequence[ReportColumn[T]]
    rows: Sequence[T]
    is_highlighted: Callable[[T], bool] = lambda _: False

    def columns_at(self, width: int) -> list[ReportColumn[T]]:
        """Returns the columns for a page of this width in characters."""
        return [column for column in self.columns if column.min_width <= width <= column.max_width]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the reports of a comparison hold.

    Args:
        name: Stem of the files: "comparison" or "arena".
        title: The heading.
        summary: Sentences about the result.
        notes: Sentences that follow the summary in the text.
        tables: The engines first.
        table_note: What the columns of the first table mean, for Markdown.
        plot: The plot.
        plot_title: Its alternative text; empty where nothing is drawn.
        sections: Further paragraphs for Markdown, by heading.
        commands: The commands that ran it.
        document: The JSON document.
        csv_rows: The rows of the CSV, the header first.
    """

    name: str
    title: str
    summary: Sequence[str]
    notes: Sequence[str]
    tables: Sequence[ReportTable[Any]]
    table_note: str
    plot: Plot
    plot_title: str
    sections: Mapping[str, Sequence[str]]
    commands: Sequence[str]
    document: Mapping[str, Any]
    csv_rows: Sequence[Sequence[object]]


def to_text(report: Report) -> str:
    """Returns the report as text that fits standard output."""
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(Text(formatting.one_line(report.title), "bold"))
        for table in report.tables:
            console.print(Text(table.title, "bold"))
            console.print(_text_table(table, console.width))
        for sentence in (*report.summary, *report.notes):
            console.print(Text(formatting.one_line(sentence)))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _text_table(table: ReportTable[Any], width: int) -> Table:
    rich_table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)  # four engines then fit 80 columns
    columns = table.columns_at(width)
    for column in columns:
        justify: JustifyMethod = "right" if column.is_numeric else "left"
        rich_table.add_column(column.header, justify=justify, no_wrap=column.is_numeric, overflow="fold")
    for row in table.rows:
        cells = [Text(formatting.one_line(column.cell(row))) for column in columns]
        rich_table.add_row(*cells, style="bold" if table.is_highlighted(row) else "")
    return rich_table


def to_markdown(report: Report) -> str:
    """Returns the report as Markdown for a code host; the plot is expected beside it."""
    return "\n\n".join(filter(None, _markdown_blocks(report))) + "\n"


def _markdown_blocks(report: Report) -> Iterator[str]:
    yield f"# {escape(report.title)}"
    yield from map(escape, report.summary)
    first, *others = report.tables
    yield from (f"## {escape(first.title)}", _markdown_table(first), escape(report.table_note))
    if report.plot_title:
        yield f"![{escape(report.plot_title)}]({report.name}.svg)"
    for table in others:
        yield from (f"## {escape(table.title)}", _markdown_table(table))
    for heading, paragraphs in report.sections.items():
        yield from (f"## {escape(heading)}", *map(escape, paragraphs))
    if report.commands:
        yield fence("sh", map(formatting.one_line, report.commands))


def _markdown_table(table: ReportTable[Any]) -> str:
    columns = table.columns_at(UNLIMITED_WIDTH)
    cells = [[escape(column.cell(row)) for column in columns] for row in table.rows]
    aligned = ["right" if column.is_numeric else "left" for column in columns]
    headers = [escape(column.header) for column in columns]
    return tabulate(cells, headers, tablefmt="pipe", colalign=aligned, disable_numparse=True)


def to_csv(report: Report) -> str:
    """Returns the result as CSV; lists are joined by blanks, maps are ``name=value`` pairs, None is empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(list(map(_csv_cell, row)) for row in report.csv_rows)
    return text.getvalue()


def _csv_cell(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_csv_cell(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_csv_cell, value))
    return "" if value is None else formatting.one_line(value)


def to_json(report: Report) -> str:
    """Returns the result as JSON."""
    return json.dumps(report.document, indent=2, allow_nan=False) + "\n"


def interval_json(figure: Estimate | Difference | None) -> dict[str, Any] | None:
    """Returns {mean, low, high}, and n for an estimate; low and high are null without an interval."""
    if figure is None:
        return None
    low, high = (figure.interval.low, figure.interval.high) if figure.interval else (None, None)
    bounds = {"mean": figure.mean, "low": low, "high": high}
    return {**bounds, "n": figure.n} if isinstance(figure, Estimate) else bounds


Renderer = Callable[[Report], str]
FORMATS: Mapping[str, Renderer] = MappingProxyType(
    {"table": to_text, "markdown": to_markdown, "csv": to_csv, "json": to_json}
)
"""The formats by the name that ``--format`` takes."""
FILES: Mapping[str, Renderer] = MappingProxyType(
    {"md": to_markdown, "csv": to_csv, "json": to_json, "svg": lambda report: to_svg(report.plot)}
)
"""The report files by suffix."""


def write_reports(report: Report, folder: Path) -> list[Path]:
    """Writes the report files and returns their paths.

    Raises:
        UserError: The folder cannot be made or written to.
    """
    paths = [folder / f"{report.name}.{suffix}" for suffix in FILES]
    for path, render in zip(paths, FILES.values(), strict=True):
        write_atomic(path, render(report), what="report")
    return paths
