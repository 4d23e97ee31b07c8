"""A study that several coordinators write at once, in a database server that each of them reaches.

What comes next is decided in turns: whoever holds the lock on the study's row, by which Optuna numbers trials too,
first hears what the others have begun, then decides, and records its decision with the lock. So no trial runs twice.
How a trial ends is recorded once, by whoever comes first: the coordinator that runs it, or one that takes it for dead.
The tables are Optuna's own; what its storage does a parameter at a time is done in one step here, with the lock.

Knows rows, not folders; called by the ledger.
"""

from __future__ import annotations

import dataclasses
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

from search.records.journal import COMMIT_SECONDS
from search.records.patience import is_outage, patiently, why
from search.records.presence import PREFIX, Presence
from search.records.record import StudyHeader, TrialRecord
from search.records.stored import OUTCOME, REPORT, STATES, TRIAL, running, trial_record, values
from search.records.writing import Key, TurnLostError, Writer, another
from search.trial import EpochReport, Outcome, Phase, Trial

COORDINATOR = PREFIX.strip()
"""Attribute of a trial: the name of the coordinator that runs it."""
IDLE: Mapping[str, str] = {
    "postgresql": "SET LOCAL idle_in_transaction_session_timeout = '120s'",
    "mysql": "SET SESSION wait_timeout = 120",
    "mariadb": "SET SESSION wait_timeout = 120",
}
"""How each kind of server is told to end a turn whose coordinator has vanished with its machine."""
T = TypeVar("T")
News = tuple[list[TrialRecord], int, set[int]]
_Trial, _Attribute = models.TrialModel, models.TrialUserAttributeModel


class SharedWriter(Writer):
    """Writes beside other coordinators.

    Args:
        header: What the study is.
        storage: The database.
        studies: Its number for each phase.
    """

    def __init__(self, header: StudyHeader, storage: RDBStorage, studies: Mapping[Phase, int]) -> None:
        self._header, self._storage, self._studies = header, storage, studies
        self._turn: Session | None = None
        self._own: dict[Key, int] = {}  # unfinished trials of this coordinator
        self._mine: set[int] = set()  # all of them
        self._lost: set[int] = set()  # those that others took over
        self._pending: list[tuple[int, EpochReport]] = []
        self._committed = time.monotonic()
        with Session(storage.engine) as session:
            self._next = {phase: _count(session, study) for phase, study in studies.items()}
            self._elsewhere = {phase: _unfinished(session, study) for phase, study in studies.items()}
        self._presence = Presence(storage, studies[Phase.SEARCH])  # last: nobody ends the sign of a writer half made

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Holds off all other coordinators; a turn in a turn is the same one."""
        if self._turn is not None:
            yield
            return
        self._turn = patiently(self._locked)
        try:
            yield
            self._turn.commit()
        except DBAPIError as error:
            if not is_outage(error):
                raise
            raise TurnLostError(f"The database was cut off in the middle of a decision ({why(error)}).") from None
        finally:
            session, self._turn = self._turn, None
            session.close()

    def begin(self, trial: Trial) -> None:
        """Records that a trial starts, under this coordinator's name."""
        with self.turn():
            assert self._turn is not None
            study = self._studies[trial.phase]
            count = _count(self._turn, study)
            assert trial.number <= count, f"trial {trial.number} is not the next, {count}"
            if trial.number < count:
                raise another(self._header.name)
            begun = self._row(trial)
            self._turn.add(begun)
            self._turn.flush()
            storage_id = int(begun.trial_id)
            self._own[trial.key] = storage_id
            self._mine.add(storage_id)

    def has_begun(self, trial: Trial) -> bool:
        """Says whether what the turn recorded stands: it may, though the server did not live to say so."""
        storage_id = self._own.get(trial.key)
        name = json.dumps(self._presence.name)  # a server that crashed may have given the number to another's trial
        query = select(_Attribute).where(_Attribute.key == COORDINATOR, _Attribute.value_json == name)

        def ask() -> bool:
            with Session(self._storage.engine) as session:
                return session.scalar(query.where(_Attribute.trial_id == storage_id)) is not None

        if storage_id is not None and patiently(ask):
            return True
        self._mine.discard(self._own.pop(trial.key, -1))
        return False

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Keeps an epoch to be recorded with others, a few times a second."""
        storage_id = self._id(trial)
        if storage_id in self._lost:
            return False
        self._pending.append((storage_id, report))
        self.commit(False)
        return storage_id not in self._lost

    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Records how a trial ended, unless that is recorded already."""
        storage_id = self._id(trial)
        pending = [one for one in self._pending if one[0] == storage_id]

        def end() -> Outcome:
            with self._transaction() as session:
                row = session.get_one(_Trial, storage_id, with_for_update=True)
                if row.state.is_finished():
                    return Outcome.from_json(_attributes(session, [storage_id])[storage_id][OUTCOME])
                _write_epochs(session, pending)
                session.add(_Attribute(trial_id=storage_id, key=OUTCOME, value_json=json.dumps(outcome.to_json())))
                for value in values(outcome) or ():
                    kind = models.TrialValueModel.TrialValueType.FINITE
                    session.add(models.TrialValueModel(trial_id=storage_id, objective=0, value=value, value_type=kind))
                row.state, row.datetime_complete = STATES[outcome.state], datetime.now()
            return outcome

        recorded = patiently(end) if self._turn is None else end()
        self._pending = [one for one in self._pending if one[0] != storage_id]
        self._own.pop(trial.key, None)
        self._lost.discard(storage_id)
        return recorded

    def account(self, name: str, seconds: float) -> None:
        """Records a figure of the study as a whole: the largest that any coordinator gave."""

        def raise_it() -> None:
            known = self._storage.get_study_user_attrs(self._studies[Phase.SEARCH]).get(name, 0.0)
            if seconds > known:
                self._storage.set_study_user_attr(self._studies[Phase.SEARCH], name, seconds)

        patiently(raise_it)

    def commit(self, at_once: bool) -> None:
        """Records the epochs that have waited; those of trials that others took over are no longer wanted."""
        if self._pending and (at_once or time.monotonic() - self._committed >= COMMIT_SECONDS):
            patiently(self._write)

    def close(self) -> None:
        """Leaves the study to the others; unfinished trials of this coordinator are then theirs.

        Whether the server can be reached does not matter any more.
        """
        with suppress(SQLAlchemyError):
            self._write()
        self._presence.close()

    def news(self, phase: Phase) -> Sequence[TrialRecord]:
        """Returns what the others did; in a turn it is complete, else it may be late by a moment."""

        def ask() -> News:
            with Session(self._storage.engine) as session:
                return self._news(session, phase)

        found, self._next[phase], self._elsewhere[phase] = (
            patiently(ask) if self._turn is None else self._news(self._turn, phase)
        )  # noted only here: a server may go away while the session is closed, and is then asked again
        return found

    def ask(self, question: Callable[[], T]) -> T:
        """Returns what a reading returns, when the server answers."""
        return patiently(question)

    def orphans(self) -> Collection[Key]:
        """Returns the unfinished trials of coordinators that are dead or have left, and buries those without any."""
        return patiently(self._orphans)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        """Yields the turn's session in a turn, which alone sees what was begun in it; else one of its own."""
        if self._turn is not None:
            yield self._turn
            return
        with Session(self._storage.engine) as session, session.begin():
            yield session

    def _write(self) -> None:
        with Session(self._storage.engine) as session, session.begin():
            lost = _write_epochs(session, self._pending)
        self._lost |= lost
        self._pending, self._committed = [], time.monotonic()

    def _orphans(self) -> Collection[Key]:
        phases = {study: phase for phase, study in self._studies.items()}
        query = (
            select(_Trial.study_id, _Trial.number, _Attribute.value_json)
            .join(_Attribute, (_Attribute.trial_id == _Trial.trial_id) & (_Attribute.key == COORDINATOR))
            .where(_Trial.study_id.in_(phases), _Trial.state == TrialState.RUNNING)
        )
        with Session(self._storage.engine) as session:
            found = [(phases[study], number, json.loads(name)) for study, number, name in session.execute(query)]
        living = self._presence.living()  # after the trials: whoever began one in between has given a sign before
        for name, is_alive in living.items():
            if not is_alive and name not in {one for *_, one in found}:
                self._presence.bury(name)
        return {(phase, number) for phase, number, name in found if not living.get(name, False)}

    def _news(self, session: Session, phase: Phase) -> News:
        """Returns what is new, the number of the trial that comes next, and which of the others' run; notes nothing."""
        elsewhere, following = self._elsewhere[phase], self._next[phase]
        is_new = or_(_Trial.number >= following, _Trial.trial_id.in_(elsewhere))
        query = select(_Trial.trial_id, _Trial.number, _Trial.state).order_by(_Trial.number)
        rows = session.execute(query.where(_Trial.study_id == self._studies[phase], is_new)).all()
        others = [row for row in rows if row.trial_id not in self._mine]
        # In a turn, while everybody waits, epochs are not asked for.
        changed = [row for row in others if self._turn is None or row.number >= following or row.state.is_finished()]
        found = _attributes(session, [row.trial_id for row in changed], epochs=self._turn is None)
        records = [trial_record(row.number, found[row.trial_id]) for row in changed]
        unfinished = {row.trial_id for row in others if not row.state.is_finished()}
        return records, max([following, *(row.number + 1 for row in rows)]), unfinished

    def _locked(self) -> Session:
        """Returns a session that holds the lock on the study, and has seen nothing before."""
        session = Session(self._storage.engine)
        try:
            session.execute(text(IDLE[self._storage.engine.dialect.name]))
            study = models.StudyModel.study_id
            session.execute(select(study).where(study == self._studies[Phase.SEARCH]).with_for_update())
        except BaseException:
            session.close()
            raise
        return session

    def _row(self, trial: Trial) -> models.TrialModel:
        begun = running(self._header, trial)
        params = [
            models.TrialParamModel(
                param_name=name,
                param_value=begun.distributions[name].to_internal_repr(value),
                distribution_json=distribution_to_json(begun.distributions[name]),
            )
            for name, value in begun.params.items()
        ]
        known = {**begun.user_attrs, COORDINATOR: self._presence.name}
        attributes = [_Attribute(key=name, value_json=json.dumps(value)) for name, value in known.items()]
        return _Trial(
            study_id=self._studies[trial.phase],
            number=trial.number,
            state=TrialState.RUNNING,
            datetime_start=datetime.now(),
            params=params,
            user_attributes=attributes,
        )

    def _id(self, trial: Trial) -> int:
        if trial.key in self._own:
            return self._own[trial.key]
        study = self._studies[trial.phase]
        return patiently(lambda: self._storage.get_trial_id_from_study_id_trial_number(study, trial.number))


def put_once(storage: RDBStorage, study: int, name: str, value: object) -> None:
    """Writes an attribute of a study, unless it has it: of several that do so at once, one does."""
    attribute = models.StudyUserAttributeModel(study_id=study, key=name, value_json=json.dumps(value))
    with suppress(IntegrityError), Session(storage.engine) as session, session.begin():
        session.add(attribute)


def _write_epochs(session: Session, epochs: Sequence[tuple[int, EpochReport]]) -> set[int]:
    """Records epochs, each once; returns the trials that have ended meanwhile, whose are left out."""
    trials = {storage_id for storage_id, _ in epochs}
    query = select(_Trial.trial_id).where(_Trial.trial_id.in_(trials), _Trial.state == TrialState.RUNNING)
    unfinished = set(session.scalars(query))
    known = _attributes(session, unfinished, epochs=True)
    epoch = models.TrialIntermediateValueModel
    for storage_id, report in epochs:
        name, error = f"{REPORT}{report.epoch}", report.error_percent
        if storage_id not in unfinished or name in known[storage_id]:
            continue
        session.add(_Attribute(trial_id=storage_id, key=name, value_json=json.dumps(dataclasses.asdict(report))))
        if error is not None:
            value, kind = epoch.intermediate_value_to_stored_repr(error)
            values = {"intermediate_value": value, "intermediate_value_type": kind}
            session.add(epoch(trial_id=storage_id, step=report.epoch, **values))
    return trials - unfinished


def _count(session: Session, study: int) -> int:
    return session.scalar(select(func.count()).where(_Trial.study_id == study)) or 0


def _unfinished(session: Session, study: int) -> set[int]:
    query = select(_Trial.trial_id).where(_Trial.study_id == study, _Trial.state == TrialState.RUNNING)
    return set(session.scalars(query))


def _attributes(session: Session, trials: Collection[int], *, epochs: bool = False) -> dict[int, dict[str, Any]]:
    """Returns what is known of trials by their numbers in the storage, with or without the epochs they reported."""
    wanted = _Attribute.key.in_((TRIAL, OUTCOME))
    query = select(_Attribute.trial_id, _Attribute.key, _Attribute.value_json)
    query = query.where(
        _Attribute.trial_id.in_(trials), or_(wanted, _Attribute.key.startswith(REPORT)) if epochs else wanted
    )
    found: dict[int, dict[str, Any]] = {storage_id: {} for storage_id in trials}
    for storage_id, name, value in session.execute(query) if trials else ():
        found[storage_id][name] = json.loads(value)
    return found
