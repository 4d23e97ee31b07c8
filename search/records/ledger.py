"""The ledger: the one record of what happened, on Optuna's storage.

A journal file in the study's folder by default, any Optuna storage URL otherwise. One Optuna study a phase holds the
trials, so that Optuna's own tools can read them; what Optuna has no field for is kept as JSON attributes. One process
writes, guarded by a lock; on a database server any number may, by turns. Any number may read at any time.

Layout of a study's folder::

    ledger.journal   the record (absent with a storage URL); .damaged-N beside it: ends of it that could not be read
    lock             held while a coordinator runs (absent on a database server)
    coordinator.json which process that is (absent on a database server, which knows it)
    logs/            output of worker processes; on a database server a folder for each coordinator
    checkpoints/     states of unfinished trials
    predictions/     what models said of the images they were scored on; see ``search.training.predictions``
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, get_storage

from search.errors import FatalError, UserError, unknown_name
from search.records.record import StudyHeader, StudyRecord, TrialRecord, describe_differences, flatten
from search.records.storage import journal, process_identity
from search.records.storage.locations import (
    StudyLocation,
    lock_study,
    make_folder,
    open_server,
    open_storage,
    read_storage,
)
from search.records.storage.optuna_codec import OUTCOME_KEY, TRIAL_KEY, decode_trial_record
from search.records.storage.writer import FileWriter, TransactionLostError, Writer
from search.trial import EpochReport, Outcome, Phase, Trial

__all__ = [
    "HEADER_KEY",
    "OUTCOME_KEY",
    "SPENT_KEY",
    "TRIAL_KEY",
    "Ledger",
    "StudyNotStartedError",
    "read_recorded_study",
    "read_studies",
    "read_study",
    "utc_now",
]

LEDGER_SCHEMA = 4
"""Version of the attributes; a ledger of a newer one is refused. 2: trials that pause and go on. 3: rungs. 4: ensembles
and predicted classes."""
HEADER_KEY, SCHEMA_KEY, SPENT_KEY, EXHAUSTED_KEY = "header", "schema", "spent_seconds", "exhausted_seconds"
T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class StudyNotStartedError(UserError):
    """A study's first session has not written what it is: it is only starting, or died before."""


class Ledger:
    """Writes one study. Use ``Ledger.open`` in a ``with`` statement.

    Args:
        location: Where studies are kept.
        header: What the study is, as recorded.
        storage: Optuna's storage.
        writer: Writes to it.
        resources: What is given back when the ledger is closed.
    """

    def __init__(
        self, location: StudyLocation, header: StudyHeader, storage: BaseStorage, writer: Writer, resources: ExitStack
    ) -> None:
        self.folder, self.header, self.is_shared = location.folder(header.name), header, location.is_shared
        self._storage, self._writer, self._resources = storage, writer, resources

    @classmethod
    def open(cls, location: StudyLocation, header: StudyHeader, *, accept_recorded_seed: bool = False) -> Ledger:
        """Opens a study for writing, and makes it if it is new.

        Args:
            location: Where studies are kept.
            header: What the study is.
            accept_recorded_seed: Whether the seed was merely drawn, so that the one of a study that another
                coordinator has begun
                meanwhile will do as well.

        Raises:
            UserError: The study exists as another study, is being written by another process, or cannot be reached.
            FatalError: Its journal is damaged in the middle.
            OSError: Its journal cannot be written, for want of room, say.
        """
        if location.is_shared:
            from search.records.storage.retry import (
                call_with_retry,  # imports SQLAlchemy, which takes longer than all the rest
            )

            return call_with_retry(lambda: cls._open_shared(location, header, accept_recorded_seed))
        return cls._open_exclusive(location, header)

    @classmethod
    def _open_exclusive(cls, location: StudyLocation, header: StudyHeader) -> Ledger:
        if (recorded_header := _recorded_header(location, header.name)) is not None:
            header = _require_same_study(recorded_header, header)
        folder = location.folder(header.name)
        with lock_study(location, header.name) as resources:
            process_identity.write_coordinator(folder)
            resources.callback(process_identity.remove_coordinator, folder)
            if location.storage is None and (note := journal.repair(location.journal(header.name))):
                _LOG.warning(note)
            storage, commit = open_storage(location, header.name)
            writer = FileWriter(header, storage, commit, _optuna_study_ids(storage, header.name))
            _write_header(storage, header)
            writer.commit(True)
            return cls(location, header, storage, writer, resources.pop_all())

    @classmethod
    def _open_shared(cls, location: StudyLocation, header: StudyHeader, accept_recorded_seed: bool) -> Ledger:
        from search.records.storage.database_writer import DatabaseWriter, insert_attribute_once

        with ExitStack() as resources:
            server = open_server(location)
            resources.callback(server.engine.dispose)
            make_folder(location.folder(header.name))
            storage = get_storage(server)
            studies = _optuna_study_ids(storage, header.name)
            insert_attribute_once(server, studies[Phase.SEARCH], HEADER_KEY, header.to_json())
            if (
                recorded_header := _read_header(storage, header.name)
            ) is not None:  # perhaps of another who began at this moment
                header = _require_same_study(recorded_header, header, accept_recorded_seed=accept_recorded_seed)
            _write_header(storage, header)
            return cls(location, header, storage, DatabaseWriter(header, server, studies), resources.pop_all())

    @classmethod
    def in_memory(cls, location: StudyLocation, header: StudyHeader) -> Ledger:
        """Returns a ledger that is gone with the process, for studies of simulated trials.

        Args:
            location: Where trials would leave their checkpoints; the ledger itself writes nothing there.
            header: What the study is.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = InMemoryStorage()
        writer = FileWriter(header, storage, lambda at_once: None, _optuna_study_ids(storage, header.name))
        return cls(location, header, storage, writer, ExitStack())

    @property
    def log_dir(self) -> Path:
        """Where this coordinator's workers write what they print."""
        folder, process = self.folder / "logs", process_identity.current_process()
        return folder / f"{process.host}-{process.pid}" if self.is_shared else folder

    def __enter__(self) -> Ledger:
        """Returns the ledger."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Has the disk take everything, and lets other processes write."""
        with (
            self._resources,
            contextlib.suppress(*(() if kind is None else (OSError, FatalError))),
        ):  # the first is the cause
            self._writer.close()

    def exclusive(self) -> AbstractContextManager[None]:
        """Holds off other coordinators, if there may be any, while one decides what comes next and records it.

        Raises:
            TurnLostError: The database was cut off meanwhile; ``has_begun`` says what stands.
        """
        return self._writer.exclusive()

    def run_exclusive(self, action: Callable[[], T]) -> T:
        """Returns what an action returns that looks before it acts, so that it may be tried again in another turn."""
        while True:
            with contextlib.suppress(TransactionLostError), self.exclusive():
                return action()

    def begin(self, trial: Trial) -> None:
        """Records that a trial starts; its number must be the next of its phase."""
        self._writer.begin(trial)

    def has_begun(self, trial: Trial) -> bool:
        """Says whether a trial's beginning stands, after a turn that was lost."""
        return self._writer.has_begun(trial)

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Records an epoch; returns whether the trial is still this coordinator's."""
        return self._writer.report(trial, report)

    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Records how a trial ended, so that it is known whatever happens next.

        Returns:
            What stands in the record: that of another coordinator, where it had taken this one for dead.
        """
        return self._writer.finish(trial, outcome)

    def changes(self, phase: Phase) -> Sequence[TrialRecord]:
        """Returns the trials of other coordinators that began, went on or ended since it was asked last, by number."""
        return self._writer.changes(phase)

    def orphans(self) -> list[TrialRecord]:
        """Returns the unfinished trials that nobody runs any more: their coordinators died."""
        if not (keys := self._writer.orphans()):
            return []
        return [known for known in self.read().trials if known.outcome is None and known.trial.key in keys]

    def flush(self) -> None:
        """Has the disk take what has waited for a moment; to be called now and then."""
        self._writer.commit(False)

    def record_spent_seconds(self, seconds: float) -> None:
        """Records the wall-clock seconds of the study: of all sessions together, those at the same time once."""
        self._writer.record_seconds(SPENT_KEY, round(seconds, 3))

    def record_exhausted_seconds(self, seconds: float) -> None:
        """Records that a time budget of so many seconds was used as far as it goes, verification included."""
        self._writer.record_seconds(EXHAUSTED_KEY, seconds)

    def read(self) -> StudyRecord:
        """Returns the study as recorded so far."""
        return self._writer.read(lambda: _study_record(self.header, self._storage))


def read_study(location: StudyLocation, name: str) -> StudyRecord:
    """Reads one study, as far as its ledger is sound; disturbs nobody who writes it.

    Raises:
        UserError: No such study, or its ledger is of a newer version or cannot be read.
        NotBegunError: It has no header yet.
        FatalError: Its journal is damaged in the middle.
    """
    record, _ = _read_study_with_note(location, name)
    if record is None:
        raise _not_started_error(name)
    return record


def _read_study_with_note(location: StudyLocation, name: str) -> tuple[StudyRecord | None, str]:
    """Returns a study, None where its first session died before it began, and what is to be told of damage."""
    if name not in (names := location.study_names()):
        if names:
            raise unknown_name("study", name, names)
        raise UserError(f"Unknown study. Received: {name!r}; there is none in {location.studies_dir}.")
    opened = read_storage(location, name)
    header = _read_header(
        opened.storage, name if location.storage is not None else _journal_study_name(opened.storage, name)
    )
    return None if header is None else _study_record(header, opened.storage), opened.note


def _journal_study_name(storage: BaseStorage, folder: str) -> str:
    """Returns the name of the one study in a journal: another than its folder's where that was copied or renamed."""
    ending = f"/{Phase.SEARCH.value}"
    names = [study.study_name for study in storage.get_all_studies() if study.study_name.endswith(ending)]
    return names[0].removesuffix(ending) if len(names) == 1 else folder


def _not_started_error(name: str) -> StudyNotStartedError:
    return StudyNotStartedError(f"Study {name!r} was stopped before it began.", hint="Run its command again.")


def read_recorded_study(location: StudyLocation, header: StudyHeader) -> StudyRecord | None:
    """Returns what is recorded of a study, or None where nothing is.

    Raises:
        UserError: A study of this name is another one.
    """
    recorded_header = _recorded_header(location, header.name)
    return (
        None
        if recorded_header is None
        else _study_record(_require_same_study(recorded_header, header), read_storage(location, header.name).storage)
    )


def read_studies(names: Sequence[str], *, studies_dir: Path, storage: str | None = None) -> list[StudyRecord]:
    """Reads the named studies, or all that have begun where none is named; what damage hides is told.

    Raises:
        UserError: As ``read``.
        FatalError: As ``read``.
    """
    location = StudyLocation(studies_dir=studies_dir, storage=storage)
    records = {name: _read_study_with_note(location, name) for name in names or location.study_names()}
    for name, (record, note) in records.items():
        if note:
            _LOG.warning(note)
        if record is None and names:
            raise _not_started_error(name)
    return [record for record, _ in records.values() if record is not None]


def _recorded_header(location: StudyLocation, name: str) -> StudyHeader | None:
    """Returns a study's header; None where there is no such study, or its first session died before writing it."""
    return _read_header(read_storage(location, name).storage, name) if name in location.study_names() else None


def _read_header(storage: BaseStorage, name: str) -> StudyHeader | None:
    attributes = _study_attributes(storage, name, Phase.SEARCH)
    if attributes.get(SCHEMA_KEY, 0) > LEDGER_SCHEMA:
        raise UserError(
            f"The ledger of study {name!r} was written by a newer version. "
            f"Expected: schema {LEDGER_SCHEMA} at most. Received: {attributes[SCHEMA_KEY]}.",
            hint="Update this package.",
        )
    return StudyHeader.from_json(attributes[HEADER_KEY]) if HEADER_KEY in attributes else None


def _optuna_study_ids(storage: BaseStorage, name: str) -> dict[Phase, int]:
    """Returns the storage's number for each phase of a study, which is made where it is new."""
    return {phase: _optuna_study_id(storage, f"{name}/{phase.value}") for phase in Phase}


def _optuna_study_id(storage: BaseStorage, name: str) -> int:
    return optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)._study_id


def _write_header(storage: BaseStorage, header: StudyHeader) -> None:
    """Writes what the study is and by which version it was written, unless it stands there."""
    study_id = storage.get_study_id_from_name(f"{header.name}/{Phase.SEARCH.value}")
    attributes = storage.get_study_user_attrs(study_id)
    if attributes.get(SCHEMA_KEY, 0) < LEDGER_SCHEMA:
        storage.set_study_user_attr(study_id, SCHEMA_KEY, LEDGER_SCHEMA)
    if HEADER_KEY not in attributes:
        storage.set_study_user_attr(study_id, HEADER_KEY, header.to_json())


def _study_attributes(storage: BaseStorage, name: str, phase: Phase) -> dict[str, Any]:
    try:
        study_id = storage.get_study_id_from_name(f"{name}/{phase.value}")
    except KeyError:
        return {}
    return storage.get_study_user_attrs(study_id)


def _study_record(header: StudyHeader, storage: BaseStorage) -> StudyRecord:
    trials: list[TrialRecord] = []
    for phase in Phase:
        try:
            study_id = storage.get_study_id_from_name(f"{header.name}/{phase.value}")
        except KeyError:
            continue
        frozen_trials = storage.get_all_trials(study_id, deepcopy=False)
        trials += [decode_trial_record(trial.number, trial.user_attrs, trial.datetime_start) for trial in frozen_trials]
    attributes = _study_attributes(storage, header.name, Phase.SEARCH)
    return StudyRecord(
        header=header,
        trials=tuple(trials),
        spent_seconds=attributes.get(SPENT_KEY, 0.0),
        exhausted_seconds=attributes.get(EXHAUSTED_KEY, 0.0),
    )


def _require_same_study(
    recorded: StudyHeader, requested: StudyHeader, *, accept_recorded_seed: bool = False
) -> StudyHeader:
    """Returns the recorded header if the wanted one means the same study.

    Raises:
        UserError: It does not; the message names each difference.
    """
    requested = dataclasses.replace(requested, seed=recorded.seed) if accept_recorded_seed else requested
    if differences := describe_differences(_study_identity(recorded), _study_identity(requested)):
        raise UserError(
            f"Study {recorded.name!r} exists and is another one. It differs in {_join_limited(differences)}.",
            hint="Give this one a name of its own with --study NAME, or repeat the recorded options.",
        )
    return recorded


def _study_identity(header: StudyHeader) -> dict[str, Any]:
    """Returns what makes a study this one, by dotted names; its name, time, versions, command and words do not."""
    document = header.to_json()
    parts = ("space", "space_source", "protocol", "engine", "sampler", "pruner", "seed")
    named = flatten({part: document[part] for part in parts})
    return {name: value for name, value in named.items() if name.rpartition(".")[2] not in ("doc", "unit", "source")}


def _join_limited(texts: Sequence[str], limit: int = 4) -> str:
    more = f"; and {len(texts) - limit} more" if len(texts) > limit else ""
    return "; ".join(texts[:limit]) + more


def utc_now() -> str:
    """Returns the present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
