"""Verification and the baseline's repeats: fixed lists of trials, and the source that runs such a list.

Verification retrains the best configurations and the baseline on all training images and scores them once on the test
images. The configurations are chosen by validation error alone. All of them get the same fresh seeds, so that
differences can be paired. Called by ``search.api`` and ``search.session``.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence

from search import seeds
from search.records.record import StudyRecord, TrialRecord
from search.study.cost import CostModel
from search.study.retries import should_requeue
from search.trial import BASELINE, EpochReport, Outcome, Phase, State, Trial, config_key


def finalists(record: StudyRecord, count: int) -> list[TrialRecord]:
    """Returns the baseline and the ``count`` best other trials by validation error, best first.

    Complete trials precede paused trials, and of these the longer ones precede. The baseline is included even if its
    search trial failed, since every row is compared with it.
    """
    ended = [trial_record for trial_record in record.trials_in_phase(Phase.SEARCH) if trial_record.is_finished]
    baseline = [trial_record for trial_record in ended if trial_record.trial.origin == BASELINE]
    longest_by_config = {  # a later trial of the same configuration resumed the earlier one
        config_key(trial_record.trial.config): trial_record
        for trial_record in ended
        if trial_record.trial.origin != BASELINE and trial_record.state in (State.COMPLETE, State.PAUSED)
    }
    return baseline[:1] + sorted(longest_by_config.values(), key=_validation_order)[:count]


def _validation_order(record: TrialRecord) -> tuple[int, float]:
    assert record.outcome is not None and record.outcome.error_percent is not None
    return (-record.trial.last_epoch, record.outcome.error_percent)


def verification_trials(record: StudyRecord, *, count: int, replicates: int) -> list[Trial]:
    """Returns the verification trials that are not finished: for each replicate, each finalist.

    Args:
        record: The study.
        count: Number of finalists, without the baseline.
        replicates: Fresh seeds each.
    """
    finalist_trials = [finalist.trial for finalist in finalists(record, count)]
    return _unfinished(
        record,
        Phase.VERIFICATION,
        [
            dataclasses.replace(
                _replicate(record, Phase.VERIFICATION, replicate),
                config=trial.config,
                epochs=trial.epochs,
                origin=trial.origin,
                source_trial=trial.number,
            )
            for replicate in range(replicates)
            for trial in finalist_trials
        ],
    )


def baseline_trials(record: StudyRecord, *, repeats: int) -> list[Trial]:
    """Returns the baseline's repeats under the tutorial protocol that are not finished."""
    trials = [_replicate(record, Phase.REPRODUCTION, replicate) for replicate in range(repeats)]
    return _unfinished(record, Phase.REPRODUCTION, trials)


def _replicate(record: StudyRecord, phase: Phase, replicate: int) -> Trial:
    """Returns a replicate of the baseline, not yet numbered."""
    return Trial(
        number=0,
        config=record.header.space.baseline,
        seed=seeds.trial_seed(record.header.seed, phase, replicate),
        epochs=record.header.protocol.epochs,
        origin=BASELINE,
        phase=phase,
        replicate=replicate,
    )


def _unfinished(record: StudyRecord, phase: Phase, trials: Iterable[Trial]) -> list[Trial]:
    """Returns the trials whose replicate is not finished, numbered after the recorded trials of the phase."""
    recorded = record.trials_in_phase(phase)
    finished = {trial.trial.replicate_key for trial in recorded if trial.is_finished}
    unfinished = (trial for trial in trials if trial.replicate_key not in finished)
    return [dataclasses.replace(trial, number=number) for number, trial in enumerate(unfinished, start=len(recorded))]


def estimate_verification_seconds(
    record: StudyRecord, *, costs: CostModel, count: int, replicates: int, slots: int
) -> float:
    """Estimates the wall-clock seconds of the verification that is left.

    Args:
        record: The study.
        costs: Fitted to the study's trials.
        count: Number of finalists, without the baseline.
        replicates: Fresh seeds each.
        slots: Trials at a time.
    """
    finalist_records = finalists(record, count)
    if count == 0 or not any(finalist.trial.origin == BASELINE for finalist in finalist_records):
        return 0.0  # nothing can be compared before the baseline has ended
    pending = verification_trials(record, count=count, replicates=replicates)
    run_seconds = [costs.trial_seconds(trial.config, epochs=trial.epochs, phase=trial.phase) for trial in pending]
    # While the last trials run some slots are empty: on average for half of the longest trial.
    return sum(run_seconds) / slots + (max(run_seconds) / 2 if slots > 1 else 0.0) if run_seconds else 0.0


class ReplicateSource:
    """Runs a fixed list of trials, and prunes none; a ``search.study.interfaces.TrialSource``.

    Args:
        trials: In the order in which to run them, numbered consecutively.
        recorded: Records of the same phase, from earlier sessions and other coordinators.
    """

    checkpoints = None

    def __init__(self, trials: Sequence[Trial], recorded: Iterable[TrialRecord] = ()) -> None:
        recorded = list(recorded)
        self.phase = trials[0].phase if trials else Phase.VERIFICATION
        self._by_replicate = {trial.replicate_key: trial for trial in trials}
        taken = {record.trial.replicate_key for record in recorded if record.outcome is None or record.is_finished}
        self._queue = deque(trial for trial in trials if trial.replicate_key not in taken)
        self._next_number = max([len(recorded), *(trial.number for trial in trials[:1])])
        self._running_elsewhere = {record.trial.number for record in recorded if record.outcome is None}

    @property
    def running_elsewhere(self) -> int:
        """How many trials other coordinators run."""
        return len(self._running_elsewhere)

    def next(self) -> Trial | None:
        """Returns the next trial of the list."""
        if not self._queue:
            return None
        trial = dataclasses.replace(self._queue.popleft(), number=self._next_number)
        self._next_number += 1
        return trial

    def undo_next(self, trial: Trial) -> None:
        """Puts a trial back at the front of the list."""
        self._next_number -= 1
        self._queue.appendleft(trial)

    def observe(self, record: TrialRecord) -> bool:
        """Leaves a trial to the coordinator that runs it, unless it is interrupted there."""
        trial, is_new = record.trial, record.trial.number >= self._next_number
        if not is_new and trial.number not in self._running_elsewhere:
            return False
        if is_new:
            self._running_elsewhere.add(trial.number)
            self._next_number = trial.number + 1
            self._queue = deque(queued for queued in self._queue if queued.replicate_key != trial.replicate_key)
        if record.outcome is not None:
            self._running_elsewhere.remove(trial.number)
            if not record.is_finished and trial.replicate_key in self._by_replicate:
                self._queue.append(self._by_replicate[trial.replicate_key])
        return is_new or record.outcome is not None

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Returns False: no trial is pruned."""
        return False

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Appends a trial that is to be retried to the list."""
        if should_requeue(outcome):
            self._queue.append(trial)
