r"""The board as Markdown for a code host.

Everything that a user named is escaped: in text by backslashes and entities, in a code block by a fence that is longer
than any in it.

Source: CommonMark 0.31.2, 2.4 (any punctuation may be escaped) and 4.5 (fences); GFM 4.10 (``\|`` in table cells).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from search.leaderboard import failure_table, formatting, tables
from search.leaderboard.board import Board, Row, Section
from search.leaderboard.config_toml import to_toml
from search.leaderboard.summary import summary_sentences
from search.leaderboard.tables import has_trial_details, trial_details
from search.records.failures import FailureGroup
from search.records.record import flatten

_RUNS = tables.DisplayColumn(
    "Test error % by seed",
    lambda row: ", ".join(f"{seed}: {formatting.percent(error)}" for seed, error in row.errors_by_seed.items()),
    lambda reference: reference.source,
    lambda ensemble: f"models: {formatting.ensemble_members(ensemble)}",
    is_numeric=False,
)
_CHANGES = tables.DisplayColumn(
    "Changed from the baseline", lambda row: formatting.parameter_values(row.changed_parameters), is_numeric=False
)

PLOT_FILE = "leaderboard.svg"
"""The plot that lies beside the report."""

_LEGEND = """\
A rank is a range where these runs leave the order open: each pair of rows is judged by the 95 % interval of its own
difference. Intervals cover the training seeds and the choice of the test images; an ensemble's, the test images alone.
`p, to next`: how often models that err alike would differ from the next row as much on these images (McNemar's test
for one run each, a permutation test over images for several)."""


def render(board: Board) -> str:
    """Returns the board as Markdown."""
    blocks = ["# Leaderboard", *(block for section in board.sections for block in _section(section))]
    return "\n\n".join([*blocks, *(escape(note) for note in board.notes)]) + "\n"


def escape(text: object) -> str:
    """Returns the text on one line, so that a Markdown reader shows it as it is."""
    escaped = re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", formatting.one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(section: Section) -> Iterator[str]:
    yield f"## {escape(tables.section_title(section))}"
    yield from (escape(sentence) for sentence in summary_sentences(section))
    if any(row.trial is not None and row.validation_error_percent is not None for row in section.rows):
        yield f"![Validation error against the cost of the search]({PLOT_FILE})"
    if section.ranked:
        yield "### Ranked by test error"
        yield _table((*tables.RANKED_COLUMNS, _RUNS, _CHANGES), tables.ranked_entries(section))
        yield _LEGEND
    if section.unverified:
        yield "### Not verified on the test images"
        yield _table((*tables.UNVERIFIED_COLUMNS, _CHANGES), section.unverified)
    if section.failures:
        yield f"### {failure_table.SECTION_TITLE}"
        yield _failures(section.failures)
    yield escape(tables.cost_line(section))
    if section.ranked:
        yield from _winner(section.ranked[0])
    if has_trial_details(section):
        one_by_one = trial_details(section)
        yield "### Search trials one by one"
        yield _markdown([*map(escape, one_by_one.headers)], one_by_one.rows, one_by_one.alignments)
    yield from _studies(section)


def _winner(row: Row) -> Iterator[str]:
    """Yields the configuration, as a file that ``python -m search run --config`` takes, and what it ran on."""
    yield f"### Configuration of {escape(row.name)}, study {escape(row.study.name)}"
    yield _fence("toml", [to_toml(row.study, row.config)])
    environment = [f"{key.rpartition('.')[2]} {value}" for key, value in flatten(row.environment).items()]
    if environment:
        yield f"Its test runs ran on: {escape(', '.join(environment))}."


def _failures(failures: Sequence[FailureGroup]) -> str:
    shown = failure_table.visible_columns(failures)
    cells = [[column.cell(failure) for column in shown] for failure in failures]
    return _markdown([column.header for column in shown], cells, [column.align for column in shown])


def _studies(section: Section) -> Iterator[str]:
    yield "### Studies"
    headers = ("Study", "Space", "Engine", "Sampler", "Pruner", "Seed", "Epochs", "Split", "Split seed", "Created")
    cells = [
        (
            study.name,
            study.space.name,
            study.engine,
            study.sampler,
            study.pruner,
            study.seed,
            study.protocol.epochs,
            study.protocol.split.value,
            study.protocol.split_seed,
            study.created,
        )
        for study in section.studies
    ]
    yield _markdown(headers, cells)
    yield _fence("sh", (formatting.one_line(study.command) for study in section.studies if study.command))


def _table(columns: Sequence[tables.DisplayColumn], entries: Sequence[tables.BoardEntry]) -> str:
    shown = tables.informative_columns(columns, entries)
    cells = [[column.text(entry) for column in shown] for entry in entries]
    aligned = ["right" if column.is_numeric else "left" for column in shown]
    return _markdown([formatting.one_line(column.header) for column in shown], cells, aligned)


def _markdown(headers: Sequence[str], cells: Iterable[Sequence[object]], aligned: Sequence[str] = ()) -> str:
    escaped = [[escape(cell) for cell in line] for line in cells]
    return tabulate(escaped, headers, tablefmt="pipe", colalign=aligned or None, disable_numparse=True)


def _fence(language: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    longest = max((len(ticks) for ticks in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"
