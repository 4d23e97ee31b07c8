"""The catalog: what a STUDY on the command line means, wherever a study is only read.

    a name          of a study in --studies-dir or --storage
    a folder        of a study, wherever it was copied to; of a report, which holds ``study.json.gz``; or of either kind
    a file          ``study.json.gz`` or ``ledger.journal``

A name goes before a path. Reads only. Called by the commands; what it finds goes to ``search.records.merging`` or a
board.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from search.errors import UserError
from search.records import study_file
from search.records.ledger import read_studies
from search.records.merging import Found
from search.records.record import StudyRecord
from search.records.storage import Place

JOURNAL = "ledger.journal"
HOLDERS = (JOURNAL, study_file.NAME)
"""The files by which a folder is known to hold a study; the first is the one that may have gone on."""
MOST_NAMES = 12
"""Known names that an error lists."""


def find(texts: Sequence[str], place: Place) -> list[Found]:
    """Returns the studies that texts mean, in their order; all that have begun at the place where there is no text.

    Raises:
        UserError: A text means none, or a study cannot be read.
        FatalError: A ledger is damaged in the middle.
    """
    if not texts:
        return [Found(record, record.header.name) for record in _at(place)]
    names = place.names()
    return [found for text in texts for found in _meant(text, place, names)]


def one(text: str, place: Place) -> StudyRecord:
    """Returns the study that a text means.

    Raises:
        UserError: As ``find``; or it is a folder of several.
    """
    found = find([text], place)
    if len(found) > 1:
        several = ", ".join(one.where for one in found[:MOST_NAMES])
        raise UserError(f"One study is expected, and {text} holds {len(found)}.", hint=f"Name one of them: {several}.")
    return found[0].record


def locate(text: str, place: Place) -> tuple[Place, str]:
    """Returns where the ledger is that a text means, and its name there; for those who watch it while it is written.

    Raises:
        UserError: It means none, or something that is no ledger.
    """
    if text in (names := place.names()):
        return place, text
    path = Path(text)
    folder = path.parent if path.name == JOURNAL else path
    if (folder / JOURNAL).is_file():
        return Place(studies_dir=folder.resolve().parent), folder.resolve().name
    if path.exists():
        raise UserError(
            f"A study that can still be written is expected. Received: {text}, which holds no {JOURNAL}.",
            hint="Name a study, or its folder; what a report's folder holds is shown by: python -m search leaderboard",
        )
    raise _unknown(text, place, names)


def _meant(text: str, place: Place, names: Sequence[str]) -> list[Found]:
    if text in names:
        return [Found(record, text) for record in _at(place, text)]
    path = Path(text)
    if not path.exists():
        raise _unknown(text, place, names)
    found = [_found(file, path) for file in ([path] if path.is_file() else _files(path))]
    if not found:
        raise UserError(
            f"There is no study in the folder. Received: {text}.",
            hint=f"Expected: a file {JOURNAL} or {study_file.NAME} in it, or in folders up to two levels below.",
        )
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yields a file for each study of a folder: in itself, or else in the folders up to two levels below."""
    for depth in ("", "*", "*/*"):
        holders = sorted({path.parent for name in HOLDERS for path in folder.glob(f"{depth}/{name}".lstrip("/"))})
        yield from (next(one / name for name in HOLDERS if (one / name).is_file()) for one in holders)
        if holders and not depth:
            return


def _found(file: Path, given: Path) -> Found:
    """Reads a file of either kind; it is called by its folder, unless the file itself was given."""
    where = str(file if file == given else file.parent)
    if file.name == JOURNAL:
        folder = file.resolve().parent
        (record,) = _at(Place(studies_dir=folder.parent), folder.name)
        return Found(record, where)
    return Found(read_file(file), where, file)


def read_file(file: Path) -> StudyRecord:
    """Reads a ``study.json.gz``.

    Raises:
        UserError: It cannot be read, is none, is damaged, or was written by a newer version.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"The study's file cannot be read. Received: {file} ({error.strerror}).") from error
    return study_file.loads(content, str(file))


def _at(place: Place, *names: str) -> list[StudyRecord]:
    return read_studies(names, studies_dir=place.studies_dir, storage=place.storage)


def _unknown(text: str, place: Place, names: Sequence[str]) -> UserError:
    """Returns the error for a text that means nothing, with the names that it may have meant."""
    near = difflib.get_close_matches(text, names, n=3)
    guess = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    where = place.studies_dir if place.storage is None else "the storage"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    known = f"Known in {where}: {', '.join(names[:MOST_NAMES])}{more}." if names else f"There is none in {where}."
    return UserError(
        f"Unknown study. Expected: a study's name, its folder, or a report's folder or {study_file.NAME}. "
        f"Received: {text!r}.",
        hint=f"{guess}{known}",
    )
