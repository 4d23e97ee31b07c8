"""The search, and beside it the test runs that are needed whatever it finds: those of the baseline and the best recipe.

Their first runs precede what the engine proposes, so that every run ends with something verified. Their further runs
keep workers busy while the last trials of the search end. Called by ``search.session``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from search.records.record import TrialRecord
from search.study.checkpoint_store import CheckpointStore
from search.study.search_source import SearchSource
from search.study.verification import ReplicateSource
from search.trial import BASELINE, Cause, EpochReport, Outcome, Phase, Trial


class CombinedSource:
    """A search and its early verification; a ``search.study.interfaces.TrialSource``.

    Args:
        search: The search.
        verification: Runs the test runs; without any at first.
        early_trials: Returns the first test runs of the baseline and the best recipe, of those whose search trials have
            ended, that are not finished.
        further_trials: Returns the test runs for workers for which the search has nothing, by urgency. Only the first
            is begun for each such worker: when another one is free, other runs may be more urgent.
        stop_cause: Returns why the search must end while test runs go on, or None.
        restart_cause: Returns why a trial of the search must begin again, or None.
    """

    phases = (Phase.SEARCH, Phase.VERIFICATION)

    def __init__(
        self,
        search: SearchSource,
        verification: ReplicateSource,
        *,
        early_trials: Callable[[], Sequence[Trial]],
        further_trials: Callable[[], Sequence[Trial]],
        stop_cause: Callable[[], Cause | None],
        restart_cause: Callable[[Trial], Cause | None] = lambda trial: None,
    ) -> None:
        self._stop_cause, self._restart_cause = stop_cause, restart_cause
        self._search, self._verification = search, verification
        self._early_trials, self._further_trials = early_trials, further_trials
        # Whether a test run may have become due, of those that come first and of the others.
        self._has_news, self._has_other_news = True, True

    @property
    def checkpoints(self) -> CheckpointStore | None:
        """Those of the search."""
        return self._search.checkpoints

    @property
    def running_elsewhere(self) -> int:
        """How many trials other coordinators run."""
        return self._search.running_elsewhere + self._verification.running_elsewhere

    def next(self) -> Trial | None:
        """Returns a first test run that is due, else a trial of the search, else a further test run."""
        if self._has_news:
            self._verification.add(self._early_trials())
            self._has_news = False
        trial = self._verification.next()
        if trial is None and self._stop_cause() is None:
            trial = self._search.next()
        if trial is None and self._has_other_news:
            self._verification.add(self._further_trials(), most=1)
            trial = self._verification.next()
            self._has_other_news = trial is not None
        return trial

    def undo_next(self, trial: Trial) -> None:
        """Takes back the last trial."""
        self._of(trial).undo_next(trial)

    def observe(self, record: TrialRecord) -> bool:
        """Passes on what another coordinator has recorded."""
        has_changed = self._of(record.trial).observe(record)
        self._note(record.trial)
        return has_changed

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Passes on an epoch; returns whether to prune the trial."""
        return self._of(trial).report(trial, report)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Passes on how a trial ended."""
        self._of(trial).tell(trial, outcome)
        self._note(trial)

    def cancel_cause(self, trial: Trial) -> Cause | None:
        """Returns why a running trial of the search must be cancelled, or None."""
        return self._stop_cause() or self._restart_cause(trial) if trial.phase is Phase.SEARCH else None

    def _note(self, trial: Trial) -> None:
        """Notes that a trial changed: the baseline and the recipes have test runs that come first."""
        self._has_other_news = True
        self._search.ask_again()
        self._has_news = self._has_news or trial.origin == BASELINE or trial.is_recipe

    def _of(self, trial: Trial) -> SearchSource | ReplicateSource:
        return self._search if trial.phase is Phase.SEARCH else self._verification
