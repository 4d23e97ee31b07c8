"""Test runs of the baseline that another study has made: a study takes them over, and spends no time on them.

A run is taken over where training it here would repeat it: the same configuration, protocol and data, on the same
kind of machine with the same versions and arithmetic. It keeps its seed, so that it is a true run of it; test runs of
other rows have seeds of their own. The record names the study that ran it. ``search.session.session`` uses it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from search.errors import SearchError
from search.records.ledger import Ledger
from search.records.reader import read_study
from search.records.record import StudyRecord, TrialRecord
from search.reproduction.comparison import environment_changes
from search.session.callbacks import Callback
from search.session.plan import Plan
from search.study.verification import ReplicateSource, early_verification_trials
from search.trial import BASELINE, COPIED_FROM_KEY, Phase, State, config_key
from spaces import registry
from spaces.training import complete


class EarlierRuns:
    """Takes test runs of the baseline over from the other studies in the same place, once it has been trained.

    It does nothing where ``--replicates`` asks for fresh seeds, and in a shared study.

    Args:
        plan: The run.
        ledger: Its records.
        callback: Is told.
    """

    def __init__(self, plan: Plan, ledger: Ledger, callback: Callback) -> None:
        self._plan, self._ledger, self._callback = plan, ledger, callback
        self._is_over = plan.settings.replicates is not None or ledger.is_shared

    def take_over(self, source: ReplicateSource) -> None:
        """Records the runs that can be taken over; the source then leaves them out."""
        if self._is_over or not early_verification_trials(record := self._ledger.read(), 1):
            return
        baselines = [entry for entry in record.trials_in_phase(Phase.SEARCH) if entry.trial.origin == BASELINE]
        if not any(entry.state is State.COMPLETE for entry in baselines):
            return
        self._is_over = True
        runs = earlier_baseline_runs(record, self._others(), replicates=self._plan.settings.usual_replicates)
        for run in runs:
            assert run.outcome is not None
            self._ledger.begin(run.trial)
            self._ledger.finish(run.trial, run.outcome)
            source.observe(run)
            self._callback.on_trial_end_elsewhere(run.trial, run.outcome)
        for name, count in Counter(run.copied_from for run in runs).items():
            self._callback.on_message(
                f"Baseline: {count} test run{'s' if count > 1 else ''} taken over from study {name}, which has equal "
                "data, protocol, versions and machine."
            )

    def _others(self) -> Iterator[StudyRecord]:
        """Yields the other studies that can be read, by name."""
        location = self._plan.location
        for name in location.study_names():
            if name != self._ledger.header.name:
                with contextlib.suppress(SearchError):  # it has just begun, is damaged, or of a newer version
                    yield read_study(location, name)


def earlier_baseline_runs(record: StudyRecord, others: Iterable[StudyRecord], *, replicates: int) -> list[TrialRecord]:
    """Returns the test runs that a study can take over, numbered as its next ones.

    Args:
        record: The study; its baseline's search trial tells what it runs on.
        others: Other studies.
        replicates: How many test runs of the baseline are needed.
    """
    needed = [run for run in early_verification_trials(record, replicates) if run.origin == BASELINE]
    if not needed or needed[0].is_short:
        return []
    tested = record.trials_in_phase(Phase.VERIFICATION)
    begun = {run.trial.replicate_key for run in tested}
    seeds = {run.trial.seed for run in tested if run.trial.origin == BASELINE}
    runs = (run for other in others for run in _equal_runs(record, other))
    fresh = {run.trial.seed: run for run in runs if run.trial.seed not in seeds}
    free = [trial for trial in needed if trial.replicate_key not in begun]
    return [
        replace(run, trial=replace(trial, number=number, seed=run.trial.seed))
        for number, (trial, run) in enumerate(zip(free, fresh.values(), strict=False), start=len(tested))
    ]


def _equal_runs(record: StudyRecord, other: StudyRecord) -> Iterator[TrialRecord]:
    """Yields another study's complete test runs of the baseline that this study would repeat bit for bit."""
    ours, theirs = record.header, other.header
    is_same = all(getattr(ours, name) == getattr(theirs, name) for name in ("protocol", "space_source", "versions"))
    # What builds the networks of a user's file may have changed since.
    if ours.name == theirs.name or not is_same or ours.space_source not in registry.SPACES:
        return
    searched = (entry for entry in record.trials_in_phase(Phase.SEARCH) if entry.state is State.COMPLETE)
    baseline = next(entry for entry in searched if entry.trial.origin == BASELINE)
    for run in other.trials_in_phase(Phase.VERIFICATION):
        configs = (config_key(complete(each.trial.config)) for each in (run, baseline))  # parameters came since
        is_equal = len(set(configs)) == 1 and not run.trial.is_short
        if run.outcome is None or run.state is not State.COMPLETE or not is_equal or run.copied_from:
            continue
        if not run.environment or environment_changes(run.environment, baseline.environment):
            continue
        environment = {**run.environment, COPIED_FROM_KEY: theirs.name}
        yield replace(run, outcome=replace(run.outcome, elapsed_seconds=None, environment=environment))
