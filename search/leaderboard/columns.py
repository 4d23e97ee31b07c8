"""The columns of the leaderboard: one list for CSV, JSON, the DataFrame and the tables of all formats.

CSV, JSON and the DataFrame hold all columns, in this order, under these keys. An added or renamed key, or a changed
meaning, needs a new number in ``render_data.SCHEMA``. The tables in the terminal, in Markdown and on the HTML page show
a column if it has a ``DisplayColumn`` and its key is in a list of ``tables``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from search.leaderboard import formatting
from search.leaderboard.board import BoardEntry, Row, state_name
from search.leaderboard.reference import Reference
from search.leaderboard.row_parts import TrialSegment
from search.leaderboard.statistics import Difference, Estimate
from search.records.record import flatten

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DisplayColumn(Generic[T]):
    """One column of a table for people.

    Args:
        header: Heading with the unit; it may be broken at a line break.
        cell: Returns the text of an entry.
        align: Side that header and cells are aligned to.
        wraps: Whether cells may be broken between words.
        min_width: Characters per line from which on the column is shown.
        only_if_different: Whether the column is hidden where all entries have the same text.
    """

    header: str
    cell: Callable[[T], str]
    align: Literal["left", "right"] = "left"
    wraps: bool = False
    min_width: int = 0
    only_if_different: bool = False

    def text(self, entry: T) -> str:
        """Returns the cell's text on one line, not escaped."""
        return formatting.one_line(self.cell(entry))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the leaderboard.

    Args:
        doc: Meaning, with the unit.
        value: Returns a row's value: None, text, number, bool, list or mapping.
        display: The column in tables for people; None where they do not show it.
    """

    doc: str
    value: Callable[[Row], Any]
    display: DisplayColumn[BoardEntry] | None = None


def _of_row(cell: Callable[[Row], str]) -> Callable[[BoardEntry], str]:
    """Returns a cell that is empty for ensembles and published figures."""
    return lambda entry: cell(entry) if isinstance(entry, Row) else ""


def _with_interval(
    key: str,
    doc: str,
    value: Callable[[Row], Estimate | Difference | None],
    display: DisplayColumn[BoardEntry] | None = None,
) -> dict[str, Column]:
    """Returns the columns of a mean and of the ends of its interval."""
    return {
        key: Column(doc, lambda row: found.mean if (found := value(row)) else None, display),
        f"{key}_low": Column(
            "Lower end of its 95 % interval; empty where there is none.",
            lambda row: found.interval.low if (found := value(row)) and found.interval else None,
        ),
        f"{key}_high": Column(
            "Upper end.", lambda row: found.interval.high if (found := value(row)) and found.interval else None
        ),
    }


def _last_segment(row: Row) -> TrialSegment | None:
    return row.segments[-1] if row.segments else None


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "rank": Column(
            "Rank by mean test error, from 1; empty unless verified, and for short trials beside full ones.",
            lambda row: row.rank,
            DisplayColumn("Rank", _of_row(formatting.rank_range)),
        ),
        "rank_first": Column(
            "Lowest rank that the runs leave open.", lambda row: row.rank_range[0] if row.rank_range else None
        ),
        "rank_last": Column(
            "Highest rank that the runs leave open.", lambda row: row.rank_range[1] if row.rank_range else None
        ),
        "label": Column(
            "baseline, recipe: NAME, found, or baseline (tutorial protocol).",
            lambda row: row.label,
            DisplayColumn("Configuration", formatting.entry_name, wraps=True),
        ),
        "study": Column(
            "The study's name; of several whose test runs are pooled, the first's.",
            lambda row: row.study.name,
            DisplayColumn(
                "Study",
                formatting.entry_study,
                wraps=True,
                only_if_different=True,
            ),
        ),
        "trial": Column("Number of the search trial.", lambda row: row.trial),
        "studies": Column("Studies whose test runs it pools.", lambda row: list(row.study_names)),
        "chosen_in": Column(
            "Studies that chose it: of their verified rows it has the lowest validation figure.",
            lambda row: list(row.chosen_in),
        ),
        "state": Column(
            "complete, screened (a short trial that reached its last epoch), paused (at an epoch that the engine asked "
            "for), pruned, failed, interrupted or unfinished.",
            lambda row: state_name(row.state),
            DisplayColumn("State", formatting.entry_state, wraps=True),
        ),
        "is_short": Column(
            "Whether its schedule runs over fewer epochs than a full trial's; short trials are never ranked with full "
            "ones.",
            lambda row: row.is_short,
        ),
        "schedule_epochs": Column("Epochs over which its schedule runs.", lambda row: row.schedule_epochs),
        "cause": Column("Why it failed or was interrupted.", lambda row: row.cause.value if row.cause else None),
        "validation_error_percent": Column(
            "Validation error.",
            lambda row: row.validation_error_percent,
            DisplayColumn(
                "Val.\n%",
                _of_row(lambda row: formatting.percent(row.validation_error_percent)),
                "right",
                min_width=76,
            ),
        ),
        "validation_balanced_error_percent": Column(
            "Validation error as a mean over the classes; empty in records of older versions.",
            lambda row: row.validation_balanced_error_percent,
            DisplayColumn(
                "Val.\nbalanced %",
                _of_row(lambda row: formatting.percent(row.validation_balanced_error_percent)),
                "right",
                min_width=76,
            ),
        ),
        "validation_log_loss": Column(
            "Mean cross-entropy on the validation images, in nats.",
            lambda row: row.validation_log_loss,
            DisplayColumn(
                "Val.\nlog loss",
                _of_row(lambda row: formatting.log_loss(row.validation_log_loss)),
                "right",
                min_width=76,
            ),
        ),
        **_with_interval(
            "test_error_percent",
            "Mean test error over the complete test runs; its interval covers seeds and test images.",
            lambda row: row.test_error,
            DisplayColumn("Test error %,\n95 % interval", formatting.test_error, "right"),
        ),
        **_with_interval(
            "balanced_error_percent",
            "Mean over the classes of the share of their test images that are classified wrongly, a mean over the "
            "complete test runs; empty in records of older versions.",
            lambda row: row.balanced_error,
            DisplayColumn("Balanced error %,\n95 % interval", formatting.balanced_error, "right"),
        ),
        "log_loss": Column(
            "Mean cross-entropy on the test images in nats, a mean over the complete test runs.",
            lambda row: row.log_loss,
            DisplayColumn("Log\nloss", _of_row(lambda row: formatting.log_loss(row.log_loss)), "right"),
        ),
        "constant_error_percent": Column(
            "Test error of always answering the class with the most test images; empty in records of older versions.",
            lambda row: row.constant_error_percent,
        ),
        "test_errors_percent": Column(
            "Test error of each complete test run.",
            lambda row: [run.error_percent for run in row.completed_replicates],
            DisplayColumn("Test error % by seed", formatting.errors_by_seed, wraps=True),
        ),
        "test_seeds": Column(
            "Seed of each complete test run.", lambda row: [run.seed for run in row.completed_replicates]
        ),
        "test_runs": Column(
            "Complete test runs.",
            lambda row: len(row.completed_replicates),
            DisplayColumn("Seeds /\nstudies", _of_row(formatting.replicate_count), "right", min_width=92),
        ),
        "test_runs_without_figure": Column(
            "Test runs that failed, were interrupted or are unfinished.",
            lambda row: len(row.replicates) - len(row.completed_replicates),
        ),
        **_with_interval(
            "baseline_difference_points",
            "Test error minus that of the verified baseline of equal epochs, in percentage points.",
            lambda row: row.baseline_difference,
            DisplayColumn(
                "To baseline, points,\n95 % interval",
                _of_row(lambda row: formatting.error_difference(row.baseline_difference)),
                "right",
            ),
        ),
        "baseline_difference_paired": Column(
            "Whether it is paired by image.",
            lambda row: row.baseline_difference.paired if row.baseline_difference else None,
        ),
        "baseline_outperforming": Column(
            "Share of the pairs of one test run and one of the baseline in which the baseline's error is higher; equal "
            "ones count half.",
            lambda row: row.baseline_difference.outperforming if row.baseline_difference else None,
        ),
        "baseline_verdict": Column(
            "What the interval of the difference to the baseline shows: lower, higher, equivalent (it is inside the "
            "region of practical equivalence), undecided.",
            lambda row: row.baseline_verdict.value if row.baseline_verdict else None,
        ),
        **_with_interval(
            "recipe_difference_points",
            "Test error minus that of the best verified recipe of equal epochs, in percentage points.",
            lambda row: row.best_recipe.difference if row.best_recipe else None,
        ),
        "tutorial_difference_points": Column(
            "Test error minus the tutorial's figure, in percentage points.",
            lambda row: row.tutorial_difference,
            DisplayColumn(
                "To tutorial,\npoints",
                _of_row(lambda row: formatting.percentage_points(row.tutorial_difference)),
                "right",
                min_width=140,
            ),
        ),
        **_with_interval(
            "next_difference_points",
            "Test error minus that of the next rank, in percentage points.",
            lambda row: row.next_difference,
        ),
        "validation_to_test_points": Column(
            "Test error minus validation error, in percentage points.",
            lambda row: row.validation_test_gap,
        ),
        "parameters": Column(
            "Trainable parameters.",
            lambda row: row.parameters,
            DisplayColumn(
                "Params",
                lambda entry: formatting.count(None if isinstance(entry, Reference) else entry.parameters),
                "right",
                min_width=99,
            ),
        ),
        "epochs": Column(
            "Epochs trained by the search trial.",
            lambda row: row.epochs,
            DisplayColumn("Epochs", _of_row(lambda row: str(row.epochs) if row.state else ""), "right", min_width=118),
        ),
        "parent": Column(
            "Number of the search trial that it continued.",
            lambda row: segment.parent if (segment := _last_segment(row)) else None,
        ),
        "engine_notes": Column(
            "The engine's notes on it.",
            lambda row: dict(segment.engine_metadata) if (segment := _last_segment(row)) else {},
        ),
        "lineage": Column("What the engine made it from.", lambda row: formatting.lineage(row) or None),
        "seconds": Column(
            "Wall-clock seconds of the search trial.",
            lambda row: row.seconds,
            DisplayColumn(
                "s a\ntrial", _of_row(lambda row: f"{row.seconds:.0f}" if row.state else ""), "right", min_width=100
            ),
        ),
        "space": Column("The space's name.", lambda row: row.study.space.name),
        "engine": Column(
            "The engine that proposed it.",
            lambda row: row.study.engine,
        ),
        "sampler": Column("The engine's sampler.", lambda row: row.study.sampler),
        "pruner": Column("The engine's pruner.", lambda row: row.study.pruner),
        "study_seed": Column("The study's seed.", lambda row: row.study.seed),
        "changes": Column(
            "Parameters whose value is not the baseline's.",
            lambda row: row.changed_parameters,
            DisplayColumn(
                "Changed from the baseline",
                _of_row(lambda row: formatting.parameter_values(row.changed_parameters)),
                wraps=True,
            ),
        ),
        "config": Column("All active parameters.", lambda row: dict(row.config)),
        "dataset": Column("The data set's name.", lambda row: row.study.protocol.dataset),
        "data_sha256": Column("Hash over its arrays, 12 digits.", lambda row: row.study.protocol.data_sha256[:12]),
        "protocol": Column("holdout or tutorial.", lambda row: row.study.protocol.name.value),
        "protocol_version": Column("Major.Minor.", lambda row: row.study.protocol.version),
        "protocol_epochs": Column("Epochs of a full trial.", lambda row: row.study.protocol.epochs),
        "environment": Column(
            "Versions and hardware of the run that gave the figure.", lambda row: flatten(row.environment)
        ),
        "machine": Column(
            "The GPU, or the processor and its cores.",
            lambda row: formatting.machine_label(row) or None,
            DisplayColumn(
                "Machine", _of_row(formatting.machine_label), wraps=True, min_width=170, only_if_different=True
            ),
        ),
        "node": Column(
            "Node of the cluster that the last search trial ran on; empty without a cluster.",
            lambda row: (segment.node or None) if (segment := _last_segment(row)) else None,
        ),
        "package_version": Column(
            "Version of this package that made the study.",
            lambda row: formatting.package_version(row.study) or None,
            DisplayColumn(
                "Version",
                _of_row(lambda row: formatting.package_version(row.study)),
                min_width=170,
                only_if_different=True,
            ),
        ),
        "copied_from": Column(
            "The study that all its runs were copied from; empty where one is its own.",
            lambda row: row.copied_from or None,
        ),
        "command": Column("The command that made the study.", lambda row: row.study.command),
        "caveat": Column(
            "Warning about the figure.",
            lambda row: row.caveat,
        ),
    }
)
"""Columns by key."""


def row_record(row: Row) -> dict[str, Any]:
    """Returns a row's values by key."""
    return {key: column.value(row) for key, column in COLUMNS.items()}
