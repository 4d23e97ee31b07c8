"""The ledger of one coordinator: in a journal file, in SQLite, or in memory.

Called by ``search.records.opening.open_ledger``; the ledger in memory by simulations.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial

from search.records.ensemble_json import ENSEMBLE_PHASE
from search.records.ledger import Ledger, concurrent_writer_error
from search.records.reader import read_recorded_header
from search.records.record import EnsembleRecord, StudyHeader, StudyRecord, TrialRecord, require_same_study
from search.records.storage import journal, process_identity
from search.records.storage.locations import StudyLocation, lock_study
from search.records.storage.optuna_codec import (
    EXHAUSTED_KEY,
    OPTUNA_STATES,
    OUTCOME_KEY,
    REPORT_KEY_PREFIX,
    SPENT_KEY,
    create_optuna_studies,
    decode_study,
    encode_ensemble,
    encode_outcome,
    encode_running_trial,
    encode_test_images,
    objective_values,
    write_header,
)
from search.records.storage.storages import Commit, open_storage
from search.trial import EpochReport, Outcome, Phase, Trial

_LOG = logging.getLogger(__name__)


class FileLedger(Ledger):
    """Records a study in a storage that this process alone writes.

    Args:
        location: Where studies are kept.
        header: What the study is, as recorded.
        storage: Optuna's storage.
        commit: Writes buffered records to the disk.
    """

    is_shared = False

    def __init__(self, location: StudyLocation, header: StudyHeader, storage: BaseStorage, commit: Commit) -> None:
        self.header, self.folder = header, location.folder(header.name)
        self.log_dir = self.folder / "logs"
        self._storage, self._commit, self._resources = storage, commit, ExitStack()
        self._ended: dict[tuple[Phase, int], TrialRecord] = {}
        self._study_ids = create_optuna_studies(storage, header.name)
        self._next_numbers = {
            phase: len(storage.get_all_trials(study_id, deepcopy=False)) for phase, study_id in self._study_ids.items()
        }
        self._initial_counts = dict(self._next_numbers)
        write_header(storage, header)
        commit(True)

    @classmethod
    def open(cls, location: StudyLocation, header: StudyHeader) -> FileLedger:
        """Locks and opens a study; see ``search.records.opening.open_ledger``."""
        if (recorded_header := read_recorded_header(location, header.name)) is not None:
            header = require_same_study(recorded_header, header)
        folder = location.folder(header.name)
        with lock_study(location, header.name) as resources:
            process_identity.write_coordinator(folder)
            resources.callback(process_identity.remove_coordinator, folder)
            if location.storage is None and (note := journal.repair(location.journal(header.name))):
                _LOG.warning(note)
            storage, commit = open_storage(location, header.name)
            ledger = cls(location, header, storage, commit)
            ledger._resources = resources.pop_all()
            return ledger

    @classmethod
    def in_memory(cls, location: StudyLocation, header: StudyHeader) -> FileLedger:
        """Returns a ledger in memory, for studies of simulated trials.

        Args:
            location: Where the trials would keep their checkpoints; nothing is written there.
            header: What the study is.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return cls(location, header, InMemoryStorage(), lambda force: None)

    def close(self) -> None:
        """Writes everything to the disk and releases the lock."""
        with self._resources:
            self._commit(True)

    def exclusive(self) -> AbstractContextManager[None]:
        """Does nothing: there are no other coordinators."""
        return nullcontext()

    def begin(self, trial: Trial) -> None:
        """Records that a trial starts; see ``Ledger.begin``."""
        expected = self._next_numbers[trial.phase]
        assert trial.number == expected, f"trial {trial.number} is not the next, {expected}"
        self._add_trial(trial.phase, encode_running_trial(self.header, trial))

    def has_begun(self, trial: Trial) -> bool:
        """Returns True: no transaction is ever lost."""
        return True

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Records an epoch; the trial always belongs to this coordinator."""
        trial_id = self._trial_id(trial)
        self._storage.set_trial_user_attr(trial_id, f"{REPORT_KEY_PREFIX}{report.epoch}", report.to_json())
        if report.error_percent is not None:
            self._storage.set_trial_intermediate_value(trial_id, report.epoch, report.error_percent)
        return True

    def finish(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Records how a trial ended; it is on the disk when this returns."""
        trial_id = self._trial_id(trial)
        recorded = self._storage.get_trial(trial_id).user_attrs
        for report in outcome.history:
            if f"{REPORT_KEY_PREFIX}{report.epoch}" not in recorded:
                self.report(trial, report)
        self._storage.set_trial_user_attr(trial_id, OUTCOME_KEY, encode_outcome(outcome))
        self._storage.set_trial_state_values(trial_id, OPTUNA_STATES[outcome.state], objective_values(outcome))
        self._commit(True)
        return outcome

    def record_ensemble(self, ensemble: EnsembleRecord) -> None:
        """Records an ensemble; it is on the disk when this returns."""
        self._add_trial(ENSEMBLE_PHASE, encode_ensemble(ensemble, self._next_numbers[ENSEMBLE_PHASE]))
        self._commit(True)

    def changes(self, phase: Phase) -> Sequence[TrialRecord]:
        """Returns nothing: there are no other coordinators."""
        return ()

    def orphans(self) -> list[TrialRecord]:
        """Returns the unfinished trials of earlier sessions."""
        return [
            record
            for record in self.read().trials
            if record.outcome is None and record.trial.number < self._initial_counts[record.trial.phase]
        ]

    def flush(self) -> None:
        """Writes buffered records to the disk if they have waited long enough."""
        self._commit(False)

    def record_spent_seconds(self, seconds: float) -> None:
        """Records the wall-clock seconds of all sessions."""
        self._storage.set_study_user_attr(self._study_ids[Phase.SEARCH], SPENT_KEY, round(seconds, 3))

    def record_arithmetic(self, values: Mapping[str, Any]) -> None:
        """Does nothing: the environments of the trials hold it."""

    def record_test_images(self, labels: Sequence[int], groups: Sequence[int] | None) -> None:
        """Records the class and, if known, the group of each test image, unless they are recorded."""
        study_id = self._study_ids[Phase.SEARCH]
        for key, value in encode_test_images(labels, groups).items():
            if key not in self._storage.get_study_user_attrs(study_id):
                self._storage.set_study_user_attr(study_id, key, value)

    def record_exhausted_seconds(self, seconds: float) -> None:
        """Records that a time budget of this many seconds was used up."""
        self._storage.set_study_user_attr(self._study_ids[Phase.SEARCH], EXHAUSTED_KEY, seconds)

    def read(self) -> StudyRecord:
        """Returns the study as recorded so far."""
        return decode_study(self._storage, self.header, self._ended)

    def _add_trial(self, phase: str, frozen_trial: FrozenTrial) -> None:
        trial_id = self._storage.create_new_trial(self._study_ids[phase], template_trial=frozen_trial)
        if self._storage.get_trial_number_from_id(trial_id) != self._next_numbers[phase]:
            raise concurrent_writer_error(self.header.name)
        self._next_numbers[phase] += 1

    def _trial_id(self, trial: Trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_ids[trial.phase], trial.number)
