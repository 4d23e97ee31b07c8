"""Ranking: the order of a section's rows, and the places that each may have.

Knows only rows; called by ``rows``. A row's place is that of its mean. Its range of places is what the runs show:
behind every row that is shown to be better, before every row that is shown to be worse, each pair judged by the 95 %
interval of its own difference, not corrected for the number of pairs.

Source: Goldstein and Spiegelhalter, "League Tables and Their Limitations", J. R. Statist. Soc. A 159 (1996), for why a
table of places needs their uncertainty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf

from search.leaderboard.board import NextRankComparison, Row
from search.leaderboard.variance import error_difference, p_value
from search.trial import State

STATE_ORDER = (State.COMPLETE, State.PAUSED, State.PRUNED, State.FAILED, State.INTERRUPTED, None)
"""How a trial ended, the most telling first; None where it did not end."""


def rank_rows(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Returns the verified rows by mean test error with their ranks, then the others by state and validation error."""
    rows = tuple(rows)
    verified = sorted((row for row in rows if row.test_error), key=_by_test_error)
    others = sorted((row for row in rows if not row.test_error), key=_by_validation_error)
    return (*_with_ranks(verified), *others)


def _with_ranks(verified: Sequence[Row]) -> list[Row]:
    """Returns the rows, best mean first, with their places and how each stands to the next."""
    better, worse = [0] * len(verified), [0] * len(verified)
    for ahead, behind in combinations(range(len(verified)), 2):
        gap = error_difference(verified[behind].run_errors, verified[ahead].run_errors)
        if gap.mean > 0 and not gap.is_tie:
            worse[ahead] += 1
            better[behind] += 1
    following = [*verified[1:], None][: len(verified)]
    return [
        replace(
            row,
            rank=at + 1,
            rank_range=(better[at] + 1, len(verified) - worse[at]),
            next_rank=None if after is None else _next_rank_comparison(row, after),
        )
        for at, (row, after) in enumerate(zip(verified, following, strict=True))
    ]


def _next_rank_comparison(row: Row, after: Row) -> NextRankComparison:
    return NextRankComparison(
        difference=error_difference(row.run_errors, after.run_errors), p_value=p_value(row.run_errors, after.run_errors)
    )


def _row_key(row: Row) -> tuple[str, int]:
    return (row.study.name, -1 if row.trial is None else row.trial)


def _by_test_error(row: Row) -> tuple[float, str, int]:
    return (row.test_error.mean if row.test_error else inf, *_row_key(row))


def _by_validation_error(row: Row) -> tuple[int, float, str, int]:
    error = row.validation_error_percent
    return (STATE_ORDER.index(row.state), inf if error is None else error, *_row_key(row))
