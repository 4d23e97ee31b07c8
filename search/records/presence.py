"""Which coordinators work on a study in a database: each leaves a sign of life there, by the database's own clock.

A sign is an attribute of the study, renewed by a thread, whatever the coordinator itself is busy with. One that was not
renewed for too long is that of a dead one, whose trials others take up; so is, sooner, that of a process of this
machine that is gone. Called by ``search.records.shared``, and by who only wants to know who runs a study.
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

from search.records import coordinator
from search.records.coordinator import Coordinator
from search.trial import Phase

PREFIX = "coordinator "
BEAT_SECONDS = 3.0
LEASE_SECONDS = 60.0
"""How long a coordinator may not be heard of before its trials are others'; a restart of the server takes less."""
GONE_SECONDS = 3 * BEAT_SECONDS
"""The same of one whose process this machine no longer knows; not at once, since it may run in another container."""
CLOCKS: Mapping[str, str] = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
    "mariadb": "SELECT UNIX_TIMESTAMP(NOW(6))",
}
"""How each kind of server is asked for the seconds since 1970 by its clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A coordinator's sign of life.

    Args:
        process: Which process it is.
        age: Seconds that it was not renewed, by the database's clock, while it could have been.
    """

    process: Coordinator
    age: float

    @property
    def is_alive(self) -> bool:
        """Whether the coordinator is taken to live."""
        if self.age > LEASE_SECONDS:
            return False
        return self.age < GONE_SECONDS or not self.process.is_near or coordinator.lives(self.process)


class Presence:
    """This coordinator's sign of life, until it is closed.

    Args:
        storage: The database.
        study: Its number for the study's search.
    """

    def __init__(self, storage: RDBStorage, study: int) -> None:
        self.name = f"{PREFIX}{secrets.token_hex(8)}"
        self._storage, self._study, self._process = storage, study, asdict(coordinator.myself())
        self._since = float("-inf")  # when this coordinator was last cut off, by the database's clock
        self._beat_at = 0.0
        self._closing = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._keep_beating, name="sign of life", daemon=True)
        self._thread.start()

    def living(self) -> dict[str, bool]:
        """Returns for each coordinator by its name whether it is taken to live.

        Where this one was cut off as well, others are given the time to be heard of again.
        """
        with self._storage.engine.connect() as connection:
            is_cut_off = _now(connection) - self._beat_at > GONE_SECONDS  # and has not beaten again yet
            found = signs(connection, self._study, since=float("inf") if is_cut_off else self._since)
        return {name: name == self.name or sign.is_alive for name, sign in found.items()}

    def bury(self, name: str) -> None:
        """Takes away the sign of a dead coordinator, or one's own."""
        attribute = StudyUserAttributeModel
        with self._storage.engine.begin() as connection:
            connection.execute(delete(attribute).where(attribute.study_id == self._study, attribute.key == name))

    def close(self) -> None:
        """Ends the sign of life; one that cannot be taken away any more ends by itself."""
        self._closing.set()
        self._thread.join()
        with suppress(SQLAlchemyError):
            self.bury(self.name)

    def _beat(self) -> None:
        with self._storage.engine.connect() as connection:
            now = _now(connection)
        if not self._beat_at:  # others may be back after an outage as well, and not have beaten yet
            self._since = now - LEASE_SECONDS + GONE_SECONDS
        elif now - self._beat_at > GONE_SECONDS:
            self._since = now
        self._storage.set_study_user_attr(self._study, self.name, {"process": self._process, "beat": now})
        self._beat_at = now

    def _keep_beating(self) -> None:
        while not self._closing.wait(BEAT_SECONDS):
            with suppress(SQLAlchemyError, StorageInternalError):  # the coordinator itself meets the same, and says so
                self._beat()


def living(storage: RDBStorage, name: str) -> tuple[Coordinator, ...]:
    """Returns the processes that run a study now, for who only looks; the first of them came first."""
    try:
        study = storage.get_study_id_from_name(f"{name}/{Phase.SEARCH.value}")
    except KeyError:
        return ()
    with storage.engine.connect() as connection:
        alive = [sign.process for sign in signs(connection, study).values() if sign.is_alive]
    return tuple(sorted(alive, key=lambda process: process.since))


def signs(connection: Connection, study: int, *, since: float = float("-inf")) -> dict[str, Sign]:
    """Returns the signs of a study's coordinators by their names, the dead among them.

    Args:
        connection: To the database.
        study: Its number for the study's search.
        since: When whoever asks was last cut off, by the database's clock; nobody is older than that.
    """
    attribute = StudyUserAttributeModel
    query = select(attribute.key, attribute.value_json)
    query = query.where(attribute.study_id == study, attribute.key.startswith(PREFIX))
    now, found = _now(connection), [(name, json.loads(value)) for name, value in connection.execute(query)]
    return {name: Sign(process=Coordinator(**one["process"]), age=now - max(one["beat"], since)) for name, one in found}


def _now(connection: Connection) -> float:
    return float(connection.execute(text(CLOCKS[connection.dialect.name])).scalar_one())
