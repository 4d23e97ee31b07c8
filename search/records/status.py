"""Status of a study: summary, coordinators, disk usage and time of the last write. Takes no lock and writes nothing.

Called by the commands ``status`` and ``ls``. Files may vanish while they are counted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from search.errors import SearchError, UserError
from search.records.reader import StudyNotStartedError, read_study
from search.records.record import JOURNAL_NAME
from search.records.storage import process_identity
from search.records.storage.locations import StudyLocation
from search.records.storage.process_identity import Coordinator
from search.records.storage.storages import open_server
from search.records.summary import StudySummary, summarize

_CATEGORIES: Mapping[str, str] = {
    JOURNAL_NAME: "ledger",
    "checkpoints": "checkpoints",
    "predictions": "predictions",
    "logs": "logs",
}
"""Category of each entry of a study's folder; see ``search.records.ledger`` for the layout."""
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTotals:
    """Files of one kind.

    Args:
        files: How many.
        bytes: Their size together.
    """

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """Disk usage of a study.

    Args:
        parts: "ledger", "checkpoints", "predictions" and "logs", empty ones too, and "other" where there is any.
        free_bytes: What is left on that disk.
    """

    parts: Mapping[str, FileTotals]
    free_bytes: int

    @property
    def total_bytes(self) -> int:
        """Everything together."""
        return sum(part.bytes for part in self.parts.values())


def disk_usage(folder: Path) -> DiskUsage:
    """Returns the disk usage of a study's folder, which may not exist."""
    parts = {name: FileTotals() for name in _CATEGORIES.values()}
    for directory, _, names in os.walk(folder):
        for path in (Path(directory, name) for name in names):
            name = _CATEGORIES.get(path.relative_to(folder).parts[0], OTHER)
            size, total = _size(path), parts.get(name, FileTotals())
            if size is not None:
                parts[name] = FileTotals(files=total.files + 1, bytes=total.bytes + size)
    existing_folder = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return DiskUsage(parts=parts, free_bytes=shutil.disk_usage(existing_folder).free)


def last_write_time(folder: Path) -> datetime | None:
    """Returns when a study's journal was last written; None if the study is in a database."""
    try:
        return datetime.fromtimestamp((folder / JOURNAL_NAME).stat().st_mtime, UTC)
    except OSError:
        return None


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None


_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """Status of a study.

    Args:
        name: Its name.
        summary: Summary of its ledger; None if nothing is written yet, or it cannot be read.
        coordinators: The processes that run it; on a database server there may be several.
        usage: Its disk usage.
        last_written: When its ledger was last written; None if there is neither a journal nor a trial.
        problem: Why its ledger cannot be read; empty if it can.
    """

    name: str
    summary: StudySummary | None
    coordinators: tuple[Coordinator, ...]
    usage: DiskUsage
    last_written: datetime | None
    problem: str = ""

    @property
    def coordinator(self) -> Coordinator | None:
        """The first of the processes that run it; None if it does not run."""
        return next(iter(self.coordinators), None)


def study_status(location: StudyLocation, name: str) -> StudyStatus:
    """Returns the status of one study.

    Raises:
        UserError: There is no such study, or it was stopped before it began, or its ledger is of a newer version.
        FatalError: Its ledger is damaged.
    """
    folder = location.folder(name)
    # Before the record is read: otherwise a trial that ends in between would look abandoned.
    coordinators = _active_coordinators(location, name)
    try:
        summary = summarize(read_study(location, name))
    except StudyNotStartedError:
        if not coordinators:
            raise
        summary = None
    last_written = last_write_time(folder)
    if last_written is None and summary is not None:
        last_written = datetime.fromisoformat(summary.last_started)
    return StudyStatus(
        name=name, summary=summary, coordinators=coordinators, usage=disk_usage(folder), last_written=last_written
    )


def _active_coordinators(location: StudyLocation, name: str) -> tuple[Coordinator, ...]:
    """Returns the processes that run a study, from its folder or from the leases in its database."""
    if not location.is_shared:
        coordinator_process = process_identity.read_coordinator(location.folder(name))
        return () if coordinator_process is None else (coordinator_process,)
    from search.records.storage import heartbeat  # slow: imports SQLAlchemy

    server = open_server(location)
    try:
        return heartbeat.live_coordinators(server, name)
    finally:
        server.engine.dispose()


def all_statuses(location: StudyLocation) -> list[StudyStatus]:
    """Returns the status of every study, the last written first; an unreadable ledger is a ``problem``."""
    statuses = [_status_or_problem(location, name) for name in location.study_names()]
    return sorted(statuses, key=lambda status: status.last_written or _NEVER, reverse=True)


def latest_study_name(location: StudyLocation) -> str:
    """Returns the name of the study that was written last.

    Raises:
        UserError: There is none.
    """
    if location.storage is not None and (statuses := all_statuses(location)):
        return statuses[0].name
    names = location.study_names()
    if not names:
        raise UserError(f"There is no study in {describe_location(location)}.", hint=START_HINT)
    return max(names, key=lambda name: last_write_time(location.folder(name)) or _NEVER)


START_HINT = "Start one with: python -m search run --space cnn"


def describe_location(location: StudyLocation) -> str:
    """Returns the name of a location; a storage URL is not repeated, since it may hold a password."""
    return f"folder {location.studies_dir}" if location.storage is None else "the storage"


def _status_or_problem(location: StudyLocation, name: str) -> StudyStatus:
    try:
        return study_status(location, name)
    except SearchError as error:
        folder = location.folder(name)
        coordinator_process = process_identity.read_coordinator(folder)
        return StudyStatus(
            name=name,
            summary=None,
            coordinators=() if coordinator_process is None else (coordinator_process,),
            usage=disk_usage(folder),
            last_written=last_write_time(folder),
            problem=error.message,
        )
