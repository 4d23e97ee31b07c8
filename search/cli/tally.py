"""What a display counts while a session runs, in numbers and words. Draws nothing itself."""

from __future__ import annotations

from search.cli.eta import Pace
from search.records.record import StudyRecord
from search.session.planning import NO_ENGINE, Plan
from search.study.budget import Budget
from search.study.sources import settled
from search.study.verification import ALL_OVER_TRAINING_SHARE
from search.trial import BASELINE, FOUND, EpochReport, Outcome, Phase, State, Trial


class Tally:
    """What a display needs to know of a session so far.

    Args:
        plan: What is done.
        record: What earlier sessions found.
        budget: The time account.
    """

    def __init__(self, plan: Plan, record: StudyRecord, budget: Budget) -> None:
        self.plan, self.budget = plan, budget
        self.running: dict[tuple[Phase, int], tuple[Trial, int]] = {}
        self.ended, self.begun = len(settled(record)), 0
        self.replicas: int | None = None
        self.replicated = 0
        self.is_exhausted = False
        self.goal = ""
        self.cut: tuple[int, int] | None = None
        self.best: float | None = None
        self.baseline: float | None = None
        self._complete = 0
        searched = [known for known in record.phase(Phase.SEARCH) if known.outcome is not None]
        self.epochs = sum(known.outcome.epochs_trained for known in searched if known.outcome)
        self._pace = Pace(plan.abreast, recorded=[known.outcome for known in settled(record) if known.outcome])
        for known in searched:
            if known.outcome is not None:
                self._judge(known.trial, known.outcome)

    def began(self, trial: Trial) -> None:
        """Counts a trial as running."""
        self.begun += 1
        self.running[trial.key] = (trial, 0)
        may_be_pruned = trial.phase is Phase.SEARCH and trial.origin == FOUND and self.plan.header.pruner != "none"
        self._pace.began(trial, self.budget.spent(), is_pruned_never=not may_be_pruned)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Notes the epoch."""
        self.running[trial.key] = (trial, report.epoch)
        self._pace.reported(trial, report)

    def finished(self, trial: Trial, outcome: Outcome) -> bool:
        """Counts a trial as ended; returns whether it is the best so far."""
        self.running.pop(trial.key, None)
        self._pace.finished(trial, outcome, self.budget.spent())
        return self.heard(trial, outcome)

    def heard(self, trial: Trial, outcome: Outcome) -> bool:
        """The same of a trial that another coordinator ran; it says nothing of the pace here."""
        if trial.phase is not Phase.SEARCH:
            self.replicated += outcome.is_settled
            return False
        self.epochs += outcome.epochs_trained
        self.ended += outcome.is_settled
        return self._judge(trial, outcome)

    def replicating(self, count: int) -> None:
        """Begins to count the runs of a fixed list; their price is the estimate's until the first has ended."""
        self.replicas, estimate = count, self.budget.verification_seconds()
        price = estimate * min(count, self.plan.abreast) / count if count and estimate else None
        self._pace = Pace(self.plan.abreast, price=price)

    def _judge(self, trial: Trial, outcome: Outcome) -> bool:
        if outcome.state is not State.COMPLETE or outcome.error_percent is None:
            return False
        self._complete += 1
        if trial.origin == BASELINE:
            self.baseline = outcome.error_percent
        is_best = self.best is None or outcome.error_percent < self.best
        self.best = outcome.error_percent if is_best else self.best
        return is_best

    def eta_seconds(self) -> float | None:
        """Estimates the seconds that are left, verification included; None while nothing is known.

        What is asked for at the mean price of a trial so far, or the rest of the time budget where that is less.
        """
        timeout, now = self.plan.settings.timeout, self.budget.spent()
        if self.replicas is not None:
            waiting = self.replicas - self.replicated - len(self.running)
            bounds = [self._pace.left(waiting, now)]
        else:
            verification = self._verification_seconds()
            trials = [waiting for waiting in self._trials_waiting() if waiting is not None]
            searches = [self._pace.left(waiting, now) for waiting in trials]
            if timeout is not None:
                searches.append(max(0.0, timeout - now - self.budget.reserved()))
            bounds = [None if search is None else search + verification for search in searches]
        if timeout is not None and (self.replicas is None or self.budget.includes_verification):
            bounds.append(max(0.0, timeout - now))
        return min((bound for bound in bounds if bound is not None), default=None)

    def _trials_waiting(self) -> tuple[float | None, float | None]:
        """Returns how many search trials have not begun, by the bound on trials and by that on epochs."""
        settings, running = self.plan.settings, [trial for trial, _ in self.running.values()]
        trials = None if settings.trials is None else max(0, settings.trials - self.ended - len(running))
        if settings.total_epochs is None:
            return trials, None
        left = settings.total_epochs - self.epochs - sum(trial.last_epoch for trial in running)
        return trials, max(0.0, left / (self._pace.epochs() or settings.epochs))

    def _verification_seconds(self) -> float:
        """Returns what verification will take; before any trial has ended, what all its runs take at this pace."""
        if not self.budget.includes_verification:
            return 0.0
        settings, estimate, price = self.plan.settings, self.budget.verification_seconds(), self._pace.price()
        finalists = settings.finalists if settings.trials is None else min(settings.finalists, settings.trials - 1)
        if estimate:
            known = min(self._complete, finalists + 1)  # the estimate is for those that there are already
            return estimate * (finalists + 1) / max(1, known)
        if price is None:
            return 0.0
        return (finalists + 1) * settings.replicates * price * ALL_OVER_TRAINING_SHARE / self.plan.abreast

    def line(self) -> str:
        """Returns the live line; with two workers it fits into 80 columns."""
        if self.budget.is_stopping:
            return "stopping in good order; once more to stop at once"
        if self.budget.is_over:
            return "the time is over; stopping"
        parts = [f"{self.ended} done" if self.replicas is None else f"{self.replicated}/{self.replicas} runs"]
        if self.running:
            parts.append("epoch " + ", ".join(f"{epoch}/{trial.last_epoch}" for trial, epoch in self.running.values()))
        if self.best is not None:
            gain = f" ({self.best - self.baseline:+.2f} to baseline)" if self.baseline is not None else ""
            parts.append(f"best {self.best:.2f} %{gain}")
        eta, about = self.eta_seconds(), "at most " if self._may_reach_a_goal else "~"
        parts.append(clock(self.budget.spent()) + (f", {about}{clock(eta)} left" if eta is not None else ""))
        return "  ".join(parts)

    @property
    def _may_reach_a_goal(self) -> bool:
        return bool(self.plan.settings.stop_when) and self.replicas is None

    def farewell(self) -> str:
        """Returns what is to be said at the end beside the results; mostly nothing."""
        if self.cut is not None:
            missing, seconds = self.cut
            return (
                f"The time did not suffice for verification: {missing} of its runs {'is' if missing == 1 else 'are'} "
                f"missing. The same command with --timeout {seconds}s finishes it."
            )
        if self.goal:
            return f"The search ended at its goal: {self.goal}."
        if self.is_exhausted:
            return "Every configuration of the space was tried."
        if self.begun or self.budget.is_stopping:
            return ""
        if self.budget.is_over:
            return "Nothing left to do: the time budget is used up. Raise --timeout to go on."
        more = "--repeats" if self.plan.header.engine == NO_ENGINE else "--trials, --total-epochs or --timeout"
        return f"Nothing left to do: everything asked for is recorded. Raise {more} to go on."


def clock(seconds: float) -> str:
    """Returns seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
