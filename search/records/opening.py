"""Opens a study for writing, in a journal file or in a database. Called by a session and by comparisons."""

from __future__ import annotations

from search.records.ledger import Ledger
from search.records.record import StudyHeader
from search.records.storage.locations import StudyLocation


def open_ledger(location: StudyLocation, header: StudyHeader, *, accept_recorded_seed: bool = False) -> Ledger:
    """Opens a study for writing, and creates it if it is new.

    Args:
        location: Where studies are kept.
        header: What the study is.
        accept_recorded_seed: Whether the seed was drawn, so that the seed of a study that another coordinator has
            started in the meantime is accepted.

    Raises:
        UserError: The study exists with other settings, is being written by another process, or cannot be reached.
        FatalError: Its journal is damaged in the middle.
        OSError: Its journal cannot be written, for example because the disk is full.
    """
    if location.is_shared:
        from search.records.storage.database_ledger import DatabaseLedger  # slow: imports SQLAlchemy

        return DatabaseLedger.open(location, header, accept_recorded_seed=accept_recorded_seed)
    from search.records.storage.file_ledger import FileLedger

    return FileLedger.open(location, header)
