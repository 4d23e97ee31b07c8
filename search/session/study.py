"""A recorded study in Python: its winner, board, pages and trained model.

Returned by ``search.run`` and ``search.baseline``; a notebook shows it as a table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import SearchError
from search.leaderboard.board import Board, Row
from search.leaderboard.compute import compute
from search.leaderboard.row_selector import WINNER, select_row
from search.leaderboard.statistics import EQUIVALENCE_POINTS
from search.leaderboard.summary import summary_sentences
from search.records.reader import read_study
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.reproduction.restore import ReproductionOptions

if TYPE_CHECKING:
    import pandas as pd

NARROW_COLUMNS = {
    "rank": "rank",
    "label": "configuration",
    "trial": "trial",
    "validation_error_percent": "validation error %",
    "test_error_percent": "test error %",
    "test_error_percent_low": "from",
    "test_error_percent_high": "to",
    "changes": "changed from the baseline",
}
"""Columns of the table that a notebook shows, by those of ``leaderboard``."""
MAX_HTML_ROWS = 10
"""Rows of that table."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Study:
    """A recorded study.

    Args:
        name: Its name.
        place: Where it is kept.
        interrupted: Whether the user stopped the session that returned it.
        goal: The goal that its search reached, in words; empty if none.
        missing: Verification runs for which the time did not suffice.
        reports: The report files that were written.
        messages: A line for each report that could not be made.
        equivalence_points: Half the width of the region of practical equivalence, in percentage points.
        reproduction_options: Where its data are, for ``model``.
    """

    name: str
    place: StudyLocation
    interrupted: bool = False
    goal: str = ""
    missing: int = 0
    reports: tuple[Path, ...] = ()
    messages: tuple[str, ...] = ()
    equivalence_points: float = EQUIVALENCE_POINTS
    reproduction_options: ReproductionOptions = field(default_factory=ReproductionOptions)

    def __repr__(self) -> str:
        """Returns the name, and the test error of the chosen row."""
        try:
            sections = self.board.sections
        except SearchError:  # its folder was removed
            sections = ()
        result = summary_sentences(sections[0])[0] if sections else "no trial has ended."
        return f"<Study {self.name}: {result}>"

    @property
    def record(self) -> StudyRecord:
        """The record, read again at every access."""
        return read_study(self.place, self.name)

    @property
    def board(self) -> Board:
        """The leaderboard as values."""
        return compute([self.record], self.equivalence_points)

    @property
    def winner(self) -> Row:
        """The configuration chosen by validation; the best by validation error where none was verified.

        Raises:
            UserError: No trial has ended.
        """
        return select_row(self.record, WINNER).row

    @property
    def best_config(self) -> Mapping[str, Any]:
        """The winner's parameters and their values. Raises a ``UserError`` if no trial has ended."""
        return dict(self.winner.config)

    @property
    def best_error(self) -> float | None:
        """The winner's test error in percent, the mean over its seeds; None where it was not verified."""
        test_error = self.winner.test_error
        return None if test_error is None else test_error.mean

    @property
    def report(self) -> Path | None:
        """The page, a HTML file that needs nothing else; None if it was not written."""
        return next((path for path in self.reports if path.suffix == ".html"), None)

    def leaderboard(self) -> pd.DataFrame:
        """Returns the leaderboard, a row a trial, best first, with the columns of ``leaderboard.csv``."""
        from search.leaderboard.render_data import dataframe

        return dataframe(self.board)

    def model(self, row: str = WINNER, *, out: str | Path | None = None, seed: int | None = None) -> Any:
        """Trains a row of the board on all training images and returns the Keras model.

        Args:
            row: "winner", "baseline", "rank:2" or the number of a search trial.
            out: File for the model, ``*.keras``; None to keep none.
            seed: Seed of the training; None for the row's first.

        Raises:
            UserError: There is no such row, or the file cannot be written.
            FatalError: The training failed.
        """
        from search.export.model import export_model, load_model
        from search.export.target import make_target

        target = make_target(self.record, row, seed=seed, reproduction_options=self.reproduction_options)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(out) if out is not None else Path(folder, "model.keras")
            return load_model(export_model(target, path, is_scored=False).path)

    def _repr_html_(self) -> str:
        """Returns the main columns of the board, and what its figures show."""
        from html import escape

        from search.leaderboard.render_data import csv_cell, dataframe

        board = self.board
        frame = dataframe(board)
        if frame.empty:
            return f"<p>Study {escape(self.name)}: no trial has ended.</p>"
        marks = frame["chosen_in"].map(lambda names: " *" if names else "")
        marks += frame["is_short"].map(lambda is_short: " (short)" if is_short else "")
        narrow = frame[list(NARROW_COLUMNS)].assign(
            rank=frame["rank"].astype("Int64").astype("string").fillna(""),
            label=frame["label"] + marks,
            changes=frame["changes"].map(csv_cell),
        )
        shown = narrow.head(MAX_HTML_ROWS).rename(columns=NARROW_COLUMNS)
        table = shown.to_html(index=False, na_rep="", float_format="{:.2f}".format, justify="left")
        if len(frame) > MAX_HTML_ROWS:
            table += f"<p>{len(frame) - MAX_HTML_ROWS} more rows: leaderboard() has all.</p>"
        sentences = [sentence for section in board.sections for sentence in summary_sentences(section)]
        return f"{table}<p>{'<br>'.join(map(escape, sentences))}</p>"
