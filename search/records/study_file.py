"""A study as one file, ``study.json.gz``: the evidence beside a published report, and what goes between machines.

It holds all that boards, ``reproduce`` and ``export`` need of a study, and nothing private
(``search.records.privacy``); neither predictions nor weights. Gzip over JSON of one line; the same study gives the same
bytes. ``docs/schema.md`` lists every key. Knows bytes and ``StudyRecord``, no paths.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, NoReturn

from search.errors import UserError
from search.records.privacy import LOCAL, published
from search.records.record import WEIGHTS, StudyHeader, StudyRecord, TrialRecord
from search.records.typed import checked
from search.trial import EpochReport, Outcome, Phase, Trial

NAME = "study.json.gz"
"""What the file is called in a report's folder."""
SCHEMA = "study/1"
"""The number rises when a key comes, or changes its name or its meaning."""
MOST_DIGITS = 20
"""Of a whole number; a seed has ten."""
_GZIP = b"\x1f\x8b"
_HALVES = re.compile(rb"\\u[dD][89a-fA-F]")
_LOSSES = ("training_loss", "loss")
_UNFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def dumps(study: StudyRecord) -> bytes:
    """Returns the study's file, without what is private."""
    shown = published(study)
    document = {
        "schema": SCHEMA,
        "header": shown.header.to_json(),
        "spent_seconds": shown.spent_seconds,
        "exhausted_seconds": shown.exhausted_seconds,
        "trials": [_trial_document(known) for known in shown.trials],
    }
    content = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return gzip.compress(content.encode(), mtime=0)


def loads(content: bytes, where: str) -> StudyRecord:
    """Returns the study that ``dumps`` wrote; also from the JSON alone.

    Args:
        content: Of the file.
        where: What the file is called in errors.

    Raises:
        UserError: It is no study's file, is damaged, or was written by a newer version.
    """
    document = _document(content, where)
    _check_schema(document.get("schema"), where)
    try:
        return checked(
            StudyRecord(
                header=_header(document["header"]),
                trials=tuple(map(_trial_record, document["trials"])),
                spent_seconds=document["spent_seconds"],
                exhausted_seconds=document["exhausted_seconds"],
            )
        )
    except _UNFIT as error:
        raise _damaged(where, f"{type(error).__name__}: {error}") from error


def _document(content: bytes, where: str) -> dict[str, Any]:
    try:
        text = gzip.decompress(content) if content.startswith(_GZIP) else content
        document = json.loads(text, parse_int=_whole, parse_constant=_refuse)
        if _HALVES.search(text):
            json.dumps(document, ensure_ascii=False).encode()  # half of a character could not be written again
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _damaged(where, str(error) or type(error).__name__) from error
    if not isinstance(document, dict):
        raise _damaged(where, "it holds no JSON object")
    return document


def _whole(digits: str) -> int:
    """Returns a whole number, of a size that a figure can be computed from."""
    return int(digits) if len(digits) < MOST_DIGITS else _refuse(digits)


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number[:MOST_DIGITS]} is no number of a study")


def _check_schema(schema: object, where: str) -> None:
    kind, _, number = str(schema).partition("/")
    if kind != "study" or not number.isdecimal():
        raise UserError(
            f"This is no study's file. Expected: schema {SCHEMA!r}. Received: {schema!r} in {where}.",
            hint=f"Name a study, the folder of one, a report's folder, or the {NAME} in it.",
        )
    if int(number) > int(SCHEMA.partition("/")[2]):
        raise UserError(
            f"The study's file was written by a newer version. Expected: schema {SCHEMA!r} at most. "
            f"Received: {schema!r} in {where}.",
            hint="Update this package.",
        )


def _damaged(where: str, why: str) -> UserError:
    return UserError(
        f"The study's file cannot be read, or is damaged ({why}). Received: {where}.",
        hint="Copy it again from where it came from.",
    )


def _trial_document(known: TrialRecord) -> dict[str, Any]:
    trial = {name: value for name, value in asdict(known.trial).items() if name not in LOCAL}
    outcome = known.outcome and {**known.outcome.to_json(), "history": _epochs(known.outcome.history)}
    return {"trial": trial, "started": known.started, "outcome": outcome, "reports": _epochs(known.reports)}


def _header(document: dict[str, Any]) -> StudyHeader:
    header = checked(StudyHeader.from_json(document))
    for part in (header.protocol, header.space, *header.space.parameters.values(), *header.space.recipes.values()):
        checked(part)
    return header


def _trial_record(document: Mapping[str, Any]) -> TrialRecord:
    fields, outcome = dict(document["trial"]), document["outcome"]
    trial = Trial(**{**fields, "phase": Phase(fields["phase"]), "rungs": tuple(fields["rungs"])})
    if trial.phase is Phase.ENSEMBLE and not isinstance(trial.notes.get(WEIGHTS), dict):
        raise ValueError("an ensemble without weights")
    known = TrialRecord(
        trial=checked(trial),
        outcome=None if outcome is None else _outcome(outcome),
        started=document["started"],
        reports=tuple(map(_report, document["reports"])),
    )
    return checked(known)


def _outcome(document: Mapping[str, Any]) -> Outcome:
    outcome = Outcome.from_json({**document, "history": ()})
    images = range(outcome.scored if outcome.scored is not None else sys.maxsize)
    if not all(one in images for one in outcome.wrong) or len(outcome.predicted) not in (0, len(outcome.wrong)):
        raise ValueError("images that were not scored")
    return checked(replace(outcome, history=tuple(map(_report, document["history"]))))


def _epochs(reports: tuple[EpochReport, ...]) -> list[dict[str, Any]]:
    return [_written(asdict(report)) for report in reports]


def _written(report: dict[str, Any]) -> dict[str, Any]:
    """Returns an epoch with losses that are not finite as texts, since JSON has no such numbers."""
    for name in _LOSSES:
        value = report[name]
        report[name] = value if value is None or math.isfinite(value) else str(value)
    return report


def _report(document: Mapping[str, Any]) -> EpochReport:
    """Returns an epoch, with such losses as numbers again."""
    losses = {name: float(document[name]) for name in _LOSSES if isinstance(document[name], str)}
    return checked(EpochReport(**{**document, **losses}))
