"""A study that several coordinators write at once, in a database server that each of them reaches.

What comes next is decided in turns: whoever holds the lock on the study's row, by which Optuna numbers trials too,
first hears what the others have begun, then decides, and records its decision with the lock. So no trial runs twice.
How a trial ends is recorded once, by whoever comes first: the coordinator that runs it, or one that takes it for dead.
The tables are Optuna's own; what its storage does a parameter at a time is done in one step here, with the lock.

Knows rows, not folders; called by the ledger.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import func, or_, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from search.records.record import StudyHeader, TrialRecord
from search.records.storage.heartbeat import LEASE_KEY_PREFIX, Heartbeat
from search.records.storage.journal import COMMIT_INTERVAL_SECONDS
from search.records.storage.optuna_codec import (
    OPTUNA_STATES,
    OUTCOME_KEY,
    REPORT_KEY_PREFIX,
    TRIAL_KEY,
    decode_trial_record,
    encode_running_trial,
    objective_values,
)
from search.records.storage.retry import call_with_retry, driver_message, is_outage
from search.records.storage.writer import Key, TransactionLostError, Writer, concurrent_writer_error
from search.trial import EpochReport, Outcome, Phase, Trial

COORDINATOR_KEY = LEASE_KEY_PREFIX.strip()
"""Attribute of a trial: the name of the coordinator that runs it."""
IDLE_TIMEOUT_STATEMENTS: Mapping[str, str] = {
    "postgresql": "SET LOCAL idle_in_transaction_session_timeout = '120s'",
    "mysql": "SET SESSION wait_timeout = 120",
    "mariadb": "SET SESSION wait_timeout = 120",
}
"""How each kind of server is told to end a turn whose coordinator has vanished with its machine."""
T = TypeVar("T")
Changes = tuple[list[TrialRecord], int, set[int]]
_Trial, _Attribute = models.TrialModel, models.TrialUserAttributeModel


class DatabaseWriter(Writer):
    """Writes beside other coordinators.

    Args:
        header: What the study is.
        storage: The database.
        studies: Its number for each phase.
    """

    def __init__(self, header: StudyHeader, storage: RDBStorage, studies: Mapping[Phase, int]) -> None:
        self._header, self._storage, self._studies = header, storage, studies
        self._exclusive_session: Session | None = None
        self._running_ids: dict[Key, int] = {}  # unfinished trials of this coordinator
        self._own_ids: set[int] = set()  # all of them
        self._reassigned_ids: set[int] = set()  # those that others took over
        self._pending: list[tuple[int, EpochReport]] = []
        self._committed = time.monotonic()
        with Session(storage.engine) as session:
            self._next_numbers = {phase: _count_trials(session, study) for phase, study in studies.items()}
            self._unfinished_elsewhere = {
                phase: _unfinished_trial_ids(session, study) for phase, study in studies.items()
            }
        self._heartbeat = Heartbeat(storage, studies[Phase.SEARCH])  # last: nobody ends the sign of a writer half made

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds off all other coordinators; a turn in a turn is the same one."""
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
            assert self._exclusive_session is not None
            study = self._studies[trial.phase]
            count = _count_trials(self._exclusive_session, study)
            assert trial.number <= count, f"trial {trial.number} is not the next, {count}"
            if trial.number < count:
                raise concurrent_writer_error(self._header.name)
            row = self._trial_row(trial)
            self._exclusive_session.add(row)
            self._exclusive_session.flush()
            storage_id = int(row.trial_id)
            self._running_ids[trial.key] = storage_id
            self._own_ids.add(storage_id)

    def has_begun(self, trial: Trial) -> bool:
        """Says whether what the turn recorded stands: it may, though the server did not live to say so."""
        storage_id = self._running_ids.get(trial.key)
        name = json.dumps(self._heartbeat.name)  # a server that crashed may have given the number to another's trial
        query = select(_Attribute).where(_Attribute.key == COORDINATOR_KEY, _Attribute.value_json == name)

        def is_recorded() -> bool:
            with Session(self._storage.engine) as session:
                return session.scalar(query.where(_Attribute.trial_id == storage_id)) is not None

        if storage_id is not None and call_with_retry(is_recorded):
            return True
        self._own_ids.discard(self._running_ids.pop(trial.key, -1))
        return False

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Keeps an epoch to be recorded with others, a few times a second."""
        storage_id = self._storage_id(trial)
        if storage_id in self._reassigned_ids:
            return False
        self._pending.append((storage_id, report))
        self.commit(False)
        return storage_id not in self._reassigned_ids

    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Records how a trial ended, unless that is recorded already."""
        storage_id = self._storage_id(trial)
        pending = [one for one in self._pending if one[0] == storage_id]

        def record_outcome() -> Outcome:
            with self._transaction() as session:
                row = session.get_one(_Trial, storage_id, with_for_update=True)
                if row.state.is_finished():
                    return Outcome.from_json(_trial_attributes(session, [storage_id])[storage_id][OUTCOME_KEY])
                _write_epochs(session, pending)
                session.add(_Attribute(trial_id=storage_id, key=OUTCOME_KEY, value_json=json.dumps(outcome.to_json())))
                for value in objective_values(outcome) or ():
                    kind = models.TrialValueModel.TrialValueType.FINITE
                    session.add(models.TrialValueModel(trial_id=storage_id, objective=0, value=value, value_type=kind))
                row.state, row.datetime_complete = OPTUNA_STATES[outcome.state], datetime.now()
            return outcome

        recorded = call_with_retry(record_outcome) if self._exclusive_session is None else record_outcome()
        self._pending = [one for one in self._pending if one[0] != storage_id]
        self._running_ids.pop(trial.key, None)
        self._reassigned_ids.discard(storage_id)
        return recorded

    def record_seconds(self, name: str, seconds: float) -> None:
        """Records a figure of the study as a whole: the largest that any coordinator gave."""

        def raise_total() -> None:
            known = self._storage.get_study_user_attrs(self._studies[Phase.SEARCH]).get(name, 0.0)
            if seconds > known:
                self._storage.set_study_user_attr(self._studies[Phase.SEARCH], name, seconds)

        call_with_retry(raise_total)

    def commit(self, force: bool) -> None:
        """Records the epochs that have waited; those of trials that others took over are no longer wanted."""
        if self._pending and (force or time.monotonic() - self._committed >= COMMIT_INTERVAL_SECONDS):
            call_with_retry(self._write_pending)

    def close(self) -> None:
        """Leaves the study to the others; unfinished trials of this coordinator are then theirs.

        Whether the server can be reached does not matter any more.
        """
        with suppress(SQLAlchemyError):
            self._write_pending()
        self._heartbeat.close()

    def changes(self, phase: Phase) -> Sequence[TrialRecord]:
        """Returns what the others did; in a turn it is complete, else it may be late by a moment."""

        def find_changes() -> Changes:
            with Session(self._storage.engine) as session:
                return self._find_changes(session, phase)

        records, self._next_numbers[phase], self._unfinished_elsewhere[phase] = (
            call_with_retry(find_changes)
            if self._exclusive_session is None
            else self._find_changes(self._exclusive_session, phase)
        )  # noted only here: a server may go away while the session is closed, and is then asked again
        return records

    def read(self, operation: Callable[[], T]) -> T:
        """Returns what a reading returns, when the server answers."""
        return call_with_retry(operation)

    def orphans(self) -> Collection[Key]:
        """Returns the unfinished trials of coordinators that are dead or have left, and buries those without any."""
        return call_with_retry(self._find_orphans)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        """Yields the turn's session in a turn, which alone sees what was begun in it; else one of its own."""
        if self._exclusive_session is not None:
            yield self._exclusive_session
            return
        with Session(self._storage.engine) as session, session.begin():
            yield session

    def _write_pending(self) -> None:
        with Session(self._storage.engine) as session, session.begin():
            reassigned = _write_epochs(session, self._pending)
        self._reassigned_ids |= reassigned
        self._pending, self._committed = [], time.monotonic()

    def _find_orphans(self) -> Collection[Key]:
        phases = {study: phase for phase, study in self._studies.items()}
        query = (
            select(_Trial.study_id, _Trial.number, _Attribute.value_json)
            .join(_Attribute, (_Attribute.trial_id == _Trial.trial_id) & (_Attribute.key == COORDINATOR_KEY))
            .where(_Trial.study_id.in_(phases), _Trial.state == TrialState.RUNNING)
        )
        with Session(self._storage.engine) as session:
            running = [(phases[study], number, json.loads(name)) for study, number, name in session.execute(query)]
        alive_by_name = (
            self._heartbeat.alive_by_name()
        )  # after the trials: whoever began one in between has given a sign before
        for name, is_alive in alive_by_name.items():
            if not is_alive and name not in {one for *_, one in running}:
                self._heartbeat.remove(name)
        return {(phase, number) for phase, number, name in running if not alive_by_name.get(name, False)}

    def _find_changes(self, session: Session, phase: Phase) -> Changes:
        """Returns what is new, the number of the trial that comes next, and which of the others' run; notes nothing."""
        unfinished_elsewhere, next_number = self._unfinished_elsewhere[phase], self._next_numbers[phase]
        is_new = or_(_Trial.number >= next_number, _Trial.trial_id.in_(unfinished_elsewhere))
        query = select(_Trial.trial_id, _Trial.number, _Trial.state).order_by(_Trial.number)
        rows = session.execute(query.where(_Trial.study_id == self._studies[phase], is_new)).all()
        others = [row for row in rows if row.trial_id not in self._own_ids]
        # In a turn, while everybody waits, epochs are not asked for.
        changed = [
            row
            for row in others
            if self._exclusive_session is None or row.number >= next_number or row.state.is_finished()
        ]
        attributes = _trial_attributes(
            session, [row.trial_id for row in changed], epochs=self._exclusive_session is None
        )
        records = [decode_trial_record(row.number, attributes[row.trial_id]) for row in changed]
        unfinished = {row.trial_id for row in others if not row.state.is_finished()}
        return records, max([next_number, *(row.number + 1 for row in rows)]), unfinished

    def _locked_session(self) -> Session:
        """Returns a session that holds the lock on the study, and has seen nothing before."""
        session = Session(self._storage.engine)
        try:
            session.execute(text(IDLE_TIMEOUT_STATEMENTS[self._storage.engine.dialect.name]))
            study = models.StudyModel.study_id
            session.execute(select(study).where(study == self._studies[Phase.SEARCH]).with_for_update())
        except BaseException:
            session.close()
            raise
        return session

    def _trial_row(self, trial: Trial) -> models.TrialModel:
        frozen_trial = encode_running_trial(self._header, trial)
        params = [
            models.TrialParamModel(
                param_name=name,
                param_value=frozen_trial.distributions[name].to_internal_repr(value),
                distribution_json=distribution_to_json(frozen_trial.distributions[name]),
            )
            for name, value in frozen_trial.params.items()
        ]
        user_attributes = {**frozen_trial.user_attrs, COORDINATOR_KEY: self._heartbeat.name}
        attributes = [_Attribute(key=name, value_json=json.dumps(value)) for name, value in user_attributes.items()]
        return _Trial(
            study_id=self._studies[trial.phase],
            number=trial.number,
            state=TrialState.RUNNING,
            datetime_start=datetime.now(),
            params=params,
            user_attributes=attributes,
        )

    def _storage_id(self, trial: Trial) -> int:
        if trial.key in self._running_ids:
            return self._running_ids[trial.key]
        study = self._studies[trial.phase]
        return call_with_retry(lambda: self._storage.get_trial_id_from_study_id_trial_number(study, trial.number))


def insert_attribute_once(storage: RDBStorage, study: int, name: str, value: object) -> None:
    """Writes an attribute of a study, unless it has it: of several that do so at once, one does."""
    attribute = models.StudyUserAttributeModel(study_id=study, key=name, value_json=json.dumps(value))
    with suppress(IntegrityError), Session(storage.engine) as session, session.begin():
        session.add(attribute)


def _write_epochs(session: Session, epochs: Sequence[tuple[int, EpochReport]]) -> set[int]:
    """Records epochs, each once; returns the trials that have ended meanwhile, whose are left out."""
    trials = {storage_id for storage_id, _ in epochs}
    query = select(_Trial.trial_id).where(_Trial.trial_id.in_(trials), _Trial.state == TrialState.RUNNING)
    unfinished = set(session.scalars(query))
    attributes = _trial_attributes(session, unfinished, epochs=True)
    model = models.TrialIntermediateValueModel
    for storage_id, report in epochs:
        name, error = f"{REPORT_KEY_PREFIX}{report.epoch}", report.error_percent
        if storage_id not in unfinished or name in attributes[storage_id]:
            continue
        session.add(_Attribute(trial_id=storage_id, key=name, value_json=json.dumps(report.to_json())))
        if error is not None:
            value, kind = model.intermediate_value_to_stored_repr(error)
            values = {"intermediate_value": value, "intermediate_value_type": kind}
            session.add(model(trial_id=storage_id, step=report.epoch, **values))
    return trials - unfinished


def _count_trials(session: Session, study: int) -> int:
    return session.scalar(select(func.count()).where(_Trial.study_id == study)) or 0


def _unfinished_trial_ids(session: Session, study: int) -> set[int]:
    query = select(_Trial.trial_id).where(_Trial.study_id == study, _Trial.state == TrialState.RUNNING)
    return set(session.scalars(query))


def _trial_attributes(session: Session, trials: Collection[int], *, epochs: bool = False) -> dict[int, dict[str, Any]]:
    """Returns what is known of trials by their numbers in the storage, with or without the epochs they reported."""
    is_document = _Attribute.key.in_((TRIAL_KEY, OUTCOME_KEY))
    query = select(_Attribute.trial_id, _Attribute.key, _Attribute.value_json)
    query = query.where(
        _Attribute.trial_id.in_(trials),
        or_(is_document, _Attribute.key.startswith(REPORT_KEY_PREFIX)) if epochs else is_document,
    )
    attributes: dict[int, dict[str, Any]] = {storage_id: {} for storage_id in trials}
    for storage_id, name, value in session.execute(query) if trials else ():
        attributes[storage_id][name] = json.loads(value)
    return attributes
