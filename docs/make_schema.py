"""Writes docs/schema.md, the keys of the JSON and CSV files, from the docstrings of the code.

    python docs/make_schema.py

A test compares the page with the code, and its keys with those of real documents.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from search.json_fields import JSON_KEYS
from search.leaderboard import render_data
from search.leaderboard.board import Board, Row, Section
from search.leaderboard.columns import COLUMNS
from search.leaderboard.reference import Reference
from search.leaderboard.row_parts import Ensemble, PooledTrial, Replicate, TrialSegment
from search.leaderboard.statistics import Difference, Interval
from search.metrics import METRICS
from search.protocol import EvaluationProtocol
from search.records import study_json
from search.records.failures import FailedTrial, FailureGroup
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import EpochReport, Outcome, Proposal, Trial
from spaces.domains import AnyNonzero, Choice, Condition, Float, Int, Value
from spaces.space import Recipe, Space

PAGE = Path(__file__).with_name("schema.md")
Key = tuple[str, str, str]
"""A key, the type of its value, and its meaning."""
MAPS = (
    "config",
    "changes",
    "engine_notes",
    "environment",
    "members",
    "notes",
    "openings",
    "seconds",
    "states",
    "test_openings",
    "values",
    "versions",
)
"""Keys of mappings with free keys, such as names of parameters or libraries."""


UNRECORDED = ("declared", "limits", "beyond")
"""Fields of a space that say what options accept; a study holds the space that they made."""


def arguments(kind: type) -> dict[str, str]:
    """Returns the descriptions of a class's fields from its docstring, by name."""
    text = re.search(r"(?s)\n    Args:\n(.*?)\n(?=    \S|$)", f"{kind.__doc__ or ''}\n")
    found: dict[str, str] = {}
    for line in text[1].splitlines() if text else []:
        if named := re.match(r" {8}(\w+): (.*)", line):
            found[name := named[1]] = named[2]
        elif line.strip():
            found[name] += f" {line.strip()}"
    return found


def of_class(kind: type, *left_out: str, words: Mapping[str, str] | None = None) -> list[Key]:
    """Returns the keys of a class whose fields are the keys; ``words`` replaces descriptions."""
    hints, words = get_type_hints(kind), {**arguments(kind), **(words or {})}
    names = [field.name for field in dataclasses.fields(kind) if field.name not in left_out]
    return [
        ({**JSON_KEYS, "continued_by": "again"}.get(name, name), json_type(hints[name]), words[name]) for name in names
    ]


def json_type(hint: Any) -> str:
    """Returns the JSON type of a Python type."""
    inner, origin = get_args(hint), get_origin(hint)
    if set(inner) == set(get_args(Value)):
        return "value"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(json_type(part) for part in inner))
    if origin is tuple:
        return f"list of {json_type(inner[0])}s"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "text"
    if dataclasses.is_dataclass(hint) or (origin is not None and issubclass(origin, Mapping)):
        return "object"
    names = {str: "text", float: "number", int: "whole number", bool: "true or false", type(None): "null", Any: "any"}
    return names[hint]


def of_domains() -> list[Key]:
    """Returns the keys of a parameter's domain, of all kinds."""
    keys = {
        key: (key, kind, text) for domain in (Int, Float, Choice) for key, kind, text in of_class(domain, *UNRECORDED)
    }
    return [
        ("kind", "text", "int, float or choice; each kind has some of the keys below."),
        *keys.values(),
    ]


def of_columns() -> list[Key]:
    """Returns the keys of a row."""
    nested = [
        ("replicates", "", "A list of every test run."),
        ("steps", "", "A list of the search trials that trained it, in order."),
        ("pooled", "", arguments(Row)["pooled"]),
    ]
    return [*((name, "", column.doc) for name, column in COLUMNS.items()), *nested]


def of_failures() -> list[Key]:
    """Returns the keys of a group of failures, without the traceback, which is not published."""
    count = ("count", "whole number", "Number of trials.")
    return [*of_class(FailureGroup, "traceback"), count]


def of_report() -> list[Key]:
    """Returns the keys of an epoch."""
    return [*of_class(EpochReport, "metrics"), *((name, "number or null", text) for name, text in METRICS.items())]


def of_schema(schema: str) -> Key:
    """Returns the key with a document's schema."""
    return ("schema", "text", f"`{schema}`.")


TRIALS = (
    "Every recorded trial, by phase, in the order of their starts; then every ensemble, as a trial of the phase "
    "`ensemble` with the weights of its models in `notes`, by the number of the verification run."
)
STUDY: Mapping[str, list[Key]] = {
    "": [
        of_schema(study_json.SCHEMA),
        *of_class(StudyRecord, "ensembles", "arithmetic", "opened_by", words={"trials": TRIALS}),
        (
            "test_openings",
            "object",
            "Number of evaluations on the test images, by what made them: `search` and `reproduction` (each epoch "
            "under the tutorial protocol), `verification`, `ensemble`, and the commands `export` and `reproduce`.",
        ),
        ("searched_after_opening", "whole number", "Search trials that began after the first test run had begun."),
    ],
    "header": of_class(StudyHeader),
    "header.space": of_class(Space, "build", "workload", *UNRECORDED),
    "header.space.parameters.*": of_domains(),
    "header.space.parameters.*.when": [*of_class(Condition, *UNRECORDED), *of_class(AnyNonzero)],
    "header.space.recipes.*": of_class(Recipe),
    "header.protocol": of_class(EvaluationProtocol),
    "trials[]": of_class(TrialRecord),
    "trials[].trial": of_class(Trial, words=arguments(Proposal)),
    "trials[].outcome": [
        *of_class(Outcome, "metrics"),
        (
            "calibrated_loss",
            "number or null",
            "Calibrated loss of the last scored epoch; None unless one was scored, and in studies of version 0.1.0.",
        ),
        (
            "error_percent",
            "number or null",
            "Error of the last scored epoch, in percent: validation error in the search phase, test error in the "
            "others; None unless one was scored.",
        ),
        (
            "balanced_error_percent",
            "number or null",
            "The same as a mean over the classes; None unless one was scored, and in studies of older versions.",
        ),
    ],
    "trials[].outcome.history[]": of_report(),
    "trials[].reports[]": of_report(),
}
BOARD: Mapping[str, list[Key]] = {
    "": [of_schema(render_data.SCHEMA), *of_class(Board)],
    "sections[]": [
        ("protocol", "object", "As recorded with the section's first study."),
        *(key for key in of_class(Section) if key[0] not in ("rows", "pooled_rows")),
        (
            "constant_error_percent",
            "number or null",
            "Test error of always answering the class with the most test images; None in records of older versions.",
        ),
        ("verdict", "list of texts", "A summary in sentences."),
        ("rows", "list of objects", arguments(Section)["rows"]),
    ],
    "sections[].protocol": of_class(EvaluationProtocol),
    "sections[].studies[]": [
        ("space", "text", "The space's name.") if key[0] == "space" else key for key in of_class(StudyHeader)
    ],
    "sections[].studies[].protocol": of_class(EvaluationProtocol),
    "sections[].references[]": of_class(Reference),
    "sections[].ensembles[]": [
        ("study", "text", "The study's name.") if key[0] == "study" else key for key in of_class(Ensemble)
    ],
    "sections[].ensembles[].interval": of_class(Interval),
    "sections[].ensembles[].difference": of_class(Difference),
    "sections[].ensembles[].difference.interval": of_class(Interval),
    "sections[].failures[]": of_failures(),
    "sections[].failures[].trials[]": of_class(FailedTrial),
    "sections[].rows[]": of_columns(),
    "sections[].rows[].replicates[]": of_class(Replicate),
    "sections[].rows[].steps[]": of_class(TrialSegment),
    "sections[].rows[].pooled[]": of_class(PooledTrial),
}

INTRODUCTION = """\
# JSON and CSV files

Generated by `python docs/make_schema.py` from the docstrings; a test compares it with real documents.

Each document has its schema in the key `schema`. The number after the slash rises when a key is added, renamed, or
changes its meaning. `x[]` stands for each item of a list `x`, `x.*` for each value of a mapping `x`. A value is a
number, a text, true or false. Unknown values are null, and empty cells in CSV. Errors are in percent, differences in
percentage points, times in seconds.
"""
STUDY_WORDS = f"""\
## {study_json.SCHEMA}: a study

`{study_json.FILE_NAME}`, written by `run`, `baseline` and `merge` beside the reports, is gzipped JSON on one line. It
holds everything that leaderboards are computed from, and every command reads it like a study: `python -m search
leaderboard FOLDER`. It leaves out host names, process numbers, folders, tracebacks and database URLs. A loss that is
not finite is one of the texts `nan`, `inf` and `-inf`.
"""
BOARD_WORDS = f"""\
## {render_data.SCHEMA}: a board

`leaderboard.json`, or `python -m search leaderboard --format json`. The keys of `sections[].rows[]`, up to
`replicates`, are the columns of `leaderboard.csv` and of the DataFrame. In CSV a list is its items separated by blanks,
a mapping its `name=value` pairs separated by blanks, and a true value `true`.
"""


def tables(schema: Mapping[str, list[Key]]) -> Iterator[str]:
    """Yields a table for each object of a document."""
    for path, keys in schema.items():
        yield f"### `{path}`\n" if path else "### The document\n"
        typed = any(kind for _, kind, _ in keys)
        yield "| key | type | meaning |\n|---|---|---|" if typed else "| key | meaning |\n|---|---|"
        for name, kind, text in keys:
            cells = (f"`{name}`", *((kind,) if typed else ()), in_markdown(text))
            yield f"| {' | '.join(cells)} |"
        yield ""


def in_markdown(text: str) -> str:
    """Returns a docstring's text for a cell of a table, with null for None."""
    return re.sub(r"\bNone\b", "null", text.replace("``", "`").replace("|", "\\|"))


def paths(schema: Mapping[str, list[Key]]) -> set[str]:
    """Returns the paths of all keys of a document."""
    return {f"{path}.{name}".lstrip(".") for path, keys in schema.items() for name, _, _ in keys}


def page() -> str:
    """Returns the page."""
    parts = [INTRODUCTION, STUDY_WORDS, *tables(STUDY), BOARD_WORDS, *tables(BOARD)]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
