"""The tables of a comparison for people, as columns of cells: engines, studies, pairs.

Shared by the text and the Markdown renderer, which lay the cells out and escape them. Knows no output format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Generic, TypeVar

from search.comparison.results import Comparison, Entrant, Pair, Run
from search.leaderboard import words

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column.

    Args:
        header: Its name, with the unit; a line break where it may be broken.
        cell: What it says of a row.
        number: Whether it holds figures, which are set to the right.
        room: Characters that a line must have for the column to be worth its place.
    """

    header: str
    cell: Callable[[T], str]
    number: bool = True
    room: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Cells ready to be laid out.

    Args:
        title: What it shows.
        headers: Names of the columns.
        numbers: Of each column, whether it holds figures.
        lines: Texts, a line each.
        leading: Which lines stand out.
    """

    title: str
    headers: tuple[str, ...]
    numbers: tuple[bool, ...]
    lines: tuple[tuple[str, ...], ...]
    leading: frozenset[int] = frozenset()


def tables(comparison: Comparison, *, room: int) -> list[Table]:
    """Returns the tables that have a line, with the columns that fit so many characters."""
    first = frozenset(place for place, entrant in enumerate(comparison.entrants) if entrant.rank == 1)
    made = [
        _table("Engines, means over repeats", _ENGINES, comparison.entrants, room, first),
        _table("Studies", _STUDIES, comparison.runs, room),
        _table("Pairs", _PAIRS, comparison.pairs, room),
    ]
    return [table for table in made if table.lines]


def _table(
    title: str, columns: Sequence[Column[T]], rows: Sequence[T], room: int, leading: frozenset[int] = frozenset()
) -> Table:
    shown = [column for column in columns if column.room <= room]
    return Table(
        title=title,
        headers=tuple(column.header for column in shown),
        numbers=tuple(column.number for column in shown),
        lines=tuple(tuple(words.one_line(column.cell(row)) for column in shown) for row in rows),
        leading=leading,
    )


def _rank(entrant: Entrant) -> str:
    return "" if entrant.rank is None else f"{entrant.rank}{'=' if entrant.ties else ''}"


def p_cell(pair: Pair | None) -> str:
    """Returns an adjusted p for a cell: "0.012", "<0.001", or "tie" beside it; "tie, no p" where there is none."""
    if pair is None:
        return ""
    if pair.p_adjusted is None:
        return "tie, no p"
    p = "<0.001" if pair.p_adjusted < 0.001 else f"{pair.p_adjusted:.3f}"
    return f"{p} tie" if pair.is_tie else p


def _gap(pair: Pair) -> str:
    interval = pair.difference.interval
    figure = words.points(pair.difference.mean)
    return f"{figure} {words.plus_minus(interval)}" if interval else figure


def _states(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))


def _mean(entrant: Entrant, figure: Callable[[Run], float], form: str) -> str:
    return format(fmean(map(figure, entrant.runs)), form) if entrant.runs else ""


def _minutes(run: Run) -> float:
    return run.seconds / 60


def _trials(run: Run) -> int:
    return sum(run.states.values())


_ENGINES: tuple[Column[Entrant], ...] = (
    Column("Rank", _rank, number=False),
    Column("Engine", lambda entrant: entrant.engine, number=False),
    Column("Test\nerror %", lambda entrant: words.estimate(entrant.test)),
    Column("p to\nbest", lambda entrant: p_cell(entrant.to_best)),
    Column("To baseline,\n% points", lambda entrant: words.difference(entrant.to_baseline), room=100),
    Column("Val.\nerror %", lambda entrant: words.percent(entrant.validation_error_percent)),
    Column("Epochs", lambda entrant: _mean(entrant, lambda run: run.epochs, ".0f")),
    Column("Minutes", lambda entrant: _mean(entrant, _minutes, ".1f")),
    Column("Trials", lambda entrant: _mean(entrant, _trials, ".0f")),
    Column("Repeats", lambda entrant: str(len(entrant.errors_by_repeat)), room=100),
)

Study = tuple[Entrant, Run]
_STUDIES: tuple[Column[Study], ...] = (
    Column("Study", lambda study: study[1].study.name, number=False),
    Column("Seed", lambda study: str(study[1].study.seed), room=100),
    Column("Best", lambda study: study[1].name, number=False),
    Column("Val.\nerror %", lambda study: words.percent(study[1].validation_error_percent)),
    Column("Test\nerror %", lambda study: words.percent(study[1].test_error_percent)),
    Column("Baseline's", lambda study: words.percent(study[1].baseline_error_percent), room=100),
    Column("Epochs", lambda study: str(study[1].epochs)),
    Column("Minutes", lambda study: f"{_minutes(study[1]):.1f}"),
    Column("Trials", lambda study: str(_trials(study[1]))),
    Column("How they ended", lambda study: _states(study[1].states), number=False, room=120),
)
_PAIRS: tuple[Column[Pair], ...] = (
    Column("Lower mean", lambda pair: pair.first, number=False),
    Column("Against", lambda pair: pair.second, number=False),
    Column("Difference,\n% points", _gap),
    Column("Repeats", lambda pair: str(pair.repeats), room=100),
    Column("p", lambda pair: "" if pair.p is None else f"{pair.p:.3f}"),
    Column("p adjusted", p_cell),
)
