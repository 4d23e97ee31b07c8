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
    predictions/     what models said of the images they were scored on; see ``search.records.predictions``
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
from search.records import coordinator, journal
from search.records.record import StudyHeader, StudyRecord, TrialRecord, differing, flat
from search.records.storage import Place, lock, make_folder, open_server, open_storage, read_storage
from search.records.stored import OUTCOME, TRIAL, trial_record
from search.records.writing import SoleWriter, TurnLostError, Writer
from search.trial import EpochReport, Outcome, Phase, Trial

__all__ = ["HEADER", "OUTCOME", "SPENT", "TRIAL", "Ledger", "NotBegunError", "now", "read", "read_studies", "recorded"]

SCHEMA = 4
"""Version of the attributes; a ledger of a newer one is refused. 2: trials that pause and go on. 3: rungs. 4: ensembles
and predicted classes."""
HEADER, SCHEMA_KEY, SPENT, EXHAUSTED = "header", "schema", "spent_seconds", "exhausted_seconds"
T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class NotBegunError(UserError):
    """A study's first session has not written what it is: it is only starting, or died before."""


class Ledger:
    """Writes one study. Use ``Ledger.open`` in a ``with`` statement.

    Args:
        place: Where studies are kept.
        header: What the study is, as recorded.
        storage: Optuna's storage.
        writer: Writes to it.
        held: What is given back when the ledger is closed.
    """

    def __init__(
        self, place: Place, header: StudyHeader, storage: BaseStorage, writer: Writer, held: ExitStack
    ) -> None:
        self.folder, self.header, self.is_shared = place.folder(header.name), header, place.is_shared
        self._storage, self._writer, self._held = storage, writer, held

    @classmethod
    def open(cls, place: Place, header: StudyHeader, *, any_seed: bool = False) -> Ledger:
        """Opens a study for writing, and makes it if it is new.

        Args:
            place: Where studies are kept.
            header: What the study is.
            any_seed: Whether the seed was merely drawn, so that the one of a study that another coordinator has begun
                meanwhile will do as well.

        Raises:
            UserError: The study exists as another study, is being written by another process, or cannot be reached.
            FatalError: Its journal is damaged in the middle.
            OSError: Its journal cannot be written, for want of room, say.
        """
        if place.is_shared:
            from search.records.patience import patiently  # imports SQLAlchemy, which takes longer than all the rest

            return patiently(lambda: cls._beside_others(place, header, any_seed))
        return cls._alone(place, header)

    @classmethod
    def _alone(cls, place: Place, header: StudyHeader) -> Ledger:
        if (known := _recorded_header(place, header.name)) is not None:
            header = _same(known, header)
        folder = place.folder(header.name)
        with lock(place, header.name) as held:
            coordinator.sign(folder)
            held.callback(coordinator.withdraw, folder)
            if place.storage is None and (note := journal.mend(place.journal(header.name))):
                _LOG.warning(note)
            storage, commit = open_storage(place, header.name)
            writer = SoleWriter(header, storage, commit, _studies(storage, header.name))
            _introduce(storage, header)
            writer.commit(True)
            return cls(place, header, storage, writer, held.pop_all())

    @classmethod
    def _beside_others(cls, place: Place, header: StudyHeader, any_seed: bool) -> Ledger:
        from search.records.shared import SharedWriter, put_once

        with ExitStack() as held:
            server = open_server(place)
            held.callback(server.engine.dispose)
            make_folder(place.folder(header.name))
            storage = get_storage(server)
            studies = _studies(storage, header.name)
            put_once(server, studies[Phase.SEARCH], HEADER, header.to_json())
            if (found := _header(storage, header.name)) is not None:  # perhaps of another who began at this moment
                header = _same(found, header, any_seed=any_seed)
            _introduce(storage, header)
            return cls(place, header, storage, SharedWriter(header, server, studies), held.pop_all())

    @classmethod
    def in_memory(cls, place: Place, header: StudyHeader) -> Ledger:
        """Returns a ledger that is gone with the process, for studies of simulated trials.

        Args:
            place: Where trials would leave their checkpoints; the ledger itself writes nothing there.
            header: What the study is.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = InMemoryStorage()
        writer = SoleWriter(header, storage, lambda at_once: None, _studies(storage, header.name))
        return cls(place, header, storage, writer, ExitStack())

    @property
    def log_dir(self) -> Path:
        """Where this coordinator's workers write what they print."""
        folder, me = self.folder / "logs", coordinator.myself()
        return folder / f"{me.host}-{me.pid}" if self.is_shared else folder

    def __enter__(self) -> Ledger:
        """Returns the ledger."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Has the disk take everything, and lets other processes write."""
        with (
            self._held,
            contextlib.suppress(*(() if kind is None else (OSError, FatalError))),
        ):  # the first is the cause
            self._writer.close()

    def turn(self) -> AbstractContextManager[None]:
        """Holds off other coordinators, if there may be any, while one decides what comes next and records it.

        Raises:
            TurnLostError: The database was cut off meanwhile; ``has_begun`` says what stands.
        """
        return self._writer.turn()

    def in_turn(self, action: Callable[[], T]) -> T:
        """Returns what an action returns that looks before it acts, so that it may be tried again in another turn."""
        while True:
            with contextlib.suppress(TurnLostError), self.turn():
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

    def news(self, phase: Phase) -> Sequence[TrialRecord]:
        """Returns the trials of other coordinators that began, went on or ended since it was asked last, by number."""
        return self._writer.news(phase)

    def orphans(self) -> list[TrialRecord]:
        """Returns the unfinished trials that nobody runs any more: their coordinators died."""
        if not (keys := self._writer.orphans()):
            return []
        return [known for known in self.read().trials if known.outcome is None and known.trial.key in keys]

    def keep_up(self) -> None:
        """Has the disk take what has waited for a moment; to be called now and then."""
        self._writer.commit(False)

    def spend(self, seconds: float) -> None:
        """Records the wall-clock seconds of the study: of all sessions together, those at the same time once."""
        self._writer.account(SPENT, round(seconds, 3))

    def exhaust(self, seconds: float) -> None:
        """Records that a time budget of so many seconds was used as far as it goes, verification included."""
        self._writer.account(EXHAUSTED, seconds)

    def read(self) -> StudyRecord:
        """Returns the study as recorded so far."""
        return self._writer.ask(lambda: _record(self.header, self._storage))


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


def _studies(storage: BaseStorage, name: str) -> dict[Phase, int]:
    """Returns the storage's number for each phase of a study, which is made where it is new."""
    return {phase: _study(storage, f"{name}/{phase.value}") for phase in Phase}


def _study(storage: BaseStorage, name: str) -> int:
    return optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)._study_id


def _introduce(storage: BaseStorage, header: StudyHeader) -> None:
    """Writes what the study is and by which version it was written, unless it stands there."""
    study = storage.get_study_id_from_name(f"{header.name}/{Phase.SEARCH.value}")
    known = storage.get_study_user_attrs(study)
    if known.get(SCHEMA_KEY, 0) < SCHEMA:
        storage.set_study_user_attr(study, SCHEMA_KEY, SCHEMA)
    if HEADER not in known:
        storage.set_study_user_attr(study, HEADER, header.to_json())


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
        known = storage.get_all_trials(study_id, deepcopy=False)
        trials += [trial_record(trial.number, trial.user_attrs, trial.datetime_start) for trial in known]
    account = _attributes(storage, header.name, Phase.SEARCH)
    return StudyRecord(
        header=header,
        trials=tuple(trials),
        spent_seconds=account.get(SPENT, 0.0),
        exhausted_seconds=account.get(EXHAUSTED, 0.0),
    )


def _same(recorded: StudyHeader, wanted: StudyHeader, *, any_seed: bool = False) -> StudyHeader:
    """Returns the recorded header if the wanted one means the same study.

    Raises:
        UserError: It does not; the message names each difference.
    """
    wanted = dataclasses.replace(wanted, seed=recorded.seed) if any_seed else wanted
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
