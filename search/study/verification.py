"""Verification and the baseline's repeats: fixed lists of trials, and the source that runs such a list.

Verification retrains the best configurations and the baseline on all training images and scores them once on the test
images. The configurations are chosen by validation error alone. All of them get the same fresh seeds, so that
differences can be paired. Called by ``search.api`` and ``search.session``.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from search import seeds
from search.engines.base import objective_value
from search.records.record import StudyRecord, TrialRecord
from search.study.retries import should_requeue
from search.trial import BASELINE, Cause, EpochReport, Outcome, Phase, State, Trial, config_key


def known_finalists(record: StudyRecord) -> list[TrialRecord]:
    """Returns what is verified whatever the search finds: the baseline, and the best recipe of those trained in full.

    The baseline is included even if its search trial failed, since every row is compared with it. Of a baseline that
    was first trained briefly, for want of time, and later in full, the full training counts.
    """
    ended = [entry for entry in record.trials_in_phase(Phase.SEARCH) if entry.is_finished]
    baselines = [entry for entry in ended if entry.trial.origin == BASELINE]
    baseline = sorted(baselines, key=lambda entry: entry.trial.is_short)
    recipes = [entry for entry in _recipes(record) if entry.outcome is not None]
    return baseline[:1] + sorted(recipes, key=partial(validation_order, record.header.objective))[:1]


def _recipes(record: StudyRecord) -> list[TrialRecord]:
    """Returns the search trials of recipes that run or were scored: the full ones; short ones only if there is none."""
    recipes = [
        entry
        for entry in record.trials_in_phase(Phase.SEARCH)
        if entry.trial.is_recipe and (entry.outcome is None or entry.state in (State.COMPLETE, State.SCREENED))
    ]
    return [entry for entry in recipes if not entry.trial.is_short] or recipes


def finalists(record: StudyRecord, count: int) -> list[TrialRecord]:
    """Returns the baseline, the best recipe, and the ``count`` best trials but the baseline by validation, best first.

    The objective that the study's engine minimizes decides. Complete trials precede paused trials, and of these the
    longer ones precede. Short trials count only where the time was too short for any other.
    """
    if count == 0:
        return known_finalists(record)[:1]
    best = best_trials(record, count)
    best_numbers = {entry.trial.number for entry in best}
    return [*(entry for entry in known_finalists(record) if entry.trial.number not in best_numbers), *best]


def best_trials(record: StudyRecord, count: int) -> list[TrialRecord]:
    """Returns the ``count`` best trials but the baseline by validation, best first; see ``finalists``."""
    ended = [trial_record for trial_record in record.trials_in_phase(Phase.SEARCH) if trial_record.is_finished]
    others = [entry for entry in ended if entry.trial.origin != BASELINE]
    usual = [entry for entry in others if entry.state in (State.COMPLETE, State.PAUSED)]
    longest_by_config = {  # a later trial of the same configuration resumed the earlier one
        config_key(trial_record.trial.config): trial_record
        for trial_record in usual or (entry for entry in others if entry.state is State.SCREENED)
    }
    return sorted(longest_by_config.values(), key=partial(validation_order, record.header.objective))[:count]


def validation_order(objective: str, record: TrialRecord) -> tuple[int, float, float]:
    """Returns what the best of scored search trials has the least of; see ``finalists``.

    Args:
        objective: The metric that the study's engine minimizes.
        record: A trial with a validation error.
    """
    assert record.outcome is not None and record.outcome.error_percent is not None
    value = objective_value(record.outcome, objective)
    figure = math.inf if value is None or not math.isfinite(value) else value
    return (-record.trial.last_epoch, figure, record.outcome.error_percent)


def verification_trials(record: StudyRecord, *, count: int, replicates: int) -> list[Trial]:
    """Returns the verification trials that are not finished: for each replicate, each finalist.

    Args:
        record: The study.
        count: Number of finalists, without the baseline.
        replicates: Fresh seeds each.
    """
    known = {entry.trial.number for entry in known_finalists(record)}
    # The best first: of a round for which the time does not suffice, its run matters most.
    rows = sorted(finalists(record, count), key=lambda entry: entry.trial.number in known)
    return _replicates_of(record, rows, replicates)


def early_verification_trials(
    record: StudyRecord, replicates: int, *, running: Sequence[TrialRecord] = ()
) -> list[Trial]:
    """Returns those of the verification trials that are needed whatever the search finds; see ``known_finalists``.

    Args:
        record: The study.
        replicates: Fresh seeds each.
        running: Search trials that are verified too, and before the others, although they have not ended.
    """
    return _replicates_of(record, [*running, *known_finalists(record)], replicates)


def running_recipe(record: StudyRecord) -> TrialRecord | None:
    """Returns the search trial of the first recipe while it runs, unless another recipe has ended."""
    recipes = _recipes(record)
    return recipes[0] if recipes and all(entry.outcome is None for entry in recipes) else None


def _replicates_of(record: StudyRecord, sources: Sequence[TrialRecord], replicates: int) -> list[Trial]:
    """Returns the verification trials of some search trials that are not finished: for each replicate, each of them."""
    return _unfinished(
        record,
        Phase.VERIFICATION,
        [
            dataclasses.replace(
                _replicate(record, Phase.VERIFICATION, replicate),
                config=source.trial.config,
                epochs=source.trial.epochs,
                is_short=source.trial.is_short,
                origin=source.trial.origin,
                source_trial=source.trial.number,
            )
            for replicate in range(replicates)
            for source in sources
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


def running_replicates(record: StudyRecord) -> set[tuple[int | None, int | None]]:
    """Returns the keys of the verification runs that have begun and not ended."""
    return {entry.trial.replicate_key for entry in record.trials_in_phase(Phase.VERIFICATION) if entry.outcome is None}


def makespan(seconds: Iterable[float], slots: int) -> float:
    """Returns how long some workers take for tasks, the longest first."""
    ends = [0.0] * slots
    for task in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + task)
    return max(ends)


class ReplicateSource:
    """Runs a fixed list of trials, and prunes none; a ``search.study.interfaces.TrialSource``.

    Args:
        trials: In the order in which to run them, numbered consecutively.
        recorded: Records of the same phase, from earlier sessions and other coordinators.
        can_end: Returns whether a trial can end in the time that is left.
    """

    checkpoints = None

    def __init__(
        self,
        trials: Sequence[Trial],
        recorded: Iterable[TrialRecord] = (),
        *,
        can_end: Callable[[Trial], bool] = lambda trial: True,
    ) -> None:
        recorded, self._can_end = list(recorded), can_end
        self.phases = (trials[0].phase if trials else Phase.VERIFICATION,)
        self._by_replicate: dict[tuple[int | None, int | None], Trial] = {}
        self._taken = {
            record.trial.replicate_key for record in recorded if record.outcome is None or record.is_finished
        }
        self._queue = deque[Trial]()
        self.add(trials)
        self._next_number = max([len(recorded), *(trial.number for trial in trials[:1])])
        self._running_elsewhere = {record.trial.number for record in recorded if record.outcome is None}

    @property
    def running_elsewhere(self) -> int:
        """How many trials other coordinators run."""
        return len(self._running_elsewhere)

    def add(self, trials: Iterable[Trial], *, most: int | None = None) -> None:
        """Appends trials to the list that it does not hold and that did not run elsewhere.

        Args:
            trials: Those that are needed.
            most: How many of them to append; None for all.
        """
        appended = 0
        for trial in trials:
            if appended == most:
                return
            if trial.replicate_key not in self._by_replicate:
                self._by_replicate[trial.replicate_key] = trial
                if trial.replicate_key not in self._taken:
                    self._queue.append(trial)
                    appended += 1

    def next(self) -> Trial | None:
        """Returns the next trial of the list that can end; those before it are dropped."""
        while self._queue:
            queued = self._queue.popleft()
            if self._can_end(queued):
                trial = dataclasses.replace(queued, number=self._next_number)
                self._next_number += 1
                return trial
        return None

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
            self._taken.add(trial.replicate_key)
            self._next_number = trial.number + 1
            self._queue = deque(queued for queued in self._queue if queued.replicate_key != trial.replicate_key)
        if record.outcome is not None:
            self._running_elsewhere.remove(trial.number)
            if not record.is_finished:
                self._taken.discard(trial.replicate_key)  # it may be added from now on
                if trial.replicate_key in self._by_replicate:
                    self._queue.append(self._by_replicate[trial.replicate_key])
        return is_new or record.outcome is not None

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Returns False: no trial is pruned."""
        return False

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Appends a trial that is to be retried to the list."""
        if should_requeue(outcome):
            self._queue.append(trial)

    def cancel_cause(self, trial: Trial) -> Cause | None:
        """Returns None: its trials end by themselves."""
        return None
