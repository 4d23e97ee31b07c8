"""The tables of a comparison for people, as columns of cells: engines, studies, pairs.

Shared by the text and the Markdown renderer, which lay the cells out and escape them. Knows no output format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Generic, TypeVar

from search.compare.results import Comparison, EnginePair, EngineResult, StudyResult
from search.leaderboard import formatting

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ComparisonColumn(Generic[T]):
    """One column.

    Args:
        header: Its name, with the unit; a line break where it may be broken.
        cell: What it says of a row.
        is_numeric: Whether it holds figures, which are set to the right.
        min_width: Characters that a line must have for the column to be worth its place.
    """

    header: str
    cell: Callable[[T], str]
    is_numeric: bool = True
    min_width: int = 0


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """Cells ready to be laid out.

    Args:
        title: What it shows.
        headers: Names of the columns.
        numeric_columns: Of each column, whether it holds figures.
        rows: Texts, a line each.
        highlighted_rows: Which lines stand out.
    """

    title: str
    headers: tuple[str, ...]
    numeric_columns: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    highlighted_rows: frozenset[int] = frozenset()


def comparison_tables(comparison: Comparison, *, width: int) -> list[ComparisonTable]:
    """Returns the tables that have a line, with the columns that fit so many characters."""
    highlighted_rows = frozenset(place for place, entrant in enumerate(comparison.engine_results) if entrant.rank == 1)
    all_tables = [
        _make_table("Engines, means over repeats", _ENGINE_COLUMNS, comparison.engine_results, width, highlighted_rows),
        _make_table("Studies", _STUDY_COLUMNS, comparison.studies, width),
        _make_table("Pairs", _PAIR_COLUMNS, comparison.pairs, width),
    ]
    return [table for table in all_tables if table.rows]


def _make_table(
    title: str,
    columns: Sequence[ComparisonColumn[T]],
    rows: Sequence[T],
    width: int,
    highlighted_rows: frozenset[int] = frozenset(),
) -> ComparisonTable:
    visible_columns = [column for column in columns if column.min_width <= width]
    return ComparisonTable(
        title=title,
        headers=tuple(column.header for column in visible_columns),
        numeric_columns=tuple(column.is_numeric for column in visible_columns),
        rows=tuple(tuple(formatting.one_line(column.cell(row)) for column in visible_columns) for row in rows),
        highlighted_rows=highlighted_rows,
    )


def _format_rank(engine_result: EngineResult) -> str:
    return "" if engine_result.rank is None else f"{engine_result.rank}{'=' if engine_result.ties else ''}"


def format_p_adjusted(pair: EnginePair | None) -> str:
    """Returns an adjusted p for a cell: "0.012", "<0.001", or "tie" beside it; "tie, no p" where there is none."""
    if pair is None:
        return ""
    if pair.p_adjusted is None:
        return "tie, no p"
    p = "<0.001" if pair.p_adjusted < 0.001 else f"{pair.p_adjusted:.3f}"
    return f"{p} tie" if pair.is_tie else p


def _format_difference(pair: EnginePair) -> str:
    interval = pair.difference.interval
    figure = formatting.percentage_points(pair.difference.mean)
    return f"{figure} {formatting.plus_minus(interval)}" if interval else figure


def _format_states(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))


def _format_mean(entrant: EngineResult, figure: Callable[[StudyResult], float], format_spec: str) -> str:
    return format(fmean(map(figure, entrant.studies)), format_spec) if entrant.studies else ""


def _minutes(study: StudyResult) -> float:
    return study.seconds / 60


def _trial_count(study: StudyResult) -> int:
    return sum(study.state_counts.values())


_ENGINE_COLUMNS: tuple[ComparisonColumn[EngineResult], ...] = (
    ComparisonColumn("Rank", _format_rank, is_numeric=False),
    ComparisonColumn("Engine", lambda entrant: entrant.engine, is_numeric=False),
    ComparisonColumn("Test\nerror %", lambda entrant: formatting.estimate(entrant.test)),
    ComparisonColumn("p to\nbest", lambda entrant: format_p_adjusted(entrant.pair_with_best)),
    ComparisonColumn(
        "To baseline,\n% points", lambda entrant: formatting.difference(entrant.difference_to_baseline), min_width=100
    ),
    ComparisonColumn("Val.\nerror %", lambda entrant: formatting.percent(entrant.validation_error_percent)),
    ComparisonColumn("Epochs", lambda entrant: _format_mean(entrant, lambda run: run.epochs, ".0f")),
    ComparisonColumn("Minutes", lambda entrant: _format_mean(entrant, _minutes, ".1f")),
    ComparisonColumn("Trials", lambda entrant: _format_mean(entrant, _trial_count, ".0f")),
    ComparisonColumn("Repeats", lambda entrant: str(len(entrant.errors_by_repeat)), min_width=100),
)

EngineStudy = tuple[EngineResult, StudyResult]
_STUDY_COLUMNS: tuple[ComparisonColumn[EngineStudy], ...] = (
    ComparisonColumn("Study", lambda study: study[1].header.name, is_numeric=False),
    ComparisonColumn("Seed", lambda study: str(study[1].header.seed), min_width=100),
    ComparisonColumn("Best", lambda study: study[1].best_label, is_numeric=False),
    ComparisonColumn("Val.\nerror %", lambda study: formatting.percent(study[1].validation_error_percent)),
    ComparisonColumn("Test\nerror %", lambda study: formatting.percent(study[1].test_error_percent)),
    ComparisonColumn("Baseline's", lambda study: formatting.percent(study[1].baseline_error_percent), min_width=100),
    ComparisonColumn("Epochs", lambda study: str(study[1].epochs)),
    ComparisonColumn("Minutes", lambda study: f"{_minutes(study[1]):.1f}"),
    ComparisonColumn("Trials", lambda study: str(_trial_count(study[1]))),
    ComparisonColumn(
        "How they ended", lambda study: _format_states(study[1].state_counts), is_numeric=False, min_width=120
    ),
)
_PAIR_COLUMNS: tuple[ComparisonColumn[EnginePair], ...] = (
    ComparisonColumn("Lower mean", lambda pair: pair.first, is_numeric=False),
    ComparisonColumn("Against", lambda pair: pair.second, is_numeric=False),
    ComparisonColumn("Difference,\n% points", _format_difference),
    ComparisonColumn("Repeats", lambda pair: str(pair.repeats), min_width=100),
    ComparisonColumn("p", lambda pair: "" if pair.p is None else f"{pair.p:.3f}"),
    ComparisonColumn("p adjusted", format_p_adjusted),
)
