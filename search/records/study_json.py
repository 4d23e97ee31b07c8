"""Reads and writes a study as one file, ``study.json.gz``: the record beside a published report.

The file holds what boards, ``reproduce`` and ``export`` need, redacted; no predictions and no weights. It is one line
of JSON, compressed; the same study gives the same bytes. ``docs/schema.md`` lists every key. Called by the commands.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
import types
import zlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from search.errors import UserError
from search.records.record import OPENING_COMMANDS, EnsembleRecord, StudyHeader, StudyRecord, TrialRecord
from search.records.redact import redacted
from search.records.storage.optuna_codec import ENSEMBLE_PHASE, ensemble_from_json, ensemble_to_json
from search.trial import EpochReport, Outcome, Trial

T = TypeVar("T")
TypeCheck = Callable[[Any], bool]
SCALAR_TYPES = frozenset({bool, int, float, str, type(None)})
"""Types of JSON's scalar values; an integer is accepted as a float."""
FILE_NAME = "study.json.gz"
"""Name of the file in a report's folder."""
SCHEMA = "study/2"
"""The number increases when a key is added, renamed or gets another meaning; files of all of them are read. 2: short
trials, calibrated losses, objective, groups of the test images, how often these were opened, which of them equal a
training image, and the builder's hash."""
MAX_DIGITS = 20
"""Limit for the digits of an integer; a seed has ten."""
_GZIP_MAGIC = b"\x1f\x8b"
_SURROGATES = re.compile(rb"\\u[dD][89a-fA-F]")
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
        records = [_record_from_json(record) for record in document["trials"]]
        return validate(
            StudyRecord(
                header=_header_from_json(document["header"]),
                trials=tuple(record for record in records if isinstance(record, TrialRecord)),
                ensembles=tuple(record for record in records if isinstance(record, EnsembleRecord)),
                spent_seconds=document["spent_seconds"],
                exhausted_seconds=document["exhausted_seconds"],
                opened_by=_counts_of_commands(document.get("test_openings", {})),
                test_groups=tuple(document.get("test_groups", ())),
            )
        )
    except _INVALID_DOCUMENT_ERRORS as error:
        raise _damaged_file_error(source, f"{type(error).__name__}: {error}") from error


def _counts_of_commands(openings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the openings of the test images that the study's own runs do not tell."""
    return {name: count for name, count in openings.items() if name in OPENING_COMMANDS}


def _parse_document(content: bytes, source: str) -> dict[str, Any]:
    try:
        text = gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
        document = json.loads(text, parse_int=_parse_integer, parse_constant=_reject_number)
        if _SURROGATES.search(text):
            json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair could not be written again
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _damaged_file_error(source, str(error) or type(error).__name__) from error
    if not isinstance(document, dict):
        raise _damaged_file_error(source, "it holds no JSON object")
    return document


def _parse_integer(digits: str) -> int:
    """Returns an integer of limited size."""
    return int(digits) if len(digits) < MAX_DIGITS else _reject_number(digits)


def _reject_number(number: str) -> NoReturn:
    raise ValueError(f"{number[:MAX_DIGITS]} is no number of a study")


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


def _header_from_json(document: dict[str, Any]) -> StudyHeader:
    header = validate(StudyHeader.from_json(document))
    for part in (header.protocol, header.space, *header.space.parameters.values(), *header.space.recipes.values()):
        validate(part)
    return header


def _record_from_json(document: Mapping[str, Any]) -> TrialRecord | EnsembleRecord | None:
    outcome = None if document["outcome"] is None else _outcome_from_json(document["outcome"])
    if document["trial"]["phase"] == ENSEMBLE_PHASE:
        ensemble = ensemble_from_json(document["trial"], outcome, document["started"])
        return None if ensemble is None else validate(ensemble)
    record = TrialRecord(
        trial=validate(Trial.from_json(document["trial"])),
        outcome=outcome,
        started=document["started"],
        reports=tuple(map(_report_from_json, document["reports"])),
    )
    return validate(record)


def _outcome_from_json(document: Mapping[str, Any]) -> Outcome:
    outcome = Outcome.from_json({**document, "history": ()})
    count = outcome.scored_images if outcome.scored_images is not None else sys.maxsize
    counts = (0, len(outcome.misclassified))
    # By type first: whether a range holds a float is found by going through the range.
    are_images = all(isinstance(image, int) and 0 <= image < count for image in outcome.misclassified)
    if not are_images or len(outcome.predicted_classes) not in counts:
        raise ValueError("images that were not scored")
    return validate(replace(outcome, history=tuple(map(_report_from_json, document["history"]))))


def _encode_nonfinite(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a document with numbers that are not finite as texts, since JSON has none."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in document.items()
    }


def _report_from_json(document: Mapping[str, Any]) -> EpochReport:
    return validate(EpochReport.from_json(document))


def validate(value: T) -> T:
    """Returns a dataclass value whose fields have the declared types.

    Python does not check annotations, and a file may hold a text in place of a number. Nested dataclasses, and fields
    that are not compared, are not checked.

    Raises:
        ValueError: A field has another type than declared.
    """
    for name, fits in _field_checks(type(value)):  # type: ignore[arg-type]
        if not fits(getattr(value, name)):
            raise ValueError(f"{name}={getattr(value, name)!r} in {type(value).__name__}")
    return value


@cache
def _field_checks(kind: type[Any]) -> tuple[tuple[str, TypeCheck], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, _type_check(hints[field.name])) for field in fields(kind) if field.compare)


def _scalar_types(hint: Any) -> frozenset[type] | None:
    """Returns the types of values that a declared type allows; None where it is not one of scalar values alone."""
    scalars = frozenset(get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,))
    if not scalars <= SCALAR_TYPES:
        return None
    return scalars | {int} if float in scalars else scalars


def _type_check(hint: Any) -> TypeCheck:
    """Returns a function that checks whether a value has a declared type."""
    arguments, origin = get_args(hint), get_origin(hint)
    if (allowed := _scalar_types(hint)) is not None:
        return lambda value: type(value) in allowed  # exactly: a bool is an int to isinstance
    if origin in (Union, types.UnionType):
        alternatives = [_type_check(argument) for argument in arguments]
        return lambda value: any(fits(value) for fits in alternatives)
    if origin is tuple:
        fits_items = _items_check(arguments[0])
        return lambda value: isinstance(value, tuple) and fits_items(value)
    if origin is not None and issubclass(origin, Mapping):
        fits_keys, fits_values = map(_items_check, arguments)
        return lambda value: isinstance(value, Mapping) and fits_keys(value) and fits_values(value.values())
    if hint is Any:
        return lambda _: True
    return lambda value: isinstance(value, hint)


def _items_check(hint: Any) -> TypeCheck:
    """Returns a function that checks whether all items of a collection have a declared type."""
    if hint is Any:
        return lambda _: True
    if (allowed := _scalar_types(hint)) is not None:
        return lambda items: allowed.issuperset(map(type, items))
    fits = _type_check(hint)
    return lambda items: all(map(fits, items))
