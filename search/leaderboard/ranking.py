"""Ranking: the order of a section's rows, and which of them share a place.

Knows only rows; called by ``rows``. A tie is judged against the first row of a rank, each pair by its own 95 %
interval, not corrected for the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from search.leaderboard.board import Row
from search.leaderboard.statistics import difference
from search.trial import State

STATES = (State.COMPLETE, State.PAUSED, State.PRUNED, State.FAILED, State.INTERRUPTED, None)
"""How a trial ended, the most telling first; None where it did not end."""


def rank(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Returns the verified rows by mean test error with their ranks, then the others by state and validation error."""
    rows = tuple(rows)
    verified = sorted((row for row in rows if row.test), key=_by_test_error)
    others = sorted((row for row in rows if not row.test), key=_by_validation_error)
    ranked: list[Row] = []
    for group in _groups(verified):
        place = len(ranked) + 1
        ranked += [replace(row, rank=place, ties=len(group) - 1) for row in group]
    return (*ranked, *others)


def _groups(verified: Iterable[Row]) -> list[list[Row]]:
    """Splits rows, best first, wherever one is shown to be worse than the first of the group before it."""
    groups: list[list[Row]] = []
    for row in verified:
        if groups and not _is_worse(row, groups[-1][0]):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _is_worse(row: Row, leader: Row) -> bool:
    gap = difference(row.errors_by_seed, leader.errors_by_seed)
    return gap.mean > 0 and not gap.is_tie


def _identity(row: Row) -> tuple[str, int]:
    return (row.study.name, -1 if row.trial is None else row.trial)


def _by_test_error(row: Row) -> tuple[float, str, int]:
    return (row.test.mean if row.test else inf, *_identity(row))


def _by_validation_error(row: Row) -> tuple[int, float, str, int]:
    error = row.validation_error_percent
    return (STATES.index(row.state), inf if error is None else error, *_identity(row))
