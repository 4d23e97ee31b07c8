"""The comparison as Markdown for a code host; everything that a user named is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from search.compare import tables
from search.compare.results import Comparison
from search.compare.summary import summary_sentences, term_sentences
from search.leaderboard import formatting
from search.leaderboard.render_markdown import escape
from search.records.record import flatten

PLOT_FILE = "comparison.svg"
UNLIMITED_WIDTH = 1000
"""Room in which every column fits."""

_TABLE_NOTES = """\
Engines that share a rank (`=`) are not shown to differ from the first of them: the paired t test over repeats gives a
p, adjusted for the number of pairs, of 0.05 or more, or there are too few repeats for one. A study's figure is the test
error of the complete search trial with the least validation error, retrained on all training images with fresh seeds.
Intervals are Student's t over repeats; they leave out the choice of test images. Epochs and minutes are those of the
search alone, trials that were paused, pruned, failed or cut off included."""


def to_markdown(comparison: Comparison) -> str:
    """Returns the comparison as Markdown."""
    return "\n\n".join(_markdown_blocks(comparison)) + "\n"


def _markdown_blocks(comparison: Comparison) -> Iterator[str]:
    yield f"# Tournament {escape(comparison.spec.name)}"
    yield from map(escape, summary_sentences(comparison))
    first, *others = tables.comparison_tables(comparison, width=UNLIMITED_WIDTH)
    yield from (f"## {first.title}", _markdown_table(first), _TABLE_NOTES)
    if any(run.curve for _, run in comparison.studies):
        yield f"![Best validation error so far against epochs and minutes]({PLOT_FILE})"
    for table in others:
        yield from (f"## {table.title}", _markdown_table(table))
    yield "## Terms"
    yield from map(escape, term_sentences(comparison))
    yield from _environment_sentences(comparison)
    if comparison.spec.commands:
        yield _fence("sh", map(formatting.one_line, comparison.spec.commands))


def _environment_sentences(comparison: Comparison) -> Iterator[str]:
    """Yields what the trials ran on; several combinations are said to be several."""
    shared = comparison.spec.terms
    parts = [f"{name}: {shared[name]}" for name in ("workers", "threads") if name in shared]
    if parts:
        yield escape(f"{', '.join(parts)} each.".capitalize())
    if len(comparison.environments) > 1:
        yield "Caution: not all trials ran on the same versions and hardware, so their times cannot be compared."
    for environment in comparison.environments:
        values = [f"{name.rpartition('.')[2]} {value}" for name, value in flatten(environment).items()]
        yield f"Trials ran on: {escape(', '.join(values))}."
    if comparison.first_header and comparison.first_header.versions:
        values = [f"{name} {version}" for name, version in comparison.first_header.versions.items()]
        yield f"Searched with: {escape(', '.join(values))}."


def _markdown_table(table: tables.ComparisonTable) -> str:
    escaped = [[escape(cell) for cell in line] for line in table.rows]
    headers: Sequence[str] = [formatting.one_line(header) for header in table.headers]
    aligned = ["right" if number else "left" for number in table.numeric_columns]
    return tabulate(escaped, headers, tablefmt="pipe", colalign=aligned, disable_numparse=True)


def _fence(language: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    longest = max((len(ticks) for ticks in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"
