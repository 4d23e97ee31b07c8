"""Renders the board as data: JSON, CSV and a pandas DataFrame.

CSV and DataFrame hold the columns of ``columns.COLUMNS``, a line for each row. In CSV a list stands as its items with
blanks between them, a mapping as ``name=value`` pairs with blanks between them, and None as an empty cell. JSON adds
everything besides the rows; ``docs/schema.md`` has its keys.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from search.leaderboard import formatting
from search.leaderboard.board import Board, Row, Section, constant_error_percent
from search.leaderboard.columns import COLUMNS, row_record
from search.leaderboard.row_parts import Ensemble, PooledTrial, Replicate, TrialSegment
from search.leaderboard.summary import summary_sentences
from search.records.failures import FailureGroup
from search.records.record import StudyHeader

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "leaderboard/9"
"""The number rises when a key is added, renamed, or changes its meaning. 2: failures; 3: ranges of ranks, comparisons
with the next rank, ensembles, selection bias, results by image; 4: nodes; 5: short trials, lineage, differences to the
best recipe; 6: rows pooled over studies, chosen rows, groups of images, verdicts, differences of ensembles; without p
values and selection bias; 7: balanced and constant errors; 8: log losses, and the
limit of parameters; 9: intervals of balanced errors."""


def to_json(board: Board) -> str:
    """Returns the board as JSON."""
    document = {
        "schema": SCHEMA,
        "notes": list(board.notes),
        "sections": [_section(section) for section in board.sections],
    }
    # json indents in Python, ten times slower than it encodes
    return msgspec.json.format(json.dumps(document, allow_nan=False), indent=2) + "\n"


def to_csv(board: Board) -> str:
    """Returns the board as CSV."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row_record(row).items()} for row in _all_rows(board))
    return lines.getvalue()


def dataframe(board: Board) -> pd.DataFrame:
    """Returns the board as a DataFrame; cells of lists and mappings stay lists and mappings."""
    import pandas as pd

    return pd.DataFrame([row_record(row) for row in _all_rows(board)], columns=list(COLUMNS))


def csv_cell(value: object) -> str:
    """Returns a value as the text of a CSV cell."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return formatting.one_line(value)
        case list():
            return " ".join(map(csv_cell, value))
        case Mapping():
            return " ".join(f"{name}={csv_cell(item)}" for name, item in value.items())
    return formatting.one_line(value)


def failure_json(failure: FailureGroup) -> dict[str, Any]:
    """Returns a group of failures as a plain dict, without the traceback."""
    return {
        "study": failure.study,
        "state": failure.state.value,
        "cause": failure.cause.value if failure.cause else None,
        "count": len(failure.trials),
        "message": failure.message,
        "trials": [
            {"phase": trial.phase, "number": trial.number, "again": trial.continued_by} for trial in failure.trials
        ],
    }


def _all_rows(board: Board) -> list[Row]:
    return [row for section in board.sections for row in section.rows]


def _section(section: Section) -> dict[str, Any]:
    return {
        "protocol": section.protocol.to_json(),
        "studies": [_study(study) for study in section.studies],
        "states": dict(section.states),
        "failures": [failure_json(failure) for failure in section.failures],
        "test_openings": section.test_openings,
        "openings": dict(section.openings),
        "searched_after_opening": section.searched_after_opening,
        "spent_seconds": section.spent_seconds,
        "hidden_rows": section.hidden_rows,
        "verdict": summary_sentences(section),
        "references": [asdict(reference) for reference in section.references],
        "ensembles": [_ensemble(ensemble) for ensemble in section.ensembles],
        "image_groups": section.image_groups,
        "constant_error_percent": constant_error_percent(section.test_class_counts),
        "equivalence_points": section.equivalence_points,
        "rows": [_row(row) for row in section.rows],
    }


def _row(row: Row) -> dict[str, Any]:
    replicates, steps, pooled = map(_plain, row.replicates), map(_step, row.segments), map(_plain, row.pooled)
    return {**row_record(row), "replicates": [*replicates], "steps": [*steps], "pooled": [*pooled]}


def _step(segment: TrialSegment) -> dict[str, Any]:
    values = _plain(segment)
    values["notes"] = dict(values.pop("engine_metadata"))
    return values


def _plain(value: Replicate | TrialSegment | PooledTrial) -> dict[str, Any]:
    """Returns a dataclass value as a dict; ``asdict`` copies every value and takes ten times as long."""
    return {name: getattr(value, name) for name in _field_names(type(value))}  # type: ignore[arg-type]


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _ensemble(ensemble: Ensemble) -> dict[str, Any]:
    return {
        "label": ensemble.label,
        "study": ensemble.study.name,
        "error_percent": ensemble.error_percent,
        "interval": asdict(ensemble.interval) if ensemble.interval else None,
        "members": {str(trial): share for trial, share in ensemble.members.items()},
        "models": ensemble.models,
        "compared_with": ensemble.compared_with,
        "difference": asdict(ensemble.difference) if ensemble.difference else None,
        "parameters": ensemble.parameters,
        "balanced_error_percent": ensemble.balanced_error_percent,
    }


def _study(study: StudyHeader) -> dict[str, Any]:
    return {**study.to_json(), "space": study.space.name}
