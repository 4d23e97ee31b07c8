"""The two tables of a section for people, as columns of cells: rows ranked by test error, and rows that are not ranked.

Shared by the text and the Markdown renderer, which lay the cells out and escape them. Knows no output format.

Details: every search trial of a section on a line, also those that others went on from, with what the engine asked.

Cells of text for the renderers, which lay them out and escape them. Knows no output format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Literal

from search.leaderboard import formatting
from search.leaderboard.board import UNFINISHED, Ensemble, Row, Section, TrialSegment
from search.leaderboard.reference import Reference

Alignment = Literal["left", "right"]
_COLUMNS: Sequence[tuple[str, Alignment]] = (
    ("Trial", "right"),
    ("What", "left"),
    ("Ended", "left"),
    ("Epochs", "right"),
    ("After", "right"),
    ("Val. %", "right"),
    ("Seconds", "right"),
    ("Node", "left"),
    ("Engine's notes", "left"),
)
WRAPPED_COLUMNS = frozenset({"What", "Engine's notes"})
"""Columns whose cells may be broken between words; the others hold a figure or a word."""
NODE_COLUMN = "Node"
"""The column that only trials on a cluster have."""
NARROW_HIDDEN_COLUMN = "Seconds"
"""The column that a narrow terminal can do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDetails:
    """The trials of a section.

    Args:
        headers: Names of the columns.
        alignments: Which side each column is set to.
        rows: Cells by trial.
    """

    headers: tuple[str, ...]
    alignments: tuple[Alignment, ...]
    rows: tuple[tuple[str, ...], ...]


def has_trial_details(section: Section) -> bool:
    """Says whether a trial went on from another, ran on a cluster, or an engine noted something."""
    return any(
        step.engine_metadata or step.node or step.parent is not None for row in section.rows for step in row.segments
    )


def trial_details(section: Section) -> TrialDetails:
    """Returns the cells of every search trial, by study and number."""
    parts = [(row, step) for row in section.rows for step in row.segments]
    ordered = sorted(parts, key=lambda part: (part[0].study.name, part[1].trial))
    several, has_nodes = len(section.studies) > 1, any(step.node for _, step in parts)
    shown = [has_nodes or header != NODE_COLUMN for header, _ in _COLUMNS]
    return TrialDetails(
        headers=tuple(compress((header for header, _ in _COLUMNS), shown)),
        alignments=tuple(compress((side for _, side in _COLUMNS), shown)),
        rows=tuple(tuple(compress(_cells(row, step, several=several), shown)) for row, step in ordered),
    )


def _cells(row: Row, step: TrialSegment, *, several: bool) -> Iterator[str]:
    yield str(step.trial)
    yield formatting.one_line(f"{row.label} ({row.study.name})" if several else row.label)
    yield step.state.value if step.state else UNFINISHED
    yield f"{step.first_epoch}-{step.last_epoch}" if step.first_epoch <= step.last_epoch else "none"
    yield "" if step.parent is None else str(step.parent)
    yield formatting.percent(step.validation_error_percent)
    yield f"{step.seconds:.0f}"
    yield formatting.one_line(step.node)
    yield formatting.one_line(
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in step.engine_metadata.items())
    )


BoardEntry = Row | Reference | Ensemble


@dataclass(frozen=True, slots=True)
class DisplayColumn:
    """One column.

    Args:
        header: Its name, with the unit; a line break where it may be broken.
        cell: What it says of a row.
        reference: What it says of a published figure.
        ensemble: What it says of an ensemble.
        is_numeric: Whether it holds figures, which are set to the right.
        min_width: Characters that a line must have for the column to be worth its place.
    """

    header: str
    cell: Callable[[Row], str]
    reference: Callable[[Reference], str] = lambda reference: ""
    ensemble: Callable[[Ensemble], str] = lambda ensemble: ""
    is_numeric: bool = True
    min_width: int = 0

    def text(self, entry: BoardEntry) -> str:
        """Returns the cell's text, on one line, not yet escaped."""
        if isinstance(entry, Row):
            return formatting.one_line(self.cell(entry))
        return formatting.one_line(self.ensemble(entry) if isinstance(entry, Ensemble) else self.reference(entry))


LABEL_COLUMN = DisplayColumn(
    "What",
    lambda row: row.name,
    lambda reference: reference.label,
    lambda ensemble: ensemble.label,
    is_numeric=False,
)
STUDY_COLUMN = DisplayColumn(
    "Study", lambda row: row.study.name, ensemble=lambda ensemble: ensemble.study.name, is_numeric=False
)
_ENGINE = DisplayColumn("Engine", lambda row: formatting.engine_label(row.study), is_numeric=False, min_width=140)
_MACHINE = DisplayColumn("Machine", formatting.machine_label, is_numeric=False, min_width=170)
_VERSION = DisplayColumn("Version", lambda row: formatting.package_version(row.study), is_numeric=False, min_width=170)
PROVENANCE_COLUMNS = (STUDY_COLUMN, _ENGINE, _MACHINE, _VERSION)
"""Columns that stand there where rows differ in them."""
_CAUTION = DisplayColumn("Caution", lambda row: row.caveat, is_numeric=False)
_VALIDATION = DisplayColumn("Val.\nerror %", lambda row: formatting.percent(row.validation_error_percent))
_PARAMETERS = DisplayColumn(
    "Params",
    lambda row: formatting.count(row.parameters),
    ensemble=lambda ensemble: formatting.count(ensemble.parameters),
    min_width=76,
)
_EPOCHS = DisplayColumn("Epochs", lambda row: str(row.epochs) if row.state else "", min_width=100)
_SECONDS = DisplayColumn("Seconds", lambda row: f"{row.seconds:.0f}" if row.state else "", min_width=100)

RANKED_COLUMNS = (
    DisplayColumn("Rank", formatting.rank_range, is_numeric=False),
    LABEL_COLUMN,
    *PROVENANCE_COLUMNS,
    DisplayColumn(
        "Test\nerror %",
        lambda row: formatting.estimate(row.test_error),
        formatting.published_error,
        formatting.ensemble_error,
    ),
    DisplayColumn("Seeds", formatting.replicate_count),
    DisplayColumn("To baseline,\n% points", lambda row: formatting.difference(row.baseline_difference)),
    DisplayColumn(
        "To tutorial,\n% points", lambda row: formatting.percentage_points(row.tutorial_difference), min_width=100
    ),
    DisplayColumn(
        "p, to\nnext",
        lambda row: formatting.probability(row.next_rank.p_value if row.next_rank else None),
        min_width=124,
    ),
    replace(_VALIDATION, min_width=76),
    DisplayColumn("Test\n- val.", lambda row: formatting.percentage_points(row.validation_test_gap), min_width=124),
    _PARAMETERS,
    _EPOCHS,
    _SECONDS,
    _CAUTION,
)
"""Columns of the rows that have a test error."""

UNVERIFIED_COLUMNS = (
    LABEL_COLUMN,
    *PROVENANCE_COLUMNS,
    DisplayColumn("How it ended", formatting.trial_state, is_numeric=False),
    _VALIDATION,
    _PARAMETERS,
    _EPOCHS,
    _SECONDS,
    _CAUTION,
)
"""Columns of the rows that have none."""


def informative_columns(columns: Sequence[DisplayColumn], entries: Sequence[BoardEntry]) -> list[DisplayColumn]:
    """Returns the columns that say something of a row; where a row comes from does if others come from elsewhere."""
    rows = [entry for entry in entries if isinstance(entry, Row)]
    same = [column for column in PROVENANCE_COLUMNS if len(set(map(column.text, rows))) <= 1]
    return [column for column in columns if any(map(column.text, rows)) and column not in same]


def ranked_entries(section: Section) -> list[BoardEntry]:
    """Returns the ranked rows, with ensembles and published figures put in at their place."""
    merged: list[BoardEntry] = [*section.ranked, *section.ensembles, *section.references]
    return sorted(merged, key=_error_percent)


def section_title(section: Section) -> str:
    """Returns what the rows of a section share: "mnist, protocol holdout 1.0, data 3f2a91c0bd55"."""
    protocol = section.protocol
    data = protocol.data_sha256[:12]
    return formatting.one_line(f"{protocol.dataset}, protocol {protocol.name.value} {protocol.version}, data {data}")


def cost_line(section: Section) -> str:
    """Returns how the search trials ended and what the studies cost."""
    states = [f"{number} {state}" for state, number in sorted(section.states.items())]
    trials = f"Search trials: {', '.join(states)}. " if states else ""
    hidden = f" Rows left out here: {section.hidden_rows}." if section.hidden_rows else ""
    return f"{trials}Time spent: {formatting.duration(section.spent_seconds)}.{hidden}"


def _error_percent(entry: BoardEntry) -> float:
    if not isinstance(entry, Row):
        return entry.error_percent
    assert entry.test_error is not None
    return entry.test_error.mean
