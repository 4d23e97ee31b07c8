"""The columns of the board for machines: CSV, JSON and the DataFrame hold these, under these names, in this order.

A name that stands here is not renamed or given another meaning without a new number in ``render_json.SCHEMA``.

The board as a pandas DataFrame, for notebooks.

The board as CSV: a header and one line a row, with the columns of ``columns.COLUMNS``.

A list is written as its items with blanks between them, a map as ``name=value`` pairs with blanks between them; what a
row does not have is empty. Every value stands on one line. The published figures are not rows, and stand in the other
formats.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from search.leaderboard import formatting
from search.leaderboard.board import UNFINISHED, Board, Row
from search.leaderboard.statistics import Interval
from search.records.record import flatten


def render(board: Board) -> str:
    """Returns the board as CSV."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row_record(row).items()} for row in all_rows(board))
    return lines.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_cell(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(_cell(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else formatting.one_line(value)


if TYPE_CHECKING:
    import pandas as pd


def dataframe(board: Board) -> pd.DataFrame:
    """Returns one line a row with the columns of ``columns.COLUMNS``; cells of lists and maps stay lists and maps."""
    import pandas as pd

    return pd.DataFrame([row_record(row) for row in all_rows(board)], columns=list(COLUMNS))


@dataclass(frozen=True, slots=True)
class DataColumn:
    """One column.

    Args:
        doc: Meaning, with the unit.
        value: Takes it from a row: None, text, a number, a truth value, a list or a map.
    """

    doc: str
    value: Callable[[Row], Any]


def _low(interval: Interval | None) -> float | None:
    return interval.low if interval else None


def _high(interval: Interval | None) -> float | None:
    return interval.high if interval else None


COLUMNS: Mapping[str, DataColumn] = MappingProxyType(
    {
        "rank": DataColumn("Place by mean test error, from 1; empty unless verified.", lambda row: row.rank),
        "rank_first": DataColumn(
            "First place that it may have, for all that the runs show.",
            lambda row: row.rank_range[0] if row.rank_range else None,
        ),
        "rank_last": DataColumn("Last such place.", lambda row: row.rank_range[1] if row.rank_range else None),
        "label": DataColumn("baseline, recipe: NAME, found, or baseline (tutorial protocol).", lambda row: row.label),
        "study": DataColumn("The study's name.", lambda row: row.study.name),
        "trial": DataColumn("Number of the search trial.", lambda row: row.trial),
        "state": DataColumn(
            "complete, paused (at an epoch that the engine asked for), pruned, failed, interrupted or unfinished.",
            lambda row: row.state.value if row.state else UNFINISHED,
        ),
        "cause": DataColumn("Why it failed or was interrupted.", lambda row: row.cause.value if row.cause else None),
        "validation_error_percent": DataColumn("What steered the search.", lambda row: row.validation_error_percent),
        "test_error_percent": DataColumn(
            "Mean test error over the complete runs.", lambda row: row.test_error.mean if row.test_error else None
        ),
        "test_error_percent_low": DataColumn(
            "Lower end of its 95 % interval over seeds and test images; empty where there is none.",
            lambda row: _low(row.test_error.interval if row.test_error else None),
        ),
        "test_error_percent_high": DataColumn(
            "Upper end.", lambda row: _high(row.test_error.interval if row.test_error else None)
        ),
        "test_errors_percent": DataColumn(
            "Test error of each complete run.", lambda row: [run.error_percent for run in row.completed_replicates]
        ),
        "test_seeds": DataColumn(
            "Seed of each complete run.", lambda row: [run.seed for run in row.completed_replicates]
        ),
        "test_runs": DataColumn("Complete test runs.", lambda row: len(row.completed_replicates)),
        "test_runs_without_figure": DataColumn(
            "Test runs that failed, were interrupted or are unfinished.",
            lambda row: len(row.replicates) - len(row.completed_replicates),
        ),
        "baseline_difference_points": DataColumn(
            "Test error minus the verified baseline's, in percentage points.",
            lambda row: row.baseline_difference.mean if row.baseline_difference else None,
        ),
        "baseline_difference_points_low": DataColumn(
            "Lower end of its 95 % interval.",
            lambda row: _low(row.baseline_difference.interval if row.baseline_difference else None),
        ),
        "baseline_difference_points_high": DataColumn(
            "Upper end.", lambda row: _high(row.baseline_difference.interval if row.baseline_difference else None)
        ),
        "baseline_difference_paired": DataColumn(
            "Whether it was taken seed by seed.",
            lambda row: row.baseline_difference.paired if row.baseline_difference else None,
        ),
        "tutorial_difference_points": DataColumn(
            "Test error minus the tutorial's figure, in percentage points.", lambda row: row.tutorial_difference
        ),
        "next_difference_points": DataColumn(
            "Test error minus that of the next place, in percentage points.",
            lambda row: row.next_rank.difference.mean if row.next_rank else None,
        ),
        "next_difference_points_low": DataColumn(
            "Lower end of its 95 % interval.",
            lambda row: _low(row.next_rank.difference.interval if row.next_rank else None),
        ),
        "next_difference_points_high": DataColumn(
            "Upper end.", lambda row: _high(row.next_rank.difference.interval if row.next_rank else None)
        ),
        "next_p": DataColumn(
            "How often models that err alike would differ from the next place as much on these test images.",
            lambda row: row.next_rank.p_value if row.next_rank else None,
        ),
        "validation_to_test_points": DataColumn(
            "Test error minus validation error, in percentage points.", lambda row: row.validation_test_gap
        ),
        "parameters": DataColumn("Trainable parameters.", lambda row: row.parameters),
        "epochs": DataColumn("Epochs that its figure was reached after.", lambda row: row.epochs),
        "parent": DataColumn(
            "Number of the search trial that it went on from.",
            lambda row: row.segments[-1].parent if row.segments else None,
        ),
        "engine_notes": DataColumn(
            "What the engine noted of it.", lambda row: dict(row.segments[-1].engine_metadata) if row.segments else {}
        ),
        "seconds": DataColumn("Wall-clock seconds of the search trial.", lambda row: row.seconds),
        "space": DataColumn("The space's name.", lambda row: row.study.space.name),
        "engine": DataColumn("The engine that proposed it.", lambda row: row.study.engine),
        "sampler": DataColumn("The engine's sampler.", lambda row: row.study.sampler),
        "pruner": DataColumn("The engine's pruner.", lambda row: row.study.pruner),
        "study_seed": DataColumn("The study's seed.", lambda row: row.study.seed),
        "changes": DataColumn("Parameters whose value is not the baseline's.", lambda row: row.changed_parameters),
        "config": DataColumn("All active parameters.", lambda row: dict(row.config)),
        "dataset": DataColumn("The data set's name.", lambda row: row.study.protocol.dataset),
        "data_sha256": DataColumn("Hash over its arrays, 12 digits.", lambda row: row.study.protocol.data_sha256[:12]),
        "protocol": DataColumn("holdout or tutorial.", lambda row: row.study.protocol.name.value),
        "protocol_version": DataColumn("Major.Minor.", lambda row: row.study.protocol.version),
        "protocol_epochs": DataColumn("Epochs that a trial is given.", lambda row: row.study.protocol.epochs),
        "environment": DataColumn(
            "Versions and hardware of the run that gave the figure.", lambda row: flatten(row.environment)
        ),
        "machine": DataColumn(
            "The GPU, or the processor and its cores.", lambda row: formatting.machine_label(row) or None
        ),
        "node": DataColumn(
            "Node of the cluster that the last search trial ran on; empty where it was no cluster's.",
            lambda row: (row.segments[-1].node or None) if row.segments else None,
        ),
        "package_version": DataColumn(
            "Version of this package that made the study.", lambda row: formatting.package_version(row.study) or None
        ),
        "copied_from": DataColumn(
            "The study that all its runs were taken over from; empty where one is its own.",
            lambda row: row.copied_from or None,
        ),
        "command": DataColumn("The command that made the study.", lambda row: row.study.command),
        "caveat": DataColumn("What the figure must not be taken for.", lambda row: row.caveat),
    }
)
"""Columns by name."""


def all_rows(board: Board) -> list[Row]:
    """Returns the rows of all sections, in their order."""
    return [row for section in board.sections for row in section.rows]


def row_record(row: Row) -> dict[str, Any]:
    """Returns a row's columns, lists and maps as such."""
    return {name: column.value(row) for name, column in COLUMNS.items()}
