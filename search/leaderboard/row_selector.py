"""Selects a row of a study's board by ``winner``, ``baseline``, ``rank:2`` or the number of a search trial.

The winner is the verified row with the lowest validation figure; ranks are those of the test error.

Called by ``reproduce``, ``export`` and ``predict``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from search.errors import UserError
from search.leaderboard.board import Row
from search.leaderboard.compute import compute
from search.records.record import StudyRecord
from search.trial import Phase

WINNER, BASELINE = "winner", "baseline"
ROW_SYNTAX = "winner, baseline, rank:2, or the number of a search trial"
_RANK = re.compile(r"rank:([0-9]{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedRow:
    """A selected row.

    Args:
        row: The row.
        note: A remark on the selection; mostly empty.
    """

    row: Row
    note: str = ""


def select_row(record: StudyRecord, text: str) -> SelectedRow:
    """Returns the row for a text in ``ROW_SYNTAX``.

    Raises:
        UserError: The study has no finished trial, or no such row.
    """
    board, name = compute([record]), record.header.name
    rows = [row for section in board.sections for row in section.rows]
    if not rows:
        raise UserError(" ".join(board.notes), hint=f"python -m search status {name} shows what it does.")
    if text == WINNER:
        return _winner(rows, name)
    if text == BASELINE:
        matching = [row for row in rows if row.is_baseline or row.trial is None]
    elif match := _RANK.fullmatch(text):
        return _ranked(rows, int(match[1]), name)
    elif text.isdecimal():
        matching = [row for row in rows if int(text) in {row.trial, *(step.trial for step in row.segments)}]
    else:
        raise UserError(f"Unknown row. Expected: {ROW_SYNTAX}. Received: {text!r}.")
    if not matching:
        raise UserError(f"Study {name!r} has no such row. Received: {text!r}.", hint=_hint(record))
    return SelectedRow(row=matching[0])


def _winner(rows: list[Row], name: str) -> SelectedRow:
    """Returns the row chosen by validation, or the first with a validation error where none is verified."""
    if chosen := [row for row in rows if row.chosen_in]:
        return SelectedRow(row=chosen[0])
    validated = [row for row in rows if row.validation_error_percent is not None and not row.is_too_large]
    if not validated:
        raise UserError(
            f"No trial of study {name!r} has a validation error.", hint=f"python -m search status {name} shows why."
        )
    note = (
        f"No row of study {name} was verified on the test images; {validated[0].name} is the best by validation error."
    )
    return SelectedRow(row=validated[0], note=note)


def _ranked(rows: list[Row], rank: int, name: str) -> SelectedRow:
    ranked = [row for row in rows if row.rank is not None]
    if not 1 <= rank <= len(ranked):
        expected = f"rank:1 to rank:{len(ranked)}" if ranked else "none: no row was verified"
        raise UserError(f"Study {name!r} has no row of this rank. Expected: {expected}. Received: 'rank:{rank}'.")
    return SelectedRow(row=ranked[rank - 1])


def _hint(record: StudyRecord) -> str:
    searched = len(record.trials_in_phase(Phase.SEARCH))
    numbers = f"Its search trials are 0 to {searched - 1}. " if searched else "It has no search trials. "
    return f"{numbers}python -m search leaderboard {record.header.name} shows its rows."
