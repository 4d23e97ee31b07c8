"""Heartbeats of the coordinators of a study in a database, by the database's clock.

A coordinator's lease is an attribute of the study that a thread renews. A coordinator is dead if its lease has expired,
or earlier if its process on this machine has ended; other coordinators then take over its trials. Called by
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
"""Age at which a lease expires; a restart of the server takes less."""
DEAD_PROCESS_SECONDS = 3 * HEARTBEAT_SECONDS
"""The same for a process that this machine does not know; not 0, since it may run in another container."""
CLOCK_QUERIES: Mapping[str, str] = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
    "mariadb": "SELECT UNIX_TIMESTAMP(NOW(6))",
}
"""Query for the seconds since 1970 by the server's clock, by kind of server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A coordinator's lease on a study.

    Args:
        process: The coordinator's process.
        age_seconds: Seconds since its last renewal, or since the end of an outage, by the database's clock.
    """

    process: Coordinator
    age_seconds: float

    @property
    def is_alive(self) -> bool:
        """Whether the coordinator counts as alive."""
        if self.age_seconds > LEASE_SECONDS:
            return False
        return (
            self.age_seconds < DEAD_PROCESS_SECONDS
            or not self.process.is_on_this_host
            or process_identity.is_alive(self.process)
        )


class Heartbeat:
    """Renews this coordinator's lease in a thread, until it is closed.

    Args:
        storage: The database.
        study: Storage id of the search phase's Optuna study.
    """

    def __init__(self, storage: RDBStorage, study: int) -> None:
        self.name = f"{LEASE_KEY_PREFIX}{secrets.token_hex(8)}"
        self._storage, self._study, self._process = storage, study, asdict(process_identity.current_process())
        self._outage_at = float("-inf")  # when this coordinator was last cut off, by the database's clock
        self._renewed_at = 0.0
        self._closing = threading.Event()
        self._renew()
        self._thread = threading.Thread(target=self._renew_periodically, name="heartbeat", daemon=True)
        self._thread.start()

    def alive_by_name(self) -> dict[str, bool]:
        """Returns for each coordinator, by name, whether it counts as alive.

        After an outage that this coordinator noticed, the others get time to renew their leases.
        """
        with self._storage.engine.connect() as connection:
            is_cut_off = _database_time(connection) - self._renewed_at > DEAD_PROCESS_SECONDS  # and not yet renewed
            leases = read_leases(connection, self._study, outage_at=float("inf") if is_cut_off else self._outage_at)
        return {name: name == self.name or lease.is_alive for name, lease in leases.items()}

    def remove(self, name: str) -> None:
        """Deletes the lease of a dead coordinator, or this coordinator's own."""
        attribute = StudyUserAttributeModel
        with self._storage.engine.begin() as connection:
            connection.execute(delete(attribute).where(attribute.study_id == self._study, attribute.key == name))

    def close(self) -> None:
        """Deletes the lease; a lease that cannot be deleted expires."""
        self._closing.set()
        self._thread.join()
        with suppress(SQLAlchemyError):
            self.remove(self.name)

    def _renew(self) -> None:
        with self._storage.engine.connect() as connection:
            now = _database_time(connection)
        if not self._renewed_at:  # after an outage the others may not have renewed their leases yet
            self._outage_at = now - LEASE_SECONDS + DEAD_PROCESS_SECONDS
        elif now - self._renewed_at > DEAD_PROCESS_SECONDS:
            self._outage_at = now
        self._storage.set_study_user_attr(self._study, self.name, {"process": self._process, "beat": now})
        self._renewed_at = now

    def _renew_periodically(self) -> None:
        while not self._closing.wait(HEARTBEAT_SECONDS):
            with suppress(SQLAlchemyError, StorageInternalError):  # the coordinator's own queries report the outage
                self._renew()


def live_coordinators(storage: RDBStorage, name: str) -> tuple[Coordinator, ...]:
    """Returns the processes that run a study, by their start; called by readers."""
    try:
        study = storage.get_study_id_from_name(f"{name}/{Phase.SEARCH.value}")
    except KeyError:
        return ()
    with storage.engine.connect() as connection:
        processes = [lease.process for lease in read_leases(connection, study).values() if lease.is_alive]
    return tuple(sorted(processes, key=lambda process: process.since))


def read_leases(connection: Connection, study: int, *, outage_at: float = float("-inf")) -> dict[str, Lease]:
    """Returns the leases of a study's coordinators by name, expired ones included.

    Args:
        connection: To the database.
        study: Storage id of the search phase's Optuna study.
        outage_at: When the caller last lost the connection, by the database's clock; no lease is older than that.
    """
    attribute = StudyUserAttributeModel
    query = select(attribute.key, attribute.value_json)
    query = query.where(attribute.study_id == study, attribute.key.startswith(LEASE_KEY_PREFIX))
    now, values = _database_time(connection), [(name, json.loads(value)) for name, value in connection.execute(query)]
    return {
        name: Lease(process=Coordinator(**lease["process"]), age_seconds=now - max(lease["beat"], outage_at))
        for name, lease in values
    }


def _database_time(connection: Connection) -> float:
    return float(connection.execute(text(CLOCK_QUERIES[connection.dialect.name])).scalar_one())
