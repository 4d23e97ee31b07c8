"""What a display counts while a session runs, in numbers and words. Draws nothing itself."""

from __future__ import annotations

from search.cli.eta import DurationEstimator
from search.records.record import NO_ENGINE, StudyRecord
from search.session.plan import Plan
from search.study.search_source import final_trials
from search.study.time_budget import TimeBudget
from search.study.verification import FULL_TO_TRAINING_RATIO
from search.trial import BASELINE, PROPOSED, EpochReport, Outcome, Phase, State, Trial


class ProgressState:
    """What a display needs to know of a session so far.

    Args:
        plan: What is done.
        record: What earlier sessions found.
        budget: The time account.
    """

    def __init__(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        self.plan, self.budget = plan, budget
        self.running: dict[tuple[Phase, int], tuple[Trial, int]] = {}
        self.trials_ended, self.trials_started = len(final_trials(record)), 0
        self.verification_runs: int | None = None
        self.verification_runs_ended = 0
        self.is_exhausted = False
        self.goal_reason = ""
        self.incomplete_verification: tuple[int, int] | None = None
        self.best_error_percent: float | None = None
        self.baseline_error_percent: float | None = None
        self._complete = 0
        searched = [
            trial_record for trial_record in record.trials_in_phase(Phase.SEARCH) if trial_record.outcome is not None
        ]
        self.epochs_trained = sum(
            trial_record.outcome.epochs_trained for trial_record in searched if trial_record.outcome
        )
        self._estimator = DurationEstimator(
            plan.concurrent_trials,
            recorded_outcomes=[trial_record.outcome for trial_record in final_trials(record) if trial_record.outcome],
        )
        for trial_record in searched:
            if trial_record.outcome is not None:
                self._update_best(trial_record.trial, trial_record.outcome)

    def began(self, trial: Trial) -> None:
        """Counts a trial as running."""
        self.trials_started += 1
        self.running[trial.key] = (trial, 0)
        may_be_pruned = trial.phase is Phase.SEARCH and trial.origin == PROPOSED and self.plan.header.pruner != "none"
        self._estimator.began(trial, self.budget.elapsed_seconds(), is_exempt_from_pruning=not may_be_pruned)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Notes the epoch."""
        self.running[trial.key] = (trial, report.epoch)
        self._estimator.reported(trial, report)

    def finished(self, trial: Trial, outcome: Outcome) -> bool:
        """Counts a trial as ended; returns whether it is the best so far."""
        self.running.pop(trial.key, None)
        self._estimator.finished(trial, outcome, self.budget.elapsed_seconds())
        return self.trial_ended_elsewhere(trial, outcome)

    def trial_ended_elsewhere(self, trial: Trial, outcome: Outcome) -> bool:
        """The same of a trial that another coordinator ran; it says nothing of the pace here."""
        if trial.phase is not Phase.SEARCH:
            self.verification_runs_ended += outcome.is_final
            return False
        self.epochs_trained += outcome.epochs_trained
        self.trials_ended += outcome.is_final
        return self._update_best(trial, outcome)

    def replicating(self, count: int) -> None:
        """Begins to count the runs of a fixed list; their price is the estimate's until the first has ended."""
        self.verification_runs, estimate = count, self.budget.verification_seconds()
        trial_seconds = estimate * min(count, self.plan.concurrent_trials) / count if count and estimate else None
        self._estimator = DurationEstimator(self.plan.concurrent_trials, prior_trial_seconds=trial_seconds)

    def _update_best(self, trial: Trial, outcome: Outcome) -> bool:
        if outcome.state is not State.COMPLETE or outcome.error_percent is None:
            return False
        self._complete += 1
        if trial.origin == BASELINE:
            self.baseline_error_percent = outcome.error_percent
        is_best = self.best_error_percent is None or outcome.error_percent < self.best_error_percent
        self.best_error_percent = outcome.error_percent if is_best else self.best_error_percent
        return is_best

    def eta_seconds(self) -> float | None:
        """Estimates the seconds that are left, verification included; None while nothing is known.

        What is asked for at the mean price of a trial so far, or the rest of the time budget where that is less.
        """
        timeout, now = self.plan.settings.timeout, self.budget.elapsed_seconds()
        if self.verification_runs is not None:
            pending = self.verification_runs - self.verification_runs_ended - len(self.running)
            bounds = [self._estimator.remaining_seconds(pending, now)]
        else:
            verification = self._verification_seconds()
            trials = [pending for pending in self._pending_trials() if pending is not None]
            searches = [self._estimator.remaining_seconds(pending, now) for pending in trials]
            if timeout is not None:
                searches.append(max(0.0, timeout - now - self.budget.reserved_seconds()))
            bounds = [None if search is None else search + verification for search in searches]
        if timeout is not None and (self.verification_runs is None or self.budget.includes_verification):
            bounds.append(max(0.0, timeout - now))
        return min((bound for bound in bounds if bound is not None), default=None)

    def _pending_trials(self) -> tuple[float | None, float | None]:
        """Returns how many search trials have not begun, by the bound on trials and by that on epochs."""
        settings, running = self.plan.settings, [trial for trial, _ in self.running.values()]
        trials = None if settings.trials is None else max(0, settings.trials - self.trials_ended - len(running))
        if settings.total_epochs is None:
            return trials, None
        remaining_epochs = settings.total_epochs - self.epochs_trained - sum(trial.last_epoch for trial in running)
        return trials, max(0.0, remaining_epochs / (self._estimator.mean_trial_epochs() or settings.epochs))

    def _verification_seconds(self) -> float:
        """Returns what verification will take; before any trial has ended, what all its runs take at this pace."""
        if not self.budget.includes_verification:
            return 0.0
        settings, estimate, trial_seconds = (
            self.plan.settings,
            self.budget.verification_seconds(),
            self._estimator.mean_trial_seconds(),
        )
        finalists = settings.finalists if settings.trials is None else min(settings.finalists, settings.trials - 1)
        if estimate:
            measured = min(self._complete, finalists + 1)  # the estimate is for those that there are already
            return estimate * (finalists + 1) / max(1, measured)
        if trial_seconds is None:
            return 0.0
        return (
            (finalists + 1) * settings.replicates * trial_seconds * FULL_TO_TRAINING_RATIO / self.plan.concurrent_trials
        )

    def status_line(self) -> str:
        """Returns the live line; with two workers it fits into 80 columns."""
        if self.budget.is_interrupted:
            return "stopping in good order; once more to stop at once"
        if self.budget.is_exhausted:
            return "the time is over; stopping"
        parts = [
            f"{self.trials_ended} done"
            if self.verification_runs is None
            else f"{self.verification_runs_ended}/{self.verification_runs} runs"
        ]
        if self.running:
            parts.append("epoch " + ", ".join(f"{epoch}/{trial.last_epoch}" for trial, epoch in self.running.values()))
        if self.best_error_percent is not None:
            gain = (
                f" ({self.best_error_percent - self.baseline_error_percent:+.2f} to baseline)"
                if self.baseline_error_percent is not None
                else ""
            )
            parts.append(f"best {self.best_error_percent:.2f} %{gain}")
        eta, about = self.eta_seconds(), "at most " if self._has_open_goal else "~"
        parts.append(
            format_clock(self.budget.elapsed_seconds())
            + (f", {about}{format_clock(eta)} left" if eta is not None else "")
        )
        return "  ".join(parts)

    @property
    def _has_open_goal(self) -> bool:
        return bool(self.plan.settings.stop_when) and self.verification_runs is None

    def closing_message(self) -> str:
        """Returns what is to be said at the end beside the results; mostly nothing."""
        if self.incomplete_verification is not None:
            missing, seconds = self.incomplete_verification
            return (
                f"The time did not suffice for verification: {missing} of its runs {'is' if missing == 1 else 'are'} "
                f"missing. The same command with --timeout {seconds}s finishes it."
            )
        if self.goal_reason:
            return f"The search ended at its goal: {self.goal_reason}."
        if self.is_exhausted:
            return "Every configuration of the space was tried."
        if self.trials_started or self.budget.is_interrupted:
            return ""
        if self.budget.is_exhausted:
            return "Nothing left to do: the time budget is used up. Raise --timeout to go on."
        more = "--repeats" if self.plan.header.engine == NO_ENGINE else "--trials, --total-epochs or --timeout"
        return f"Nothing left to do: everything asked for is recorded. Raise {more} to go on."


def format_clock(seconds: float) -> str:
    """Returns seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
