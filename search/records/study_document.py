"""Checks and converts what ``study.json.gz`` holds, by msgspec. Called by ``study_json``.

Python does not check annotations, and a file may hold a text in place of a number. Trials are converted to their own
classes, whose annotations are checked. Header and space, whose classes convert themselves, have types here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, Literal, get_type_hints

import msgspec

from search.json_fields import FIELD_NAMES, parse_number
from search.metrics import METRICS
from search.records.ensemble_json import ENSEMBLE_PHASE, ensemble_from_json
from search.records.record import EnsembleRecord, StudyHeader, TrialRecord
from search.trial import Outcome
from spaces.domains import Value


class _Domain(msgspec.Struct, kw_only=True):
    """A domain without its bounds, which its class checks."""

    kind: Literal["int", "float", "choice"]
    baseline: Value
    log: bool = False
    when: dict[str, str | list[Value]] | None
    doc: str
    unit: str
    source: str


class _Recipe(msgspec.Struct):
    values: dict[str, Value]
    doc: str
    source: str


class _Space(msgspec.Struct):
    name: str
    doc: str
    parameters: dict[str, _Domain]
    recipes: dict[str, _Recipe]


_HEADER_TYPES = {**get_type_hints(StudyHeader), "space": _Space}
_Header = msgspec.defstruct(
    "_Header",
    [
        (field.name, _HEADER_TYPES[field.name], *([] if field.default is field.default_factory is MISSING else [None]))
        for field in fields(StudyHeader)
    ],
)


class StudyDocument(msgspec.Struct, kw_only=True):
    """What stands beside the header and the trials; see ``StudyRecord``."""

    spent_seconds: float
    exhausted_seconds: float
    test_openings: dict[str, int] = {}
    test_groups: tuple[int, ...] = ()
    test_labels: tuple[int, ...] = ()


def study_from_json(document: Mapping[str, Any]) -> StudyDocument:
    """Returns what stands beside the header and the trials.

    Raises:
        ValueError: A value is missing, or has another type.
    """
    return msgspec.convert(document, StudyDocument)


def header_from_json(document: Any) -> StudyHeader:
    """Returns a study's header.

    Raises:
        ValueError: A value is missing, or has another type; or the space does not fit together.
        TypeError: There is a key that no header has.
    """
    msgspec.convert(document, _Header)
    return StudyHeader.from_json(document)


def record_from_json(document: Any) -> TrialRecord | EnsembleRecord | None:
    """Returns a trial or an ensemble; None for an ensemble that version 0.1.0 did not end.

    Args:
        document: What the file holds; some of it is replaced.

    Raises:
        ValueError: A value is missing, or has another type.
        LookupError, TypeError, AttributeError: The document has another form.
    """
    trial = {FIELD_NAMES.get(key, key): value for key, value in document["trial"].items()}
    outcome = None if document["outcome"] is None else _outcome_fields(document["outcome"])
    if trial["phase"] == ENSEMBLE_PHASE:
        ended = None if outcome is None else msgspec.convert(outcome, Outcome)
        ensemble = ensemble_from_json(document["trial"], ended, document["started"])
        return None if ensemble is None else msgspec.convert(asdict(ensemble), EnsembleRecord)
    reports = list(map(_report_fields, document["reports"]))
    return msgspec.convert({**document, "trial": trial, "outcome": outcome, "reports": reports}, TrialRecord)


def _outcome_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of an outcome by their names."""
    named = {FIELD_NAMES.get(key, key): value for key, value in document.items()}
    history = list(map(_report_fields, document["history"]))
    return {**named, "history": history, "metrics": _metrics(document), "cause": document.get("cause") or None}


def _report_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a report by their names; a study has many, so the document itself is changed."""
    document["metrics"] = _metrics(document)
    document["training_loss"] = parse_number(document["training_loss"])
    return document


def _metrics(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metrics, each of which is a key of its own in the file."""
    return {name: parse_number(value) for name in METRICS if (value := document.get(name)) is not None}
