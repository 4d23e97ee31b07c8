"""The comparison as CSV: a header and one line a study, with the columns of ``columns.COLUMNS``.

A list is written as its items with blanks between them, a map as ``name=value`` pairs; what is not known is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from search.compare import columns
from search.compare.results import Comparison
from search.leaderboard import formatting


def to_csv(comparison: Comparison) -> str:
    """Returns the comparison as CSV."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, columns.STUDY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entrant, run in comparison.studies:
        writer.writerow({name: _cell(value) for name, value in columns.study_record(entrant, run).items()})
    return lines.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_cell(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_cell, value))
    return "" if value is None else formatting.one_line(value)
