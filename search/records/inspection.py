"""Inspection: a study looked at from outside, while it runs or after: takes no lock, writes nothing, disturbs nobody.

Called by the commands ``status`` and ``ls``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from search.errors import SearchError, UserError
from search.records import coordinator, disk
from search.records.coordinator import Coordinator
from search.records.disk import Usage
from search.records.ledger import NotBegunError, read
from search.records.overview import Overview, overview
from search.records.storage import Place, open_server

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What was seen of a study.

    Args:
        name: Its name.
        overview: What its ledger holds; None where nothing is written yet, or it cannot be read.
        coordinators: Who runs it; on a database server perhaps several.
        usage: What it takes of the disk.
        written: When its ledger was last written; None where there is neither a journal nor a trial.
        problem: Why its ledger cannot be read; empty where it can.
    """

    name: str
    overview: Overview | None
    coordinators: tuple[Coordinator, ...]
    usage: Usage
    written: datetime | None
    problem: str = ""

    @property
    def coordinator(self) -> Coordinator | None:
        """Who runs it, or the first of those; None where nobody does."""
        return next(iter(self.coordinators), None)


def inspect(place: Place, name: str) -> Status:
    """Looks at one study.

    Raises:
        UserError: There is no such study, or it was stopped before it began, or its ledger is of a newer version.
        FatalError: Its ledger is damaged.
    """
    folder = place.folder(name)
    runs = _running(place, name)  # before the record: a trial that ends in between is not called left behind
    try:
        seen = overview(read(place, name))
    except NotBegunError:
        if not runs:
            raise
        seen = None
    written = disk.last_written(folder)
    if written is None and seen is not None:
        written = datetime.fromisoformat(seen.last_begun)
    return Status(name=name, overview=seen, coordinators=runs, usage=disk.usage(folder), written=written)


def _running(place: Place, name: str) -> tuple[Coordinator, ...]:
    """Returns who runs a study: its folder's sign says so, or on a database server those who gave a sign of life."""
    if not place.is_shared:
        found = coordinator.look(place.folder(name))
        return () if found is None else (found,)
    from search.records import presence  # imports SQLAlchemy, which takes longer than all the rest

    server = open_server(place)
    try:
        return presence.living(server, name)
    finally:
        server.engine.dispose()


def inspect_all(place: Place) -> list[Status]:
    """Looks at every study, the one written last first; of one that cannot be read it says why."""
    found = [_inspect_whatever(place, name) for name in place.names()]
    return sorted(found, key=lambda status: status.written or _NEVER, reverse=True)


def latest(place: Place) -> str:
    """Returns the name of the study that was written last.

    Raises:
        UserError: There is none.
    """
    if place.storage is not None and (found := inspect_all(place)):
        return found[0].name
    names = place.names()
    if not names:
        raise UserError(f"There is no study in {where(place)}.", hint=START)
    return max(names, key=lambda name: disk.last_written(place.folder(name)) or _NEVER)


START = "Start one with: python -m search run --space cnn"


def where(place: Place) -> str:
    """Returns what a place is called; a storage URL may hold a password, and is not repeated."""
    return f"folder {place.studies_dir}" if place.storage is None else "the storage"


def _inspect_whatever(place: Place, name: str) -> Status:
    try:
        return inspect(place, name)
    except SearchError as error:
        folder = place.folder(name)
        found = coordinator.look(folder)
        return Status(
            name=name,
            overview=None,
            coordinators=() if found is None else (found,),
            usage=disk.usage(folder),
            written=disk.last_written(folder),
            problem=error.message,
        )
