"""How a study is written: what the ledger asks of a storage, and the answer where one process alone writes.

    SoleWriter      a journal file, SQLite or memory: one coordinator, by Optuna's own storage
    SharedWriter    a database server: several coordinators; see ``search.records.storage.database_writer``

Called by the ledger alone. Knows Optuna's storages; nothing of folders and locks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from optuna.storages import BaseStorage

from search.errors import FatalError
from search.records.record import StudyHeader, TrialRecord
from search.records.storage.optuna_codec import (
    OPTUNA_STATES,
    OUTCOME_KEY,
    REPORT_KEY_PREFIX,
    encode_running_trial,
    objective_values,
)
from search.trial import EpochReport, Outcome, Phase, Trial

Commit = Callable[[bool], None]
Key = tuple[Phase, int]
T = TypeVar("T")


class TransactionLostError(FatalError):
    """The database was cut off in the middle of a turn: what was decided in it may not be recorded."""


class Writer(ABC):
    """Writes the trials of one study, and its account."""

    @abstractmethod
    def begin(self, trial: Trial) -> None:
        """Records that a trial starts, in a turn; its number must be the next of its phase."""

    @abstractmethod
    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Records an epoch; returns whether the trial is still this coordinator's."""

    @abstractmethod
    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Records how a trial ended; returns what stands in the record, which another may have written before."""

    @abstractmethod
    def record_seconds(self, name: str, seconds: float) -> None:
        """Records a figure of the study as a whole; it never falls."""

    @abstractmethod
    def commit(self, force: bool) -> None:
        """Has the disk take what has waited for a moment, or all of it."""

    @abstractmethod
    def close(self) -> None:
        """Ends the writing."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Holds off all other coordinators, while one decides what comes next and records it.

        Raises:
            TurnLostError: Whether what was recorded meanwhile stands must be asked by ``has_begun``.
        """
        return nullcontext()

    def has_begun(self, trial: Trial) -> bool:
        """Says whether this coordinator's ``begin`` of the trial stands in the record."""
        return True

    def changes(self, phase: Phase) -> Sequence[TrialRecord]:
        """Returns the trials of others that began, went on or ended since this was asked last, by number."""
        return ()

    def read(self, operation: Callable[[], T]) -> T:
        """Returns what a reading returns."""
        return operation()

    @abstractmethod
    def orphans(self) -> Collection[Key]:
        """Returns trials that nobody runs any more; they may have ended."""


def concurrent_writer_error(name: str) -> FatalError:
    """Returns the error for trials that somebody else adds."""
    return FatalError(
        f"Another process adds trials to study {name!r}.",
        hint="Let this program alone write it; run the same command again when the other has ended.",
    )


class FileWriter(Writer):
    """Writes where nobody else does.

    Args:
        header: What the study is.
        storage: Optuna's storage.
        commit: Has the disk take what was written to it.
        studies: The storage's number for each phase.
    """

    def __init__(self, header: StudyHeader, storage: BaseStorage, commit: Commit, studies: Mapping[Phase, int]) -> None:
        self._header, self._storage, self._commit, self._studies = header, storage, commit, studies
        self._next_numbers = {phase: len(storage.get_all_trials(one, deepcopy=False)) for phase, one in studies.items()}
        self._initial_counts = dict(self._next_numbers)

    def begin(self, trial: Trial) -> None:
        """Records that a trial starts.

        Raises:
            FatalError: Another program has added one.
        """
        expected = self._next_numbers[trial.phase]
        assert trial.number == expected, f"trial {trial.number} is not the next, {expected}"
        frozen_trial = encode_running_trial(self._header, trial)
        storage_id = self._storage.create_new_trial(self._studies[trial.phase], template_trial=frozen_trial)
        if self._storage.get_trial_number_from_id(storage_id) != trial.number:
            raise concurrent_writer_error(self._header.name)
        self._next_numbers[trial.phase] += 1

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Records an epoch."""
        storage_id = self._storage_id(trial)
        self._storage.set_trial_user_attr(storage_id, f"{REPORT_KEY_PREFIX}{report.epoch}", report.to_json())
        if report.error_percent is not None:
            self._storage.set_trial_intermediate_value(storage_id, report.epoch, report.error_percent)
        return True

    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Records how a trial ended, so that it is known whatever happens next."""
        storage_id = self._storage_id(trial)
        self._storage.set_trial_user_attr(storage_id, OUTCOME_KEY, outcome.to_json())
        self._storage.set_trial_state_values(storage_id, OPTUNA_STATES[outcome.state], objective_values(outcome))
        self._commit(True)
        return outcome

    def record_seconds(self, name: str, seconds: float) -> None:
        """Records a figure of the study as a whole."""
        self._storage.set_study_user_attr(self._studies[Phase.SEARCH], name, seconds)

    def commit(self, force: bool) -> None:
        """Has the disk take what has waited for a moment, or all of it."""
        self._commit(force)

    def close(self) -> None:
        """Has the disk take everything."""
        self._commit(True)

    def orphans(self) -> Collection[Key]:
        """Returns the trials of earlier sessions."""
        return {(phase, number) for phase, count in self._initial_counts.items() for number in range(count)}

    def _storage_id(self, trial: Trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._studies[trial.phase], trial.number)
