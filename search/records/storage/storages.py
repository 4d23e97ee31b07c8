"""Opens the storages of studies: journal files and databases.

Called by the ledgers and the readers. Messages never show the password of a storage URL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage

from search.errors import UserError, missing_extra
from search.records.redact import without_password
from search.records.storage import journal
from search.records.storage.locations import SERVER_EXTRAS, SQLITE_PREFIX, StudyLocation, url_scheme
from search.records.storage.optuna_codec import study_names

Commit = Callable[[bool], None]
T = TypeVar("T")
CONNECTION_TIMEOUTS: Mapping[str, Mapping[str, int]] = {
    "psycopg": {
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 30_000,
    },
    "pymysql": {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60},
}
"""Timeouts by driver, after which a silent connection is given up, as when the network is down."""
TABLE_CREATION_ATTEMPTS = 5
"""Attempts to create a database's tables; of processes that create them at once, one succeeds."""
CREATED_BY_ANOTHER = ("already exists", "duplicate", "unique constraint")
"""Words of the others' errors."""


def open_storage(location: StudyLocation, name: str) -> tuple[BaseStorage, Commit]:
    """Opens a study's repaired journal for writing, or the database that holds all studies.

    Returns:
        The storage, and a function that writes buffered records to the disk: all of them if called with True, otherwise
        those that have waited long enough.

    Raises:
        UserError: The database cannot be reached; its password is not shown.
        FatalError: The journal is damaged.
    """
    if location.storage is not None:
        return _open_url(location.storage), lambda force: None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = journal.JournalBackend(location.journal(name))
    return JournalStorage(backend), lambda force: backend.commit(force=force)


def read_storage(location: StudyLocation, name: str, *, follow: bool = False) -> tuple[BaseStorage, str]:
    """Opens a study's journal up to the first damaged record, without writing or locking, or the database.

    Args:
        location: Where the study is kept.
        name: The study's name.
        follow: Whether the storage of a journal also shows records that are added later, as that of a database does.

    Returns:
        The storage, and a note about damage; usually empty.

    Raises:
        UserError: The database cannot be reached, or the journal cannot be read.
        FatalError: The journal is damaged in the middle.
    """
    if location.storage is not None:
        return _open_url(location.storage), ""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = location.journal(name)
    try:
        storage, damage = journal.load_journal(path)
    except OSError as error:
        raise UserError(f"The ledger cannot be read. Received: {path} ({error.strerror}).") from error
    if follow:
        end = None if damage is None or damage.is_incomplete_line else damage.start
        storage = JournalStorage(journal.JournalFollower(path, damage_start=end))
    if damage is None or damage.is_incomplete_line:
        return storage, ""
    note = f"The ledger is damaged from line {damage.line} on, and was read up to there: {path}. "
    return storage, f"{note}The study's next run mends it."


def database_study_names(url: str) -> list[str]:
    """Returns the names of the studies in a database; none of an SQLite file that does not exist.

    Raises:
        UserError: It cannot be reached; its password is not shown.
    """
    return [] if _is_missing_sqlite_file(url) else study_names(_open_url(url))


def _is_missing_sqlite_file(url: str) -> bool:
    """Returns whether a URL names an SQLite file that does not exist, which Optuna would create when it reads."""
    _, is_sqlite, path = url.partition(SQLITE_PREFIX)
    return bool(is_sqlite) and Path(path).parent.is_dir() and not Path(path).exists()


def open_server(location: StudyLocation) -> RDBStorage:
    """Opens the database server that holds all studies, and creates missing tables.

    Raises:
        UserError: It cannot be reached; its password is not shown.
    """
    assert location.storage is not None
    return _open_or_explain(location.storage, lambda url: _server_storage(url, {"pool_pre_ping": True}))


def _open_url(url: str) -> BaseStorage:
    from sqlalchemy.pool import NullPool  # a reader leaves no connection open

    engine_options = {"poolclass": NullPool}
    return _open_or_explain(
        url, lambda url: get_storage(_server_storage(url, engine_options) if url_scheme(url) in SERVER_EXTRAS else url)
    )


def _open_or_explain(url: str, open_url: Callable[[str], T]) -> T:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        host = make_url(url).host
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        host = "@"
    if "@" in (host or ""):  # the host holds the end of a password, which no message may show
        raise UserError(
            "The storage URL cannot be read. Expected: such as sqlite:///studies.db or "
            "postgresql+psycopg://user@host/database. Received: another form.",
            hint="In a password, write @ as %40, : as %3A and / as %2F; better, leave it to ~/.pgpass.",
        )
    redacted_url = without_password(url)
    try:
        return _with_tables(lambda: open_url(url))
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        if isinstance(error, ImportError) and url_scheme(url) in SERVER_EXTRAS:
            raise missing_extra(f"--storage {redacted_url}", SERVER_EXTRAS[url_scheme(url)]) from None
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise UserError(
            f"The storage cannot be reached. Received: --storage {redacted_url} ({reason}).",
            hint="Check that the server runs and that its driver is installed.",
        ) from None


def _with_tables(open_storage: Callable[[], T]) -> T:
    """Returns an opened database with its tables; tries again where another process creates them at this moment."""
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for attempts_left in reversed(range(TABLE_CREATION_ATTEMPTS)):
        try:
            return open_storage()
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            if not attempts_left or not any(word in str(error).lower() for word in CREATED_BY_ANOTHER):
                raise
            time.sleep(0.5)
    raise AssertionError("the last try returns or raises")


def _server_storage(url: str, options: dict[str, Any]) -> RDBStorage:
    """Returns a server's storage.

    Args:
        url: URL of the server.
        options: Options of SQLAlchemy's engine; ``pool_pre_ping`` replaces connections that a restart has closed.
    """
    from sqlalchemy.engine import make_url

    timeouts = CONNECTION_TIMEOUTS.get(make_url(url).get_driver_name(), {})
    return RDBStorage(url, engine_kwargs={**options, "connect_args": dict(timeouts)})
