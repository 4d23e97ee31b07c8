"""Heartbeats of the coordinators of a study in a database, by the database's clock.

A coordinator's lease is an attribute of the study that a thread renews. A coordinator is dead if its lease has expired,
or earlier if its process on this machine is gone; other coordinators then take over its trials. Called by
``search.records.storage.database_ledger`` and ``search.records.status``.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyUserAttributeModel
from sqlalchemy import delete, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from search.records.storage import process_identity
from search.records.storage.process_identity import Coordinator
from search.trial import Phase

LEASE_KEY_PREFIX = "coordinator "
HEARTBEAT_SECONDS = 3.0
LEASE_SECONDS = 60.0
"""How long a coordinator may not be heard of before its trials are others'; a restart of the server takes less."""
DEAD_PROCESS_SECONDS = 3 * HEARTBEAT_SECONDS
"""The same of one whose process this machine no longer knows; not at once, since it may run in another container."""
CLOCK_QUERIES: Mapping[str, str] = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
    "mariadb": "SELECT UNIX_TIMESTAMP(NOW(6))",
}
"""How each kind of server is asked for the seconds since 1970 by its clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A coordinator's sign of life.

    Args:
        process: Which process it is.
        age_seconds: Seconds that it was not renewed, by the database's clock, while it could have been.
    """

    process: Coordinator
    age_seconds: float

    @property
    def is_alive(self) -> bool:
        """Whether the coordinator is taken to live."""
        if self.age_seconds > LEASE_SECONDS:
            return False
        return (
            self.age_seconds < DEAD_PROCESS_SECONDS
            or not self.process.is_on_this_host
            or process_identity.is_alive(self.process)
        )


class Heartbeat:
    """This coordinator's sign of life, until it is closed.

    Args:
        storage: The database.
        study: Its number for the study's search.
    """

    def __init__(self, storage: RDBStorage, study: int) -> None:
        self.name = f"{LEASE_KEY_PREFIX}{secrets.token_hex(8)}"
        self._storage, self._study, self._process = storage, study, asdict(process_identity.current_process())
        self._outage_at = float("-inf")  # when this coordinator was last cut off, by the database's clock
        self._renewed_at = 0.0
        self._closing = threading.Event()
        self._renew()
        self._thread = threading.Thread(target=self._renew_periodically, name="sign of life", daemon=True)
        self._thread.start()

    def alive_by_name(self) -> dict[str, bool]:
        """Returns for each coordinator by its name whether it is taken to live.

        Where this one was cut off as well, others are given the time to be heard of again.
        """
        with self._storage.engine.connect() as connection:
            is_cut_off = (
                _database_time(connection) - self._renewed_at > DEAD_PROCESS_SECONDS
            )  # and has not beaten again yet
            leases = read_leases(connection, self._study, outage_at=float("inf") if is_cut_off else self._outage_at)
        return {name: name == self.name or sign.is_alive for name, sign in leases.items()}

    def remove(self, name: str) -> None:
        """Takes away the sign of a dead coordinator, or one's own."""
        attribute = StudyUserAttributeModel
        with self._storage.engine.begin() as connection:
            connection.execute(delete(attribute).where(attribute.study_id == self._study, attribute.key == name))

    def close(self) -> None:
        """Ends the sign of life; one that cannot be taken away any more ends by itself."""
        self._closing.set()
        self._thread.join()
        with suppress(SQLAlchemyError):
            self.remove(self.name)

    def _renew(self) -> None:
        with self._storage.engine.connect() as connection:
            now = _database_time(connection)
        if not self._renewed_at:  # others may be back after an outage as well, and not have beaten yet
            self._outage_at = now - LEASE_SECONDS + DEAD_PROCESS_SECONDS
        elif now - self._renewed_at > DEAD_PROCESS_SECONDS:
            self._outage_at = now
        self._storage.set_study_user_attr(self._study, self.name, {"process": self._process, "beat": now})
        self._renewed_at = now

    def _renew_periodically(self) -> None:
        while not self._closing.wait(HEARTBEAT_SECONDS):
            with suppress(SQLAlchemyError, StorageInternalError):  # the coordinator itself meets the same, and says so
                self._renew()


def live_coordinators(storage: RDBStorage, name: str) -> tuple[Coordinator, ...]:
    """Returns the processes that run a study now, for who only looks; the first of them came first."""
    try:
        study = storage.get_study_id_from_name(f"{name}/{Phase.SEARCH.value}")
    except KeyError:
        return ()
    with storage.engine.connect() as connection:
        processes = [sign.process for sign in read_leases(connection, study).values() if sign.is_alive]
    return tuple(sorted(processes, key=lambda process: process.since))


def read_leases(connection: Connection, study: int, *, outage_at: float = float("-inf")) -> dict[str, Lease]:
    """Returns the signs of a study's coordinators by their names, the dead among them.

    Args:
        connection: To the database.
        study: Its number for the study's search.
        outage_at: When whoever asks was last cut off, by the database's clock; nobody is older than that.
    """
    attribute = StudyUserAttributeModel
    query = select(attribute.key, attribute.value_json)
    query = query.where(attribute.study_id == study, attribute.key.startswith(LEASE_KEY_PREFIX))
    now, values = _database_time(connection), [(name, json.loads(value)) for name, value in connection.execute(query)]
    return {
        name: Lease(process=Coordinator(**one["process"]), age_seconds=now - max(one["beat"], outage_at))
        for name, one in values
    }


def _database_time(connection: Connection) -> float:
    return float(connection.execute(text(CLOCK_QUERIES[connection.dialect.name])).scalar_one())
