"""The columns of the board for machines: CSV, JSON and the DataFrame hold these, under these names, in this order.

A name that stands here is not renamed or given another meaning without a new number in ``render_json.SCHEMA``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from search.leaderboard import provenance
from search.leaderboard.board import UNFINISHED, Board, Row
from search.leaderboard.statistics import Interval
from search.records.record import flat


@dataclass(frozen=True, slots=True)
class Column:
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


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "rank": Column("Place by mean test error, from 1; empty unless verified.", lambda row: row.rank),
        "rank_first": Column(
            "First place that it may have, for all that the runs show.", lambda row: row.ranks[0] if row.ranks else None
        ),
        "rank_last": Column("Last such place.", lambda row: row.ranks[1] if row.ranks else None),
        "label": Column("baseline, recipe: NAME, found, or baseline (tutorial protocol).", lambda row: row.label),
        "study": Column("The study's name.", lambda row: row.study.name),
        "trial": Column("Number of the search trial.", lambda row: row.trial),
        "state": Column(
            "complete, paused (at an epoch that the engine asked for), pruned, failed, interrupted or unfinished.",
            lambda row: row.state.value if row.state else UNFINISHED,
        ),
        "cause": Column("Why it failed or was interrupted.", lambda row: row.cause.value if row.cause else None),
        "validation_error_percent": Column("What steered the search.", lambda row: row.validation_error_percent),
        "test_error_percent": Column(
            "Mean test error over the complete runs.", lambda row: row.test.mean if row.test else None
        ),
        "test_error_percent_low": Column(
            "Lower end of its 95 % interval over seeds and test images; empty where there is none.",
            lambda row: _low(row.test.interval if row.test else None),
        ),
        "test_error_percent_high": Column("Upper end.", lambda row: _high(row.test.interval if row.test else None)),
        "test_errors_percent": Column(
            "Test error of each complete run.", lambda row: [run.error_percent for run in row.complete]
        ),
        "test_seeds": Column("Seed of each complete run.", lambda row: [run.seed for run in row.complete]),
        "test_runs": Column("Complete test runs.", lambda row: len(row.complete)),
        "test_runs_without_figure": Column(
            "Test runs that failed, were interrupted or are unfinished.",
            lambda row: len(row.replicates) - len(row.complete),
        ),
        "baseline_difference_points": Column(
            "Test error minus the verified baseline's, in percentage points.",
            lambda row: row.to_baseline.mean if row.to_baseline else None,
        ),
        "baseline_difference_points_low": Column(
            "Lower end of its 95 % interval.", lambda row: _low(row.to_baseline.interval if row.to_baseline else None)
        ),
        "baseline_difference_points_high": Column(
            "Upper end.", lambda row: _high(row.to_baseline.interval if row.to_baseline else None)
        ),
        "baseline_difference_paired": Column(
            "Whether it was taken seed by seed.", lambda row: row.to_baseline.paired if row.to_baseline else None
        ),
        "tutorial_difference_points": Column(
            "Test error minus the tutorial's figure, in percentage points.", lambda row: row.to_tutorial
        ),
        "next_difference_points": Column(
            "Test error minus that of the next place, in percentage points.",
            lambda row: row.to_next.gap.mean if row.to_next else None,
        ),
        "next_difference_points_low": Column(
            "Lower end of its 95 % interval.", lambda row: _low(row.to_next.gap.interval if row.to_next else None)
        ),
        "next_difference_points_high": Column(
            "Upper end.", lambda row: _high(row.to_next.gap.interval if row.to_next else None)
        ),
        "next_p": Column(
            "How often models that err alike would differ from the next place as much on these test images.",
            lambda row: row.to_next.p_value if row.to_next else None,
        ),
        "validation_to_test_points": Column(
            "Test error minus validation error, in percentage points.", lambda row: row.shift
        ),
        "parameters": Column("Trainable parameters.", lambda row: row.parameters),
        "epochs": Column("Epochs that its figure was reached after.", lambda row: row.epochs),
        "parent": Column(
            "Number of the search trial that it went on from.", lambda row: row.steps[-1].parent if row.steps else None
        ),
        "engine_notes": Column(
            "What the engine noted of it.", lambda row: dict(row.steps[-1].notes) if row.steps else {}
        ),
        "seconds": Column("Wall-clock seconds of the search trial.", lambda row: row.seconds),
        "space": Column("The space's name.", lambda row: row.study.space.name),
        "engine": Column("The engine that proposed it.", lambda row: row.study.engine),
        "sampler": Column("The engine's sampler.", lambda row: row.study.sampler),
        "pruner": Column("The engine's pruner.", lambda row: row.study.pruner),
        "study_seed": Column("The study's seed.", lambda row: row.study.seed),
        "changes": Column("Parameters whose value is not the baseline's.", lambda row: row.changes),
        "config": Column("All active parameters.", lambda row: dict(row.config)),
        "dataset": Column("The data set's name.", lambda row: row.study.protocol.dataset),
        "data_sha256": Column("Hash over its arrays, 12 digits.", lambda row: row.study.protocol.data_sha256[:12]),
        "protocol": Column("holdout or tutorial.", lambda row: row.study.protocol.name.value),
        "protocol_version": Column("Major.Minor.", lambda row: row.study.protocol.version),
        "protocol_epochs": Column("Epochs that a trial is given.", lambda row: row.study.protocol.epochs),
        "environment": Column(
            "Versions and hardware of the run that gave the figure.", lambda row: flat(row.environment)
        ),
        "machine": Column("The GPU, or the processor and its cores.", lambda row: provenance.machine(row) or None),
        "node": Column(
            "Node of the cluster that the last search trial ran on; empty where it was no cluster's.",
            lambda row: (row.steps[-1].node or None) if row.steps else None,
        ),
        "package_version": Column(
            "Version of this package that made the study.", lambda row: provenance.version(row.study) or None
        ),
        "copied_from": Column(
            "The study that all its runs were taken over from; empty where one is its own.",
            lambda row: row.copied_from or None,
        ),
        "command": Column("The command that made the study.", lambda row: row.study.command),
        "caveat": Column("What the figure must not be taken for.", lambda row: row.caveat),
    }
)
"""Columns by name."""


def rows(board: Board) -> list[Row]:
    """Returns the rows of all sections, in their order."""
    return [row for section in board.sections for row in section.rows]


def record(row: Row) -> dict[str, Any]:
    """Returns a row's columns, lists and maps as such."""
    return {name: column.value(row) for name, column in COLUMNS.items()}
