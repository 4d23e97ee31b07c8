"""Details: every search trial of a section on a line, also those that others went on from, with what the engine asked.

Cells of text for the renderers, which lay them out and escape them. Knows no output format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Literal

from search.leaderboard import words
from search.leaderboard.board import UNFINISHED, Row, Section, TrialSegment

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
    yield words.one_line(f"{row.label} ({row.study.name})" if several else row.label)
    yield step.state.value if step.state else UNFINISHED
    yield f"{step.first_epoch}-{step.last_epoch}" if step.first_epoch <= step.last_epoch else "none"
    yield "" if step.parent is None else str(step.parent)
    yield words.percent(step.validation_error_percent)
    yield f"{step.seconds:.0f}"
    yield words.one_line(step.node)
    yield words.one_line(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in step.engine_metadata.items()))
