"""Ranks the rows of a section by mean test error, each with the range of ranks that the runs leave open.

A row ranks behind every row that is shown to be better and before every row that is shown to be worse. Each pair is
judged by the 95 % interval of its difference, not corrected for the number of pairs. Called by ``compute``.

Source: Goldstein and Spiegelhalter, "League Tables and Their Limitations", J. R. Statist. Soc. A 159 (1996), for ranges
of ranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf

from search.leaderboard.board import NextRankComparison, Row
from search.leaderboard.variance import error_difference, p_value
from search.trial import State

STATE_ORDER = (
    State.COMPLETE,
    State.PAUSED,
    State.SCREENED,
    State.PRUNED,
    State.FAILED,
    State.INTERRUPTED,
    None,
)
"""States from the best to the worst; None for a trial that has not ended."""


def rank_rows(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Returns the verified rows by mean test error with their ranks, then the others by state and validation error.

    A short trial is never ranked with full ones: if there are any, verified short trials follow them without a rank.
    """
    rows = tuple(rows)
    verified = sorted((row for row in rows if row.test_error), key=_by_test_error)
    full, short = ([row for row in verified if row.is_short is is_short] for is_short in (False, True))
    others = sorted((row for row in rows if not row.test_error), key=_by_validation_error)
    return (*_with_ranks(full or short), *(short if full else ()), *others)


def _with_ranks(verified: Sequence[Row]) -> list[Row]:
    """Returns the rows, given by mean test error, with their ranks and comparisons with the next rank."""
    better, worse = [0] * len(verified), [0] * len(verified)
    for ahead, behind in combinations(range(len(verified)), 2):
        gap = error_difference(verified[behind].run_errors, verified[ahead].run_errors)
        if gap.mean > 0 and not gap.is_tie:
            worse[ahead] += 1
            better[behind] += 1
    return [
        replace(
            row,
            rank=index + 1,
            rank_range=(better[index] + 1, len(verified) - worse[index]),
            next_rank=_next_rank_comparison(row, verified[index + 1]) if index + 1 < len(verified) else None,
        )
        for index, row in enumerate(verified)
    ]


def _next_rank_comparison(row: Row, following: Row) -> NextRankComparison:
    ours, theirs = row.run_errors, following.run_errors
    return NextRankComparison(difference=error_difference(ours, theirs), p_value=p_value(ours, theirs))


def _row_key(row: Row) -> tuple[str, int]:
    return (row.study.name, -1 if row.trial is None else row.trial)


def _by_test_error(row: Row) -> tuple[float, str, int]:
    return (row.test_error.mean if row.test_error else inf, *_row_key(row))


def _by_validation_error(row: Row) -> tuple[int, float, str, int]:
    error = row.validation_error_percent
    return (STATE_ORDER.index(row.state), inf if error is None else error, *_row_key(row))
