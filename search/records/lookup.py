"""Finds the studies that a STUDY argument of the command line refers to.

    a name          of a study in --studies-dir or --storage
    a folder        of a study, wherever it was copied to; of a report, which holds ``study.json.gz``; or of either kind
    a file          ``study.json.gz`` or ``ledger.journal``

A name takes precedence over a path. Called by the commands that read studies.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from search.errors import UserError
from search.garbage import paused_collection
from search.records import study_json
from search.records.merge import LocatedStudy
from search.records.record import JOURNAL_NAME, StudyRecord
from search.records.storage.locations import StudyLocation

STUDY_FILE_NAMES = (JOURNAL_NAME, study_json.FILE_NAME)
"""Files that mark a folder as a study's; the first takes precedence, since it may be newer."""
MAX_LISTED_NAMES = 12
"""Study names that an error lists."""


def find_studies(references: Sequence[str], location: StudyLocation) -> list[LocatedStudy]:
    """Returns the studies of the references, in order, or all started studies of the location if there are none.

    Raises:
        UserError: A reference matches no study, or a study cannot be read.
        FatalError: A ledger is damaged in the middle.
    """
    with paused_collection():  # it takes a fifth of the time of reading
        if not references:
            return [LocatedStudy(record, record.header.name) for record in _read_ledgers(location)]
        names = location.study_names()
        return [found for text in references for found in _resolve_reference(text, location, names)]


def find_study(reference: str, location: StudyLocation) -> StudyRecord:
    """Returns the study of a reference.

    Raises:
        UserError: As ``find_studies``; or the reference is a folder of several studies.
    """
    found = find_studies([reference], location)
    if len(found) > 1:
        names = ", ".join(study.source for study in found[:MAX_LISTED_NAMES])
        raise UserError(
            f"One study is expected, and {reference} holds {len(found)}.", hint=f"Name one of them: {names}."
        )
    return found[0].record


def locate_ledger(reference: str, location: StudyLocation) -> tuple[StudyLocation, str]:
    """Returns the location and the name of the study of a reference; for readers that follow its ledger.

    Raises:
        UserError: The reference matches no study, or one without a ledger.
    """
    if reference in (names := location.study_names()):
        return location, reference
    path = Path(reference)
    folder = path.parent if path.name == JOURNAL_NAME else path
    if (folder / JOURNAL_NAME).is_file():
        return StudyLocation(studies_dir=folder.resolve().parent), folder.resolve().name
    if path.exists():
        raise UserError(
            f"A study that can still be written is expected. Received: {reference}, which holds no {JOURNAL_NAME}.",
            hint="Name a study, or its folder; what a report's folder holds is shown by: python -m search leaderboard",
        )
    raise _unknown_study_error(reference, location, names)


def _resolve_reference(reference: str, location: StudyLocation, names: Sequence[str]) -> list[LocatedStudy]:
    if reference in names:
        return [LocatedStudy(record, reference) for record in _read_ledgers(location, reference)]
    path = Path(reference)
    if not path.exists():
        raise _unknown_study_error(reference, location, names)
    studies = [_load_study(file, path) for file in ([path] if path.is_file() else _study_files(path))]
    if not studies:
        raise UserError(
            f"There is no study in the folder. Received: {reference}.",
            hint=(
                f"Expected: a file {JOURNAL_NAME} or {study_json.FILE_NAME} in it, or in folders up to "
                "two levels below."
            ),
        )
    return studies


def _read_ledgers(location: StudyLocation, *names: str) -> list[StudyRecord]:
    from search.records.reader import read_studies  # it imports Optuna, which the files of reports do not need

    return read_studies(location, *names)


def _study_files(folder: Path) -> Iterator[Path]:
    """Yields a file for each study of a folder: in the folder itself, or else up to two levels below."""
    for depth in ("", "*", "*/*"):
        holders = sorted(
            {path.parent for name in STUDY_FILE_NAMES for path in folder.glob(f"{depth}/{name}".lstrip("/"))}
        )
        yield from (next(path for name in STUDY_FILE_NAMES if (path := holder / name).is_file()) for holder in holders)
        if holders and not depth:
            return


def _load_study(file: Path, argument: Path) -> LocatedStudy:
    """Reads a study from a file of either kind; its source is the folder, unless the file itself was given."""
    source = str(file if file == argument else file.parent)
    if file.name == JOURNAL_NAME:
        folder = file.resolve().parent
        (record,) = _read_ledgers(StudyLocation(studies_dir=folder.parent), folder.name)
        return LocatedStudy(record, source)
    return LocatedStudy(read_study_json(file), source, file)


def read_study_json(file: Path) -> StudyRecord:
    """Reads a ``study.json.gz``.

    Raises:
        UserError: The file cannot be read, is damaged or no study, or was written by a newer version.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"The study's file cannot be read. Received: {file} ({error.strerror}).") from error
    return study_json.loads(content, str(file))


def _report_folders(name: str) -> list[Path]:
    """Returns the folders below the working folder's ``reports`` that hold a study of a name."""
    folders = (Path("reports", name), Path("reports", "published", name)) if Path(name).name == name else ()
    return [folder for folder in folders if (folder / study_json.FILE_NAME).is_file()]


def _unknown_study_error(reference: str, location: StudyLocation, names: Sequence[str]) -> UserError:
    """Returns the error for an unknown reference, with similar names."""
    close_matches = difflib.get_close_matches(reference, names, n=3)
    suggestion = f"Did you mean {' or '.join(map(repr, close_matches))}? " if close_matches else ""
    suggestion += "".join(f"The report {folder} holds a study of this name. " for folder in _report_folders(reference))
    where = location.studies_dir if location.storage is None else "the storage"
    more = f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else ""
    listing = (
        f"Known in {where}: {', '.join(names[:MAX_LISTED_NAMES])}{more}." if names else f"There is none in {where}."
    )
    return UserError(
        f"Unknown study. Expected: a study's name, its folder, or a report's folder or {study_json.FILE_NAME}. "
        f"Received: {reference!r}.",
        hint=f"{suggestion}{listing}",
    )
