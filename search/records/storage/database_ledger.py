"""The ledger of several coordinators, in a database server that each of them reaches.

A coordinator chooses its next trial in a transaction that holds the lock on the study's row: it first reads what the
others have begun, then records its choice, so that no trial runs twice. The first recorded outcome of a trial stands,
be it that of its own coordinator or that of another one that considered it dead. The tables are Optuna's; its storage
writes one parameter at a time, so trials are written here in one transaction.

Called by ``search.records.opening.open_ledger``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any

from optuna.storages import RDBStorage, get_storage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import or_, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from search.records.ensemble_json import ENSEMBLE_PHASE
from search.records.ledger import Ledger, TransactionLostError, concurrent_writer_error
from search.records.record import EnsembleRecord, StudyHeader, StudyRecord, TrialRecord, require_same_study
from search.records.storage import process_identity
from search.records.storage.database_rows import (
    AttributeRow,
    TrialRow,
    count_trials,
    insert_attribute_once,
    objective_row,
    trial_attributes,
    trial_row,
    unfinished_trial_ids,
    write_epochs,
)
from search.records.storage.heartbeat import LEASE_KEY_PREFIX, Heartbeat
from search.records.storage.journal import COMMIT_INTERVAL_SECONDS
from search.records.storage.locations import StudyLocation, make_folder
from search.records.storage.optuna_codec import (
    ARITHMETIC_KEY,
    EXHAUSTED_KEY,
    HEADER_KEY,
    OPTUNA_STATES,
    OUTCOME_KEY,
    SPENT_KEY,
    create_optuna_studies,
    decode_outcome,
    decode_study,
    decode_trial,
    encode_ensemble,
    encode_outcome,
    encode_running_trial,
    encode_test_images,
    objective_values,
    read_header,
    write_header,
)
from search.records.storage.retry import call_with_retry, driver_message, is_outage
from search.records.storage.storages import open_server
from search.trial import EpochReport, Outcome, Phase, Trial

COORDINATOR_KEY = LEASE_KEY_PREFIX.strip()
"""Attribute of a trial: the name of the coordinator that runs it."""
IDLE_TIMEOUT_STATEMENTS: Mapping[str, str] = {
    "postgresql": "SET LOCAL idle_in_transaction_session_timeout = '120s'",
    "mysql": "SET SESSION wait_timeout = 120",
    "mariadb": "SET SESSION wait_timeout = 120",
}
"""By kind of server, the statement that ends the transaction of a coordinator whose machine has vanished."""


class DatabaseLedger(Ledger):
    """Records a study that other coordinators record as well.

    Args:
        location: Where studies are kept.
        header: What the study is, as recorded.
        server: The database.
        study_ids: Storage id of the Optuna study of each phase.
    """

    is_shared = True

    def __init__(
        self, location: StudyLocation, header: StudyHeader, server: RDBStorage, study_ids: Mapping[str, int]
    ) -> None:
        self.header, self.folder = header, location.folder(header.name)
        process = process_identity.current_process()
        self.log_dir = self.folder / "logs" / f"{process.host}-{process.pid}"
        self._server, self._storage, self._study_ids = server, get_storage(server), study_ids
        self._exclusive_session: Session | None = None
        self._running_ids: dict[tuple[Phase, int], int] = {}  # storage ids of this coordinator's unfinished trials
        self._own_ids: set[int] = set()  # of all its trials
        self._reassigned_ids: set[int] = set()  # of those that other coordinators ended
        self._pending: list[tuple[int, EpochReport]] = []
        self._committed = time.monotonic()
        with Session(server.engine) as session:
            self._next_numbers = {phase: count_trials(session, study_ids[phase]) for phase in Phase}
            self._unfinished_elsewhere = {phase: unfinished_trial_ids(session, study_ids[phase]) for phase in Phase}
        self._heartbeat = Heartbeat(server, study_ids[Phase.SEARCH])  # last, because it starts a thread

    @classmethod
    def open(cls, location: StudyLocation, header: StudyHeader, *, accept_recorded_seed: bool) -> DatabaseLedger:
        """Connects to the server and opens a study; see ``search.records.opening.open_ledger``."""
        return call_with_retry(lambda: cls._open_once(location, header, accept_recorded_seed))

    @classmethod
    def _open_once(cls, location: StudyLocation, header: StudyHeader, accept_recorded_seed: bool) -> DatabaseLedger:
        with ExitStack() as resources:
            server = open_server(location)
            resources.callback(server.engine.dispose)
            make_folder(location.folder(header.name))
            study_ids = create_optuna_studies(server, header.name)
            insert_attribute_once(server, study_ids[Phase.SEARCH], HEADER_KEY, header.to_json())
            if (recorded_header := read_header(server, header.name)) is not None:  # another's, if it was first
                header = require_same_study(recorded_header, header, accept_recorded_seed=accept_recorded_seed)
            write_header(server, header)
            ledger = cls(location, header, server, study_ids)
            resources.pop_all()
            return ledger

    def close(self) -> None:
        """Leaves the study, and its unfinished trials, to the other coordinators; an outage is ignored."""
        with suppress(SQLAlchemyError):
            self._write_pending()
        self._heartbeat.close()
        self._server.engine.dispose()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the lock on the study's row in a transaction; see ``Ledger.exclusive``."""
        if self._exclusive_session is not None:
            yield
            return
        self._exclusive_session = call_with_retry(self._locked_session)
        try:
            yield
            self._exclusive_session.commit()
        except DBAPIError as error:
            if not is_outage(error):
                raise
            raise TransactionLostError(
                f"The database was cut off in the middle of a decision ({driver_message(error)})."
            ) from None
        finally:
            session, self._exclusive_session = self._exclusive_session, None
            session.close()

    def begin(self, trial: Trial) -> None:
        """Records that a trial starts, under this coordinator's name."""
        with self.exclusive():
            frozen_trial = encode_running_trial(self.header, trial)
            frozen_trial.set_user_attr(COORDINATOR_KEY, self._heartbeat.name)
            trial_id = self._add_trial(trial.phase, frozen_trial, trial.number)
            self._running_ids[trial.key] = trial_id
            self._own_ids.add(trial_id)

    def has_begun(self, trial: Trial) -> bool:
        """Returns whether the trial was recorded: the server may have committed without confirming it."""
        trial_id = self._running_ids.get(trial.key)
        name = json.dumps(self._heartbeat.name)  # after a crash of the server the id may be another coordinator's trial
        query = select(AttributeRow).where(AttributeRow.key == COORDINATOR_KEY, AttributeRow.value_json == name)

        def is_recorded() -> bool:
            with Session(self._server.engine) as session:
                return session.scalar(query.where(AttributeRow.trial_id == trial_id)) is not None

        if trial_id is not None and call_with_retry(is_recorded):
            return True
        self._own_ids.discard(self._running_ids.pop(trial.key, -1))
        return False

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Buffers an epoch; buffered epochs are recorded a few times a second."""
        trial_id = self._trial_id(trial)
        if trial_id in self._reassigned_ids:
            return False
        self._pending.append((trial_id, report))
        self.flush()
        return trial_id not in self._reassigned_ids

    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Records how a trial ended, unless an outcome is recorded."""
        trial_id = self._trial_id(trial)

        def record_outcome() -> Outcome:
            with self._transaction() as session:
                row = session.get_one(TrialRow, trial_id, with_for_update=True)
                if row.state.is_finished():
                    recorded = decode_outcome(trial_attributes(session, [trial_id], epochs_of=[trial_id])[trial_id])
                    assert recorded is not None
                    return recorded
                write_epochs(session, [(trial_id, report) for report in outcome.history])
                document = json.dumps(encode_outcome(outcome))
                session.add(AttributeRow(trial_id=trial_id, key=OUTCOME_KEY, value_json=document))
                session.add_all(objective_row(value, trial_id=trial_id) for value in objective_values(outcome) or ())
                row.state, row.datetime_complete = OPTUNA_STATES[outcome.state], datetime.now()
            return outcome

        recorded = call_with_retry(record_outcome) if self._exclusive_session is None else record_outcome()
        self._pending = [item for item in self._pending if item[0] != trial_id]
        self._running_ids.pop(trial.key, None)
        self._reassigned_ids.discard(trial_id)
        return recorded

    def record_ensemble(self, ensemble: EnsembleRecord) -> None:
        """Records an ensemble."""
        with self.exclusive():
            assert self._exclusive_session is not None
            number = count_trials(self._exclusive_session, self._study_ids[ENSEMBLE_PHASE])
            self._add_trial(ENSEMBLE_PHASE, encode_ensemble(ensemble, number), number)

    def changes(self, phase: Phase) -> Sequence[TrialRecord]:
        """Returns the changes: all of them in ``exclusive``, otherwise those committed so far."""

        def find_changes() -> tuple[list[TrialRecord], int, set[int]]:
            with Session(self._server.engine) as session:
                return self._find_changes(session, phase)

        records, self._next_numbers[phase], self._unfinished_elsewhere[phase] = (
            call_with_retry(find_changes)
            if self._exclusive_session is None
            else self._find_changes(self._exclusive_session, phase)
        )  # kept only after the session has closed: the query is repeated if the connection is lost before
        return records

    def orphans(self) -> list[TrialRecord]:
        """Returns the unfinished trials of dead coordinators, and removes dead coordinators without such trials."""
        if not (keys := call_with_retry(self._find_orphans)):
            return []
        return [record for record in self.read().trials if record.outcome is None and record.trial.key in keys]

    def flush(self) -> None:
        """Records the buffered epochs if they have waited long enough; those of reassigned trials are dropped."""
        if self._pending and time.monotonic() - self._committed >= COMMIT_INTERVAL_SECONDS:
            call_with_retry(self._write_pending)

    def record_spent_seconds(self, seconds: float) -> None:
        """Records the seconds, unless another coordinator recorded more."""
        self._record_maximum(SPENT_KEY, round(seconds, 3))

    def record_arithmetic(self, values: Mapping[str, Any]) -> None:
        """Records the values, unless they are recorded."""
        study_id = self._study_ids[Phase.SEARCH]
        call_with_retry(lambda: insert_attribute_once(self._server, study_id, ARITHMETIC_KEY, dict(values)))

    def record_test_images(self, labels: Sequence[int], groups: Sequence[int] | None) -> None:
        """Records the class and, if known, the group of each test image, unless they are recorded."""
        study_id = self._study_ids[Phase.SEARCH]
        for attribute in encode_test_images(labels, groups).items():
            call_with_retry(partial(insert_attribute_once, self._server, study_id, *attribute))

    def record_exhausted_seconds(self, seconds: float) -> None:
        """Records the seconds, unless another coordinator recorded more."""
        self._record_maximum(EXHAUSTED_KEY, seconds)

    def read(self) -> StudyRecord:
        """Returns the study as recorded so far, once the server answers."""
        return call_with_retry(lambda: decode_study(self._storage, self.header))

    def _record_maximum(self, key: str, seconds: float) -> None:
        def raise_total() -> None:
            if seconds > self._server.get_study_user_attrs(self._study_ids[Phase.SEARCH]).get(key, 0.0):
                self._server.set_study_user_attr(self._study_ids[Phase.SEARCH], key, seconds)

        call_with_retry(raise_total)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        """Yields the session of ``exclusive``, which alone sees the trials that it added, or a new one."""
        if self._exclusive_session is not None:
            yield self._exclusive_session
            return
        with Session(self._server.engine) as session, session.begin():
            yield session

    def _write_pending(self) -> None:
        with Session(self._server.engine) as session, session.begin():
            reassigned = write_epochs(session, self._pending)
        self._reassigned_ids |= reassigned
        self._pending, self._committed = [], time.monotonic()

    def _find_orphans(self) -> Collection[tuple[Phase, int]]:
        phases = {self._study_ids[phase]: phase for phase in Phase}
        query = (
            select(TrialRow.study_id, TrialRow.number, AttributeRow.value_json)
            .join(AttributeRow, (AttributeRow.trial_id == TrialRow.trial_id) & (AttributeRow.key == COORDINATOR_KEY))
            .where(TrialRow.study_id.in_(phases), TrialRow.state == TrialState.RUNNING)
        )
        with Session(self._server.engine) as session:
            running = [(phases[study], number, json.loads(name)) for study, number, name in session.execute(query)]
        # Read after the trials: a coordinator leases its name before it begins a trial.
        alive_by_name = self._heartbeat.alive_by_name()
        for name, is_alive in alive_by_name.items():
            if not is_alive and name not in {coordinator for *_, coordinator in running}:
                self._heartbeat.remove(name)
        return {(phase, number) for phase, number, name in running if not alive_by_name.get(name, False)}

    def _find_changes(self, session: Session, phase: Phase) -> tuple[list[TrialRecord], int, set[int]]:
        """Returns the changed trials, the next trial number, and the ids of unfinished trials of other coordinators."""
        unfinished_elsewhere, next_number = self._unfinished_elsewhere[phase], self._next_numbers[phase]
        is_candidate = or_(TrialRow.number >= next_number, TrialRow.trial_id.in_(unfinished_elsewhere))
        query = select(TrialRow.trial_id, TrialRow.number, TrialRow.state).order_by(TrialRow.number)
        rows = session.execute(query.where(TrialRow.study_id == self._study_ids[phase], is_candidate)).all()
        others = [row for row in rows if row.trial_id not in self._own_ids]
        has_lock = self._exclusive_session is not None  # the others wait, so epochs of running trials are left out
        changed = [row for row in others if not has_lock or row.number >= next_number or row.state.is_finished()]
        epochs_of = [row.trial_id for row in changed if not has_lock or row.state.is_finished()]
        attributes = trial_attributes(session, [row.trial_id for row in changed], epochs_of=epochs_of)
        records = [decode_trial(row.number, attributes[row.trial_id]) for row in changed]
        unfinished = {row.trial_id for row in others if not row.state.is_finished()}
        return records, max([next_number, *(row.number + 1 for row in rows)]), unfinished

    def _locked_session(self) -> Session:
        """Returns a new session that holds the lock on the study's row."""
        session = Session(self._server.engine)
        try:
            session.execute(text(IDLE_TIMEOUT_STATEMENTS[self._server.engine.dialect.name]))
            study = models.StudyModel.study_id
            session.execute(select(study).where(study == self._study_ids[Phase.SEARCH]).with_for_update())
        except BaseException:
            session.close()
            raise
        return session

    def _add_trial(self, phase: str, frozen_trial: FrozenTrial, number: int) -> int:
        """Adds a trial in the session of ``exclusive`` and returns its storage id."""
        session = self._exclusive_session
        assert session is not None
        count = count_trials(session, self._study_ids[phase])
        assert number <= count, f"trial {number} is not the next, {count}"
        if number < count:
            raise concurrent_writer_error(self.header.name)
        row = trial_row(frozen_trial, study_id=self._study_ids[phase], number=number)
        session.add(row)
        session.flush()
        return int(row.trial_id)

    def _trial_id(self, trial: Trial) -> int:
        if trial.key in self._running_ids:
            return self._running_ids[trial.key]
        study_id = self._study_ids[trial.phase]
        return call_with_retry(lambda: self._server.get_trial_id_from_study_id_trial_number(study_id, trial.number))
