"""The board as a pandas DataFrame, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.leaderboard import columns
from search.leaderboard.board import Board

if TYPE_CHECKING:
    import pandas as pd


def dataframe(board: Board) -> pd.DataFrame:
    """Returns one line a row with the columns of ``columns.COLUMNS``; cells of lists and maps stay lists and maps."""
    import pandas as pd

    return pd.DataFrame([columns.row_record(row) for row in columns.all_rows(board)], columns=list(columns.COLUMNS))
