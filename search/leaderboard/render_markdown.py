r"""Renders the board as Markdown for a code host.

Names of users are escaped: in text by backslashes and entities, in a code block by a fence that is longer than any in
it.

Source: CommonMark 0.31.2, 2.4 (any punctuation may be escaped) and 4.5 (fences); GFM 4.10 (``\|`` in table cells).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tabulate import tabulate

from search.leaderboard import formatting, tables
from search.leaderboard.board import MAX_SHOWN_ROWS, Board, Row, Section, top_rows
from search.leaderboard.summary import cost_line, section_title, summary_sentences

T = TypeVar("T")

PLOT_FILE = "leaderboard.svg"
"""Name of the plot, which is written beside the report."""

_LEGEND = """\
A rank is a range where these runs leave the order open; all pairs of rows are judged together (Holm). Brackets hold
95 % intervals over the training seeds and the choice of the test images; an ensemble's, over the images alone."""


def to_markdown(board: Board) -> str:
    """Returns the board as Markdown."""
    shown = top_rows(board, MAX_SHOWN_ROWS)
    blocks = ["# Leaderboard", *(block for section in shown.sections for block in _section(section))]
    return "\n\n".join([*blocks, *(escape(note) for note in board.notes)]) + "\n"


def escape(text: object) -> str:
    """Returns the text on one line, so that a Markdown reader shows it as it is."""
    escaped = re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", formatting.one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fence(language: str, lines: Iterable[str]) -> str:
    """Returns lines as a code block, in a fence that is longer than any in it."""
    body = "\n".join(lines)
    longest = max((len(ticks) for ticks in re.findall("`+", body)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{body}\n{mark}"


def markdown_table(table: tables.Table[T]) -> str:
    """Returns a table in Markdown, its cells escaped."""
    cells = [[escape(cell) for cell in row] for row in table.rows()]
    headers = [escape(column.header) for column in table.columns]
    aligned = [column.align for column in table.columns]
    return tabulate(cells, headers, tablefmt="pipe", colalign=aligned, disable_numparse=True)


def _section(section: Section) -> Iterator[str]:
    yield f"## {escape(section_title(section))}"
    yield from map(escape, summary_sentences(section))
    if any(row.trial is not None and row.validation_error_percent is not None for row in section.rows):
        yield f"![Validation error against the cost of the search]({PLOT_FILE})"
    if section.ranked:
        yield "### Ranked by test error"
        yield markdown_table(tables.board_table(tables.ranked_columns(section), section.ranked_entries))
        yield "\n".join([_LEGEND, *map(escape, tables.remarks(section.ranked_entries))])
        yield "### Seeds and configurations"
        yield markdown_table(tables.board_table(tables.DETAIL_COLUMNS, section.ranked_entries))
    if section.unverified:
        yield "### Not verified on the test images"
        yield markdown_table(tables.board_table((*tables.UNVERIFIED_COLUMNS, "changes"), section.unverified))
        yield from map(escape, tables.remarks(section.unverified))
    if section.failures:
        yield f"### {tables.FAILURES_TITLE}"
        yield markdown_table(tables.failure_table(section.failures))
    yield escape(cost_line(section))
    if section.headline:
        yield from _configuration(section.headline)
    if tables.has_continued_trials(section):
        yield "### Search trials one by one"
        yield markdown_table(tables.trial_table(section))
    yield "### Studies"
    yield markdown_table(tables.study_table(section.studies))
    yield fence("sh", (formatting.one_line(study.command) for study in section.studies if study.command))


def _configuration(row: Row) -> Iterator[str]:
    """Yields the configuration, as a file for ``python -m search run --config``, and hardware and versions."""
    yield f"### Configuration of {escape(row.name)}, study {escape(row.study.name)}"
    yield fence("toml", [formatting.config_toml(row.study, row.config)])
    if environment := formatting.environment_text(row.environment):
        yield f"Its test runs ran on: {escape(environment)}."
