"""Reads and writes a study as one file, ``study.json.gz``: the record beside a published report.

The file holds what boards, ``reproduce`` and ``export`` need, redacted; no predictions and no weights. It is one line
of JSON, compressed; the same study gives the same bytes. ``docs/schema.md`` lists every key. Called by the commands.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from search.errors import UserError
from search.records.ensemble_json import ensemble_to_json
from search.records.record import OPENING_COMMANDS, EnsembleRecord, StudyRecord, TrialRecord
from search.records.redact import redacted
from search.records.study_document import header_from_json, record_from_json, study_from_json

FILE_NAME = "study.json.gz"
"""Name of the file in a report's folder."""
SCHEMA = "study/2"
"""The number increases when a key is added, renamed or gets another meaning; files of all of them are read. 2: short
trials, calibrated losses, objective, classes and groups of the test images, how often these were opened, which of them
equal a training image, and the builder's hash."""
_GZIP_MAGIC = b"\x1f\x8b"
_INVALID_DOCUMENT_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def dumps(study: StudyRecord) -> bytes:
    """Returns the study's file, redacted."""
    redacted_study = redacted(study)
    document = {
        "schema": SCHEMA,
        "header": redacted_study.header.to_json(),
        "spent_seconds": redacted_study.spent_seconds,
        "exhausted_seconds": redacted_study.exhausted_seconds,
        "test_openings": dict(redacted_study.test_openings),
        "searched_after_opening": redacted_study.searched_after_opening,
        "test_groups": list(redacted_study.test_groups),
        "test_labels": list(redacted_study.test_labels),
        "trials": [
            *map(_trial_to_json, redacted_study.trials),
            *(_ensemble_to_json(number, ensemble) for number, ensemble in enumerate(redacted_study.ensembles)),
        ],
    }
    content = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return gzip.compress(content.encode(), mtime=0)


def loads(content: bytes, source: str) -> StudyRecord:
    """Returns the study of a file that ``dumps`` wrote, or of its JSON.

    Args:
        content: Content of the file.
        source: Name of the file for errors.

    Raises:
        UserError: It is not a study's file, is damaged, or was written by a newer version.
    """
    document = _parse_document(content, source)
    _check_schema(document.get("schema"), source)
    try:
        study = study_from_json(document)
        records = list(map(record_from_json, document["trials"]))
        for record in records:
            _check_images(record)
        return StudyRecord(
            header=header_from_json(document["header"]),
            trials=tuple(record for record in records if isinstance(record, TrialRecord)),
            ensembles=tuple(record for record in records if isinstance(record, EnsembleRecord)),
            spent_seconds=study.spent_seconds,
            exhausted_seconds=study.exhausted_seconds,
            opened_by={name: count for name, count in study.test_openings.items() if name in OPENING_COMMANDS},
            test_groups=study.test_groups,
            test_labels=study.test_labels,
        )
    except _INVALID_DOCUMENT_ERRORS as error:
        raise _damaged_file_error(source, f"{type(error).__name__}: {error}") from error


def _parse_document(content: bytes, source: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content)
        msgspec.msgpack.encode(document)  # refuses integers of more than 64 bits, which NumPy and charts do not take
    except (OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise _damaged_file_error(source, str(error) or type(error).__name__) from error
    if not isinstance(document, dict):
        raise _damaged_file_error(source, "it holds no JSON object")
    return document


def _check_schema(schema: object, source: str) -> None:
    kind, _, number = str(schema).partition("/")
    if kind != "study" or not number.isdecimal():
        raise UserError(
            f"This is no study's file. Expected: schema {SCHEMA!r}. Received: {schema!r} in {source}.",
            hint=f"Name a study, the folder of one, a report's folder, or the {FILE_NAME} in it.",
        )
    if int(number) > int(SCHEMA.partition("/")[2]):
        raise UserError(
            f"The study's file was written by a newer version. Expected: schema {SCHEMA!r} at most. "
            f"Received: {schema!r} in {source}.",
            hint="Update this package.",
        )


def _damaged_file_error(source: str, reason: str) -> UserError:
    return UserError(
        f"The study's file cannot be read, or is damaged ({reason}). Received: {source}.",
        hint="Copy it again from where it came from.",
    )


def _trial_to_json(record: TrialRecord) -> dict[str, Any]:
    outcome = None
    if record.outcome is not None:
        history = [_encode_nonfinite(report.to_json()) for report in record.outcome.history]
        outcome = {**_encode_nonfinite(record.outcome.to_json()), "history": history}
    reports = [_encode_nonfinite(report.to_json()) for report in record.reports]
    trial = replace(record.trial, engine_metadata=_encode_nonfinite(record.trial.engine_metadata))
    return {"trial": trial.to_json(), "started": record.started, "outcome": outcome, "reports": reports}


def _ensemble_to_json(number: int, ensemble: EnsembleRecord) -> dict[str, Any]:
    trial, outcome = ensemble_to_json(ensemble, number)
    return {"trial": trial, "started": ensemble.started, "outcome": outcome, "reports": []}


def _check_images(record: TrialRecord | EnsembleRecord | None) -> None:
    """Raises ValueError if a record names misclassified images that were not scored."""
    ended = record.outcome if isinstance(record, TrialRecord) else record
    if ended is None or not (ended.misclassified or ended.predicted_classes):
        return
    count = ended.scored_images if ended.scored_images is not None else sys.maxsize
    are_images = 0 <= min(ended.misclassified, default=0) <= max(ended.misclassified, default=0) < count
    if not are_images or len(ended.predicted_classes) not in (0, len(ended.misclassified)):
        raise ValueError("images that were not scored")


def _encode_nonfinite(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a document with numbers that are not finite as texts, since JSON has none."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in document.items()
    }
