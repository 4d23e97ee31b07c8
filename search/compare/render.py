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
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from search.compare.plot import Plot, to_svg
from search.compare.results import EngineResult
from search.files import write_atomic
from search.leaderboard import formatting
from search.leaderboard.render_markdown import escape, fence, markdown_table
from search.leaderboard.render_text import printed, rich_table
from search.leaderboard.statistics import Difference, Estimate
from search.leaderboard.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the reports of a comparison hold.

    Args:
        name: Stem of the files: "comparison" or "arena".
        title: The heading.
        summary: Sentences about the result.
        notes: Sentences that follow the summary in the text.
        tables: By title, the engines first.
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
    tables: Mapping[str, Table[Any]]
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
    parts: list[RenderableType] = [Text(formatting.one_line(report.title), "bold")]
    for title, table in report.tables.items():
        parts += [Text(title, "bold"), rich_table(table, console.width, _style)]
    return printed(console, [*parts, *map(Text, map(formatting.one_line, (*report.summary, *report.notes)))])


def _style(entry: object) -> str:
    return "bold" if isinstance(entry, EngineResult) and entry.rank == 1 else ""


def to_markdown(report: Report) -> str:
    """Returns the report as Markdown for a code host; the plot is expected beside it."""
    return "\n\n".join(filter(None, _markdown_blocks(report))) + "\n"


def _markdown_blocks(report: Report) -> Iterator[str]:
    yield f"# {escape(report.title)}"
    yield from map(escape, report.summary)
    (first_title, first), *others = report.tables.items()
    yield from (f"## {first_title}", markdown_table(first), escape(report.table_note))
    if report.plot_title:
        yield f"![{report.plot_title}]({report.name}.svg)"
    for title, table in others:
        yield from (f"## {title}", markdown_table(table))
    for heading, paragraphs in report.sections.items():
        yield from (f"## {heading}", *map(escape, paragraphs))
    if report.commands:
        yield fence("sh", map(formatting.one_line, report.commands))


def to_csv(report: Report) -> str:
    """Returns the result as CSV; lists are joined by blanks, maps are ``name=value`` pairs, None is empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(list(map(_csv_cell, row)) for row in report.csv_rows)
    return text.getvalue()


def _csv_cell(value: object) -> str:
    """Returns the text of a cell; True and False stand as in Python, other than in the leaderboard's CSV."""
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
