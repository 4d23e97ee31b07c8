"""The board as CSV: a header and one line a row, with the columns of ``columns.COLUMNS``.

A list is written as its items with blanks between them, a map as ``name=value`` pairs with blanks between them; what a
row does not have is empty. Every value stands on one line. The published figures are not rows, and stand in the other
formats.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from search.leaderboard import columns, words
from search.leaderboard.board import Board


def render(board: Board) -> str:
    """Returns the board as CSV."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, columns.COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: _cell(value) for name, value in columns.row_record(row).items()} for row in columns.all_rows(board)
    )
    return lines.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_cell(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(_cell(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else words.one_line(value)
