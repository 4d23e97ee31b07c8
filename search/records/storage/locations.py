"""The places of studies, folders or databases, and their locks.

Called by the ledgers, the readers and the commands. ``storages`` opens what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from search.errors import UserError
from search.records.record import JOURNAL_NAME

SQLITE_PREFIX = "sqlite:///"
SERVER_EXTRAS: Mapping[str, str] = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}
"""Servers that several coordinators may share, with the extra that installs the driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLocation:
    """Where studies are kept.

    Args:
        studies_dir: Folder with one folder per study.
        storage: An Optuna storage URL, or None for a journal file in the study's folder.
    """

    studies_dir: Path
    storage: str | None = field(default=None, repr=False)

    @property
    def is_shared(self) -> bool:
        """Whether several coordinators may work on one study: on a database server they may."""
        return self.storage is not None and url_scheme(self.storage) in SERVER_EXTRAS

    def folder(self, name: str) -> Path:
        """Returns a study's folder."""
        return self.studies_dir / name

    def journal(self, name: str) -> Path:
        """Returns the path of a study's journal file, which exists unless a storage URL is given."""
        return self.folder(name) / JOURNAL_NAME

    def study_names(self) -> list[str]:
        """Returns the names of the studies kept here."""
        if self.storage is not None:
            from search.records.storage.storages import database_study_names  # it imports Optuna

            return database_study_names(self.storage)
        return sorted(path.parent.name for path in self.studies_dir.glob(f"*/{JOURNAL_NAME}"))


def url_scheme(url: str) -> str:
    """Returns the kind of a database, such as "postgresql"."""
    return url.partition(":")[0].partition("+")[0]


def lock_study(location: StudyLocation, name: str) -> ExitStack:
    """Locks a study whose ledger is a file; closing the result releases the lock.

    A lock beside an SQLite file excludes the processes of this machine only, since locks on network file systems are
    unreliable.

    Raises:
        UserError: Another process holds the lock, or the folder cannot be written.
    """
    folder, locks = location.folder(name), ExitStack()
    make_folder(folder)
    paths = [folder / "lock"]
    if location.storage is not None and (file := location.storage.partition(SQLITE_PREFIX)[2]):
        paths.append(Path(f"{file}.{name}.lock"))
    try:
        for path in paths:
            locks.enter_context(FileLock(path, timeout=0))
    except Timeout as error:
        locks.close()
        raise UserError(
            f"Study {name!r} is being run by another process. Received: a lock held on {error.lock_file}.",
            hint="Wait for it to end, or start another study with --study NAME; several coordinators may share a study "
            "on a database server.",
        ) from None
    except OSError as error:
        locks.close()
        raise _unwritable_folder_error(folder, error) from error
    return locks


def make_folder(folder: Path) -> None:
    """Creates a study's folder.

    Raises:
        UserError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable_folder_error(folder, error) from error


def _unwritable_folder_error(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The study's folder cannot be written. Received: {folder} ({error.strerror}).",
        hint="Name another with --studies-dir.",
    )
