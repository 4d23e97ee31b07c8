"""Reads studies from their ledgers without writing or locking, also while they run.

Called by the commands, the API and the comparison of engines.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from search.errors import UserError, unknown_name
from search.records.openings import read_openings
from search.records.record import StudyHeader, StudyRecord, require_same_study
from search.records.storage.locations import StudyLocation
from search.records.storage.optuna_codec import decode_study, read_header, study_names
from search.records.storage.storages import read_storage

_LOG = logging.getLogger(__name__)


class StudyNotStartedError(UserError):
    """A study has no header yet: its first session is starting, or died before writing it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Study {name!r} was stopped before it began.", hint="Run its command again.")


def read_study(location: StudyLocation, name: str) -> StudyRecord:
    """Reads one study up to the first damaged record.

    Raises:
        UserError: There is no such study, or its ledger has a newer schema or cannot be read.
        StudyNotStartedError: It has no header yet.
        FatalError: Its journal is damaged in the middle.
    """
    record, _ = _read_study_and_note(location, name)
    if record is None:
        raise StudyNotStartedError(name)
    return record


def read_studies(location: StudyLocation, *names: str) -> list[StudyRecord]:
    """Reads the named studies, or all started studies if no name is given; logs a warning for each damaged journal.

    Raises:
        UserError: As ``read_study``.
        FatalError: As ``read_study``.
    """
    records = {name: _read_study_and_note(location, name) for name in names or location.study_names()}
    for name, (record, note) in records.items():
        if note:
            _LOG.warning(note)
        if record is None and names:
            raise StudyNotStartedError(name)
    return [record for record, _ in records.values() if record is not None]


def read_recorded_study(location: StudyLocation, header: StudyHeader) -> StudyRecord | None:
    """Returns the recorded study of a header, or None if there is none.

    Raises:
        UserError: The study of this name has other settings.
    """
    if (recorded := read_recorded_header(location, header.name)) is None:
        return None
    return decode_study(read_storage(location, header.name)[0], require_same_study(recorded, header))


def read_recorded_header(location: StudyLocation, name: str) -> StudyHeader | None:
    """Returns the header of a study, or None if there is no such study or it has no header yet."""
    return read_header(read_storage(location, name)[0], name) if name in location.study_names() else None


def _read_study_and_note(location: StudyLocation, name: str) -> tuple[StudyRecord | None, str]:
    """Returns a study, None if it has no header yet, and a note about damage."""
    if name not in (names := location.study_names()):
        if names:
            raise unknown_name("study", name, names)
        raise UserError(f"Unknown study. Received: {name!r}; there is none in {location.studies_dir}.")
    folder = location.folder(name)
    storage, note = read_storage(location, name)
    recorded_names = study_names(storage)
    if location.storage is None and len(recorded_names) == 1:
        name = recorded_names[0]  # a journal's folder may have been copied or renamed
    header = read_header(storage, name)
    if header is None:
        return None, note
    return replace(decode_study(storage, header), opened_by=read_openings(folder)), note
