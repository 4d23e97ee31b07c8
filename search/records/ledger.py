"""The ledger: the one record of what happened, on Optuna's storage.

A journal file in the study's folder by default, any Optuna storage URL otherwise. One Optuna study a phase holds the
trials, so that Optuna's own tools can read them; what Optuna has no field for is kept as JSON attributes. One process
writes, guarded by a lock; any number may read at any time.

Layout of a study's folder::

    ledger.journal   the record (absent with a storage URL); .damaged-N beside it: ends of it that could not be read
    lock             held while a coordinator runs
    coordinator.json which process that is
    logs/            output of worker processes
    checkpoints/     states of unfinished trials
    predictions/     what models said of the images they were scored on; see ``search.records.predictions``
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.errors import FatalError, UserError, unknown_name
from search.records import coordinator, journal
from search.records.distributions import distributions
from search.records.record import StudyHeader, StudyRecord, TrialRecord, differing, flat
from search.records.storage import Commit, Place, lock_folder, open_storage, read_storage
from search.trial import EpochReport, Outcome, Phase, State, Trial

SCHEMA = 4
"""Version of the attributes; a ledger of a newer one is refused. 2: trials that pause and go on. 3: rungs. 4: ensembles
and predicted classes."""
HEADER, SCHEMA_KEY, SPENT, EXHAUSTED = "header", "schema", "spent_seconds", "exhausted_seconds"
COORDINATOR = "coordinator"
BEAT_SECONDS = 60.0
"""How long a process that runs a study in a database may not be heard of before another may take it; it beats every
five seconds, by its own clock."""
TRIAL, OUTCOME, REPORT = "trial", "outcome", "report "
_LOG = logging.getLogger(__name__)
_STATES: Mapping[State, TrialState] = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PAUSED: TrialState.PRUNED,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.INTERRUPTED: TrialState.FAIL,
}


class NotBegunError(UserError):
    """A study's first session has not written what it is: it is only starting, or died before."""


class Ledger:
    """Writes one study. Use ``Ledger.open`` in a ``with`` statement.

    Args:
        place: Where studies are kept.
        header: What the study is.
        storage: Optuna's storage, and what has the disk take what was written to it.
        lock: Held until the ledger is closed.
    """

    def __init__(self, place: Place, header: StudyHeader, storage: tuple[BaseStorage, Commit], lock: FileLock) -> None:
        self.folder, self.header = place.folder(header.name), header
        (self._storage, self._commit), self._lock = storage, lock
        self._studies = {phase: _study(self._storage, header, phase) for phase in Phase}
        self._is_shared = place.storage is not None
        if self._is_shared:
            self._claim()
        self._begun = {phase: len(study.get_trials(deepcopy=False)) for phase, study in self._studies.items()}
        self._commit(True)

    @classmethod
    def open(cls, place: Place, header: StudyHeader) -> Ledger:
        """Opens a study for writing, and makes it if it is new.

        Raises:
            UserError: The study exists as another study, is being written by another process, or cannot be reached.
            FatalError: Its journal is damaged in the middle.
            OSError: Its journal cannot be written, for want of room, say.
        """
        known = _recorded_header(place, header.name)
        header = header if known is None else _same(known, header)
        lock = lock_folder(place.folder(header.name))
        try:
            coordinator.sign(place.folder(header.name))
            if place.storage is None and (note := journal.mend(place.journal(header.name))):
                _LOG.warning(note)
            return cls(place, header, open_storage(place, header.name), lock)
        except BaseException:
            coordinator.withdraw(place.folder(header.name))
            lock.release()
            raise

    @classmethod
    def in_memory(cls, place: Place, header: StudyHeader) -> Ledger:
        """Returns a ledger that is gone with the process, for studies of simulated trials.

        Args:
            place: Where trials would leave their checkpoints; the ledger itself writes nothing there.
            header: What the study is.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # Nobody else can reach the record, so the lock is never taken.
        return cls(
            place, header, (InMemoryStorage(), lambda at_once: None), FileLock(place.folder(header.name) / "lock")
        )

    def __enter__(self) -> Ledger:
        """Returns the ledger."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Has the disk take everything, and lets other processes write."""
        try:
            with contextlib.suppress(*(() if kind is None else (OSError, FatalError))):  # the first error is the cause
                if self._is_shared:
                    self._studies[Phase.SEARCH].set_user_attr(COORDINATOR, None)
                self._commit(True)
        finally:
            if self._lock.is_locked:
                coordinator.withdraw(self.folder)
            self._lock.release()

    def begin(self, trial: Trial) -> None:
        """Records that a trial starts; its number must be the next of its phase."""
        study, expected = self._studies[trial.phase], self._begun[trial.phase]
        assert trial.number == expected, f"trial {trial.number} is not the next, {expected}"
        searched = trial.phase is Phase.SEARCH
        begun = create_trial(
            state=TrialState.RUNNING,
            params=dict(trial.config) if searched else {},
            distributions=dict(distributions(self.header.space, trial.config)) if searched else {},
            user_attrs={TRIAL: dataclasses.asdict(trial)},
        )
        storage_id = self._storage.create_new_trial(study._study_id, template_trial=begun)
        if self._storage.get_trial_number_from_id(storage_id) != trial.number:
            raise _another(self.header.name)
        self._begun[trial.phase] += 1

    def report(self, trial: Trial, report: EpochReport) -> None:
        """Records an epoch."""
        storage_id = self._storage_id(trial)
        self._storage.set_trial_user_attr(storage_id, f"{REPORT}{report.epoch}", dataclasses.asdict(report))
        if report.error_percent is not None:
            self._storage.set_trial_intermediate_value(storage_id, report.epoch, report.error_percent)

    def finish(self, trial: Trial, outcome: Outcome) -> None:
        """Records how a trial ended, so that it is known whatever happens next."""
        self._storage.set_trial_user_attr(self._storage_id(trial), OUTCOME, outcome.to_json())
        value = outcome.error_percent if outcome.state is State.COMPLETE else None
        self._studies[trial.phase].tell(trial.number, value, _STATES[outcome.state], skip_if_finished=True)
        self._commit(True)

    def keep_up(self) -> None:
        """Has the disk take what has waited for a moment; to be called now and then."""
        self._commit(False)

    def spend(self, seconds: float) -> None:
        """Records the wall-clock seconds of all sessions together."""
        self._studies[Phase.SEARCH].set_user_attr(SPENT, round(seconds, 3))
        if self._is_shared:
            self._beat()

    def exhaust(self, seconds: float) -> None:
        """Records that a time budget of so many seconds was used as far as it goes, verification included."""
        self._studies[Phase.SEARCH].set_user_attr(EXHAUSTED, seconds)

    def read(self) -> StudyRecord:
        """Returns the study as recorded so far."""
        return _record(self.header, self._storage)

    def _claim(self) -> None:
        """Takes a study in a database for this process; its folder's lock keeps off those of this machine alone.

        Raises:
            UserError: Another process has it, and was heard of lately.
        """
        sign = self._studies[Phase.SEARCH].user_attrs.get(COORDINATOR)
        if sign is not None:
            found, beat = coordinator.Coordinator(**sign["process"]), sign["beat"]
            if abs(time.time() - beat) < BEAT_SECONDS and (not found.is_near or coordinator.lives(found)):
                raise UserError(
                    f"Study {self.header.name!r} is being run by another process. "
                    f"Received: process {found.pid} on {found.host}, since {found.since}.",
                    hint=f"Wait for it to end, or for {BEAT_SECONDS:.0f} s if it was killed; or name another --study.",
                )
        self._beat()

    def _beat(self) -> None:
        sign = {"process": dataclasses.asdict(coordinator.myself()), "beat": time.time()}
        self._studies[Phase.SEARCH].set_user_attr(COORDINATOR, sign)

    def _storage_id(self, trial: Trial) -> int:
        study = self._studies[trial.phase]
        return self._storage.get_trial_id_from_study_id_trial_number(study._study_id, trial.number)


def _another(name: str) -> FatalError:
    return FatalError(
        f"Another process adds trials to study {name!r}.",
        hint="Let one process alone run a study; run the same command again when the other has ended.",
    )


def read(place: Place, name: str) -> StudyRecord:
    """Reads one study, as far as its ledger is sound; disturbs nobody who writes it.

    Raises:
        UserError: No such study, or its ledger is of a newer version or cannot be read.
        NotBegunError: It has no header yet.
        FatalError: Its journal is damaged in the middle.
    """
    record, _ = _read(place, name)
    if record is None:
        raise _not_begun(name)
    return record


def _read(place: Place, name: str) -> tuple[StudyRecord | None, str]:
    """Returns a study, None where its first session died before it began, and what is to be told of damage."""
    if name not in (known := place.names()):
        if known:
            raise unknown_name("study", name, known)
        raise UserError(f"Unknown study. Received: {name!r}; there is none in {place.studies_dir}.")
    reading = read_storage(place, name)
    header = _header(reading.storage, name if place.storage is not None else _own_name(reading.storage, name))
    return None if header is None else _record(header, reading.storage), reading.note


def _own_name(storage: BaseStorage, folder: str) -> str:
    """Returns the name of the one study in a journal: another than its folder's where that was copied or renamed."""
    ending = f"/{Phase.SEARCH.value}"
    names = [study.study_name for study in storage.get_all_studies() if study.study_name.endswith(ending)]
    return names[0].removesuffix(ending) if len(names) == 1 else folder


def _not_begun(name: str) -> NotBegunError:
    return NotBegunError(f"Study {name!r} was stopped before it began.", hint="Run its command again.")


def recorded(place: Place, header: StudyHeader) -> StudyRecord | None:
    """Returns what is recorded of a study, or None where nothing is.

    Raises:
        UserError: A study of this name is another one.
    """
    known = _recorded_header(place, header.name)
    return None if known is None else _record(_same(known, header), read_storage(place, header.name).storage)


def read_studies(names: Sequence[str], *, studies_dir: Path, storage: str | None = None) -> list[StudyRecord]:
    """Reads the named studies, or all that have begun where none is named; what damage hides is told.

    Raises:
        UserError: As ``read``.
        FatalError: As ``read``.
    """
    place = Place(studies_dir=studies_dir, storage=storage)
    found = {name: _read(place, name) for name in names or place.names()}
    for name, (record, note) in found.items():
        if note:
            _LOG.warning(note)
        if record is None and names:
            raise _not_begun(name)
    return [record for record, _ in found.values() if record is not None]


def _recorded_header(place: Place, name: str) -> StudyHeader | None:
    """Returns a study's header; None where there is no such study, or its first session died before writing it."""
    return _header(read_storage(place, name).storage, name) if name in place.names() else None


def _header(storage: BaseStorage, name: str) -> StudyHeader | None:
    attributes = _attributes(storage, name, Phase.SEARCH)
    if attributes.get(SCHEMA_KEY, 0) > SCHEMA:
        raise UserError(
            f"The ledger of study {name!r} was written by a newer version. "
            f"Expected: schema {SCHEMA} at most. Received: {attributes[SCHEMA_KEY]}.",
            hint="Update this package.",
        )
    return StudyHeader.from_json(attributes[HEADER]) if HEADER in attributes else None


def _study(storage: BaseStorage, header: StudyHeader, phase: Phase) -> optuna.Study:
    study = optuna.create_study(
        storage=storage,
        study_name=f"{header.name}/{phase.value}",
        direction="minimize",
        load_if_exists=True,
    )
    if phase is Phase.SEARCH and study.user_attrs.get(SCHEMA_KEY, 0) < SCHEMA:
        study.set_user_attr(SCHEMA_KEY, SCHEMA)
    if phase is Phase.SEARCH and HEADER not in study.user_attrs:
        study.set_user_attr(HEADER, header.to_json())
    return study


def _attributes(storage: BaseStorage, name: str, phase: Phase) -> dict[str, Any]:
    try:
        study_id = storage.get_study_id_from_name(f"{name}/{phase.value}")
    except KeyError:
        return {}
    return storage.get_study_user_attrs(study_id)


def _record(header: StudyHeader, storage: BaseStorage) -> StudyRecord:
    trials: list[TrialRecord] = []
    for phase in Phase:
        try:
            study_id = storage.get_study_id_from_name(f"{header.name}/{phase.value}")
        except KeyError:
            continue
        trials += [_trial_record(trial) for trial in storage.get_all_trials(study_id, deepcopy=False)]
    account = _attributes(storage, header.name, Phase.SEARCH)
    return StudyRecord(
        header=header,
        trials=tuple(trials),
        spent_seconds=account.get(SPENT, 0.0),
        exhausted_seconds=account.get(EXHAUSTED, 0.0),
    )


def _trial_record(frozen: FrozenTrial) -> TrialRecord:
    outcome, started = frozen.user_attrs.get(OUTCOME), frozen.datetime_start
    try:
        fields = dict(frozen.user_attrs[TRIAL])
        return TrialRecord(
            trial=Trial(**{**fields, "phase": Phase(fields["phase"]), "rungs": tuple(fields.get("rungs", ()))}),
            outcome=Outcome.from_json(outcome) if outcome else None,
            started=started.astimezone(UTC).isoformat(timespec="seconds") if started else "",
            reports=() if outcome else _reports(frozen),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FatalError(
            f"The ledger holds a trial that this version cannot read: number {frozen.number} of its phase "
            f"({type(error).__name__}: {error}).",
            hint="Read it with the version that wrote it, or start another study with --study NAME.",
        ) from error


def _reports(frozen: FrozenTrial) -> tuple[EpochReport, ...]:
    known = [EpochReport(**value) for name, value in frozen.user_attrs.items() if name.startswith(REPORT)]
    return tuple(sorted(known, key=lambda report: report.epoch))


def _same(recorded: StudyHeader, wanted: StudyHeader) -> StudyHeader:
    """Returns the recorded header if the wanted one means the same study.

    Raises:
        UserError: It does not; the message names each difference.
    """
    if found := differing(_identity(recorded), _identity(wanted)):
        raise UserError(
            f"Study {recorded.name!r} exists and is another one. It differs in {_some(found)}.",
            hint="Give this one a name of its own with --study NAME, or repeat the recorded options.",
        )
    return recorded


def _identity(header: StudyHeader) -> dict[str, Any]:
    """Returns what makes a study this one, by dotted names; its name, time, versions, command and words do not."""
    document = header.to_json()
    parts = ("space", "space_source", "protocol", "engine", "sampler", "pruner", "seed")
    named = flat({part: document[part] for part in parts})
    return {name: value for name, value in named.items() if name.rpartition(".")[2] not in ("doc", "unit", "source")}


def _some(texts: Sequence[str], most: int = 4) -> str:
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def now() -> str:
    """Returns the present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
