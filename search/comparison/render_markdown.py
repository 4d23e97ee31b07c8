"""The comparison as Markdown for a code host; everything that a user named is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from search.comparison import tables
from search.comparison.results import Comparison
from search.comparison.verdict import terms, verdict
from search.leaderboard import words
from search.leaderboard.render_markdown import escape
from search.records.record import flat

PICTURE = "comparison.svg"
WIDE = 1000
"""Room in which every column fits."""

_LEGEND = """\
Engines that share a rank (`=`) are not shown to differ from the first of them: the paired t test over repeats gives a
p, adjusted for the number of pairs, of 0.05 or more, or there are too few repeats for one. A study's figure is the test
error of the complete search trial with the least validation error, retrained on all training images with fresh seeds.
Intervals are Student's t over repeats; they leave out the choice of test images. Epochs and minutes are those of the
search alone, trials that were paused, pruned, failed or cut off included."""


def render(comparison: Comparison) -> str:
    """Returns the comparison as Markdown."""
    return "\n\n".join(_blocks(comparison)) + "\n"


def _blocks(comparison: Comparison) -> Iterator[str]:
    yield f"# Tournament {escape(comparison.rules.name)}"
    yield from map(escape, verdict(comparison))
    first, *others = tables.tables(comparison, room=WIDE)
    yield from (f"## {first.title}", _table(first), _LEGEND)
    if any(run.curve for _, run in comparison.runs):
        yield f"![Best validation error so far against epochs and minutes]({PICTURE})"
    for table in others:
        yield from (f"## {table.title}", _table(table))
    yield "## Terms"
    yield from map(escape, terms(comparison))
    yield from _circumstances(comparison)
    if comparison.rules.commands:
        yield _fence("sh", map(words.one_line, comparison.rules.commands))


def _circumstances(comparison: Comparison) -> Iterator[str]:
    """Yields what the trials ran on; several combinations are said to be several."""
    shared = comparison.rules.terms
    parts = [f"{name}: {shared[name]}" for name in ("workers", "threads") if name in shared]
    if parts:
        yield escape(f"{', '.join(parts)} each.".capitalize())
    if len(comparison.environments) > 1:
        yield "Caution: not all trials ran on the same versions and hardware, so their times cannot be compared."
    for environment in comparison.environments:
        values = [f"{name.rpartition('.')[2]} {value}" for name, value in flat(environment).items()]
        yield f"Trials ran on: {escape(', '.join(values))}."
    if comparison.study and comparison.study.versions:
        values = [f"{name} {version}" for name, version in comparison.study.versions.items()]
        yield f"Searched with: {escape(', '.join(values))}."


def _table(cells: tables.Table) -> str:
    escaped = [[escape(cell) for cell in line] for line in cells.lines]
    headers: Sequence[str] = [words.one_line(header) for header in cells.headers]
    aligned = ["right" if number else "left" for number in cells.numbers]
    return tabulate(escaped, headers, tablefmt="pipe", colalign=aligned, disable_numparse=True)


def _fence(language: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    longest = max((len(ticks) for ticks in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"
