"""Ranks the rows of a section by mean test error, each with the range of ranks that the runs leave open.

A row ranks behind every row that is shown to be better and before every row that is shown to be worse. All pairs of a
section are judged together: their p values are adjusted, so that of a board of equal rows one in twenty tells any pair
apart. Called by ``compute``.

Source: Goldstein and Spiegelhalter, "League Tables and Their Limitations", J. R. Statist. Soc. A 159 (1996), for ranges
of ranks; Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91 (2024), for such of adjusted pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf

from search.leaderboard.board import Row
from search.leaderboard.statistics import CONFIDENCE, holm
from search.leaderboard.variance import RunErrors, error_difference
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


def told_apart(runs: Sequence[RunErrors]) -> list[list[bool]]:
    """Returns whether each configuration is shown to have a lower error than each other, in the order given."""
    pairs = list(combinations(range(len(runs)), 2))
    differences = [error_difference(runs[first], runs[second]) for first, second in pairs]
    adjusted = holm([1.0 if difference.p is None else difference.p for difference in differences])
    is_lower = [[False] * len(runs) for _ in runs]
    for (first, second), difference, p in zip(pairs, differences, adjusted, strict=True):
        if p < 1 - CONFIDENCE:
            lower, higher = (first, second) if difference.mean < 0 else (second, first)
            is_lower[lower][higher] = True
    return is_lower


def _with_ranks(verified: Sequence[Row]) -> list[Row]:
    """Returns the rows, given by mean test error, with their ranks and differences to the next rank."""
    runs = [row.run_errors for row in verified]
    is_lower = told_apart(runs)
    return [
        replace(
            row,
            rank=index + 1,
            rank_range=(sum(line[index] for line in is_lower) + 1, len(verified) - sum(is_lower[index])),
            next_difference=error_difference(runs[index], runs[index + 1]) if index + 1 < len(verified) else None,
        )
        for index, row in enumerate(verified)
    ]


def _row_key(row: Row) -> tuple[str, int]:
    return (row.study.name, -1 if row.trial is None else row.trial)


def _by_test_error(row: Row) -> tuple[float, str, int]:
    return (row.test_error.mean if row.test_error else inf, *_row_key(row))


def _by_validation_error(row: Row) -> tuple[int, float, str, int]:
    return unverified_order(row.state, row.validation_error_percent, *_row_key(row))


def unverified_order(
    state: State | None, validation_error_percent: float | None, study: str, trial: int
) -> tuple[int, float, str, int]:
    """Returns the key by which rows without a test error are sorted."""
    error = inf if validation_error_percent is None else validation_error_percent
    return (STATE_ORDER.index(state), error, study, trial)
