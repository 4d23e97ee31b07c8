"""Where studies are kept: folders, journal files and databases, opened and locked.

Knows Optuna's storages and nothing of what is written into them; the ledger does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, JournalStorage, get_storage

from search.errors import UserError
from search.records import journal
from search.trial import Phase

Commit = Callable[[bool], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where studies are kept.

    Args:
        studies_dir: Folder with one folder a study.
        storage: An Optuna storage URL, or None for a journal file in the study's folder.
    """

    studies_dir: Path
    storage: str | None = None

    def folder(self, name: str) -> Path:
        """Returns a study's folder."""
        return self.studies_dir / name

    def journal(self, name: str) -> Path:
        """Returns a study's journal file, which there is unless a storage URL is given."""
        return self.folder(name) / "ledger.journal"

    def names(self) -> list[str]:
        """Returns the names of the studies kept here."""
        if self.storage is not None and _is_missing(self.storage):
            return []
        if self.storage is not None:
            found = [summary.study_name for summary in optuna.get_all_study_summaries(open_storage(self, "")[0])]
            return sorted(name.rpartition("/")[0] for name in found if name.endswith(f"/{Phase.SEARCH.value}"))
        return sorted(path.parent.name for path in self.studies_dir.glob("*/ledger.journal"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader gets.

    Args:
        storage: What was recorded when it was read; a database, or one that follows, shows what was added since.
        note: What is to be told of damage; mostly nothing.
    """

    storage: BaseStorage
    note: str = ""


def open_storage(place: Place, name: str) -> tuple[BaseStorage, Commit]:
    """Opens a study's journal for writing, mended, or the database that holds all studies.

    Returns:
        The storage, and what has the disk take what was written to it: all of it where it is called with True, else
        what has waited for long enough.

    Raises:
        UserError: The database cannot be reached; its password is not shown.
        FatalError: The journal is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if place.storage is not None:
        return _open_url(place.storage), lambda at_once: None
    backend = journal.Journal(place.journal(name))
    return JournalStorage(backend), lambda at_once: backend.commit(at_once=at_once)


def read_storage(place: Place, name: str, *, follow: bool = False) -> Reading:
    """Opens a study's journal as far as it is sound, without writing or locking, or the database.

    Args:
        place: Where the study is kept.
        name: The study's name.
        follow: Whether the storage of a journal is to show also what is added to it from now on.

    Raises:
        UserError: The database cannot be reached, or the journal not be read.
        FatalError: The journal is damaged in the middle.
    """
    if place.storage is not None:
        return Reading(storage=open_storage(place, name)[0])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = place.journal(name)
    try:
        storage, damage = journal.load(path)
    except OSError as error:
        raise UserError(f"The ledger cannot be read. Received: {path} ({error.strerror}).") from error
    if follow:
        end = None if damage is None or damage.is_unfinished else damage.start
        storage = JournalStorage(journal.Follower(path, end=end))
    if damage is None or damage.is_unfinished:
        return Reading(storage=storage)
    note = f"The ledger is damaged from line {damage.line} on, and was read up to there: {path}. "
    return Reading(storage=storage, note=f"{note}The study's next run mends it.")


def _is_missing(url: str) -> bool:
    """Says whether a URL names a database file that does not exist, which Optuna would make, only to read from it."""
    _, is_sqlite, path = url.partition("sqlite:///")
    return bool(is_sqlite) and Path(path).parent.is_dir() and not Path(path).exists()


def _open_url(url: str) -> BaseStorage:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        raise UserError(
            "The storage URL cannot be read. Expected: such as sqlite:///studies.db. Received: another form."
        ) from None
    try:
        return get_storage(url)
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise UserError(
            f"The storage cannot be reached. Received: --storage {shown} ({reason}).",
            hint="Check that the server runs and that its driver is installed.",
        ) from None


def lock_folder(folder: Path) -> FileLock:
    """Returns the lock on a study's folder, held, making the folder where needed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"Study {folder.name!r} is being run by another process. Received: a lock held on {folder / 'lock'}.",
            hint="Wait for it to end, or start another study with --study NAME.",
        ) from None
    except OSError as error:
        raise UserError(
            f"The study's folder cannot be written. Received: {folder} ({error.strerror}).",
            hint="Name another with --studies-dir.",
        ) from error
    return lock
