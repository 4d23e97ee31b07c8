"""The state of a running session as a display shows it: counts, the best error, the time left. Draws nothing."""

from __future__ import annotations

from itertools import groupby
from statistics import fmean

from search.cli.eta import DurationEstimator
from search.engines.registry import screens
from search.records.record import NO_ENGINE, StudyRecord, TrialRecord
from search.session.costs import PlanCosts
from search.session.forecast import Forecast, make_forecast, planned_verification, uses_all_time, waiting_seconds
from search.session.plan import Plan
from search.study.search_source import final_trials
from search.study.time_budget import TimeBudget
from search.study.verification import verification_trials
from search.trial import BASELINE, PROPOSED, EpochReport, Outcome, Phase, State, Trial

LINE_WIDTH = 80
"""Characters of a terminal's line; a live line that would be longer leaves out ``TO_BASELINE``."""
TO_BASELINE = " to baseline"


class ProgressState:
    """The state of a session so far.

    Args:
        plan: The session's plan.
        record: The trials of earlier sessions.
        budget: The time budget.
    """

    def __init__(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        self.plan, self.budget = plan, budget
        self.running: dict[tuple[Phase, int], tuple[Trial, int]] = {}
        self.trials_started = 0
        self._record = {entry.trial.key: entry for entry in record.trials}
        self._has_short_trials = screens(plan.header.engine, plan.header.sampler, plan.header.pruner)
        self.verification_runs: int | None = None
        self.verification_runs_ended = 0
        self.is_exhausted = False
        self.goal_reason = ""
        self.incomplete_verification: tuple[int, int] | None = None
        self.best_error_percent: float | None = None
        self.baseline_error_percent: float | None = None
        self.epochs_trained = 0
        self._needed_runs: tuple[Trial, ...] = ()
        self._prior_costs = PlanCosts.of(plan)
        self._begun_origins = {trial_record.trial.origin for trial_record in record.trials}
        self._observations = self._prior_costs.observe(record.trials)
        self._costs = self._prior_costs.after(self._observations.values())
        is_known = self._costs.is_observed
        sampled = [entry for entry in final_trials(record) if entry.trial.origin == PROPOSED or not is_known]
        self._estimator = DurationEstimator(
            plan.concurrent_trials,
            recorded_outcomes=[entry.outcome for entry in sampled if entry.outcome],
            expected_trial_seconds=self._expected_seconds(),
        )
        for trial_record in record.trials_in_phase(Phase.SEARCH):
            if trial_record.outcome is not None:
                self.epochs_trained += trial_record.outcome.epochs_trained
                self._update_best(trial_record.trial, trial_record.outcome)

    @property
    def trials_ended(self) -> int:
        """Search trials that have ended, short ones included."""
        return len(self._ended())

    @property
    def short_trials_ended(self) -> int:
        """Short search trials that have ended."""
        return sum(entry.trial.is_short for entry in self._ended())

    def _ended(self) -> list[TrialRecord]:
        return final_trials(self._study_record())

    def _study_record(self) -> StudyRecord:
        return StudyRecord(header=self.plan.header, trials=tuple(self._record.values()))

    def forecast(self) -> Forecast:
        """Returns what the rest of the budget buys."""
        starting = 0.0 if self.trials_started else self.plan.parallelism.start_seconds
        elapsed_seconds = self.budget.elapsed_seconds() + starting
        return make_forecast(self._costs, self._study_record(), elapsed_seconds=elapsed_seconds)

    def record_start(self, trial: Trial) -> None:
        """Counts a trial as running."""
        self.trials_started += 1
        self._record[trial.key] = TrialRecord(trial=trial, outcome=None)
        self.running[trial.key] = (trial, 0)
        may_be_pruned = trial.phase is Phase.SEARCH and trial.origin == PROPOSED and self.plan.header.pruner != "none"
        self._begun_origins.add(trial.origin)
        self._estimator.record_start(
            trial,
            self.budget.elapsed_seconds(),
            is_exempt_from_pruning=not may_be_pruned,
            predicted_seconds=self._costs.trial_seconds(trial) if self._costs.is_observed else None,
        )

    def record_epoch(self, trial: Trial, report: EpochReport) -> None:
        """Records an epoch."""
        self.running[trial.key] = (trial, report.epoch)
        self._estimator.record_epoch(trial, report)
        if not self._costs.is_observed:  # the first epoch of all; later ones count when their trials end
            self._observe(trial, Outcome(state=State.INTERRUPTED, history=(report,)))

    def record_end(self, trial: Trial, outcome: Outcome) -> bool:
        """Counts a trial as ended; returns whether it is the best so far."""
        self.running.pop(trial.key, None)
        self._estimator.record_end(trial, outcome, self.budget.elapsed_seconds())
        self._observe(trial, outcome)
        return self.record_end_elsewhere(trial, outcome)

    def record_end_elsewhere(self, trial: Trial, outcome: Outcome) -> bool:
        """Counts a trial that another coordinator ran; it does not change the estimated durations."""
        self._record[trial.key] = TrialRecord(trial=trial, outcome=outcome)
        if trial.phase is not Phase.SEARCH:
            self.verification_runs_ended += outcome.is_final
            return False
        self.epochs_trained += outcome.epochs_trained
        return self._update_best(trial, outcome)

    def start_replication(self, count: int) -> None:
        """Starts counting a fixed number of runs; the budget's estimate prices them until the first has ended."""
        self.verification_runs, self.verification_runs_ended = count, 0  # others ran beside the search
        self._needed_runs = self._listed_runs(count)
        estimate = self.budget.verification_seconds()
        trial_seconds = estimate * min(count, self.plan.concurrent_trials) / count if count and estimate else None
        if trial_seconds is None and self._costs.is_observed and self.plan.header.engine == NO_ENGINE:
            trial_seconds = self._costs.baseline_seconds(Phase.REPRODUCTION)
        is_repeated = self.plan.header.engine == NO_ENGINE
        self._estimator = DurationEstimator(
            self.plan.concurrent_trials,
            phase=Phase.REPRODUCTION if is_repeated else Phase.VERIFICATION,
            expected_trial_seconds=trial_seconds,
        )

    def _listed_runs(self, count: int) -> tuple[Trial, ...]:
        """Returns this many test runs that are not finished; none where they are the baseline's repeats."""
        record, finalists = self._study_record(), self.plan.settings.finalists
        lists = (verification_trials(record, count=finalists, replicates=index + 1) for index in range(count))
        return next((tuple(runs[:count]) for runs in lists if len(runs) >= count), ())

    def _observe(self, trial: Trial, outcome: Outcome) -> None:
        """Corrects the predicted costs by what a trial took."""
        self._observations |= self._prior_costs.observe([TrialRecord(trial=trial, outcome=outcome)])
        self._costs = self._prior_costs.after(self._observations.values())
        if self.verification_runs is None:
            self._estimator.expected_trial_seconds = self._expected_seconds()

    def _expected_seconds(self) -> float | None:
        """Returns the mean seconds of sampled trials; None while nothing is known about this machine."""
        return fmean(self._costs.sampled_seconds()) if self._costs.is_observed else None

    def _update_best(self, trial: Trial, outcome: Outcome) -> bool:
        if outcome.state is not State.COMPLETE or outcome.error_percent is None:
            return False
        if trial.origin == BASELINE:
            self.baseline_error_percent = outcome.error_percent
        if not self.plan.header.may_choose(outcome.parameter_count):
            return False
        is_best = self.best_error_percent is None or outcome.error_percent < self.best_error_percent
        self.best_error_percent = outcome.error_percent if is_best else self.best_error_percent
        return is_best

    def eta_seconds(self) -> float | None:
        """Estimates the seconds that are left, verification included; None without a known duration.

        The pending trials at the mean duration of a trial so far, or the rest of the time budget if that is less. Where
        verification takes the rest of the time with further seeds, that is what is left. Short and full trials have no
        common mean: what is left of them is forecast from their predicted costs.
        """
        settings, now = self.plan.settings, self.budget.elapsed_seconds()
        timeout = settings.timeout
        if timeout is not None and self.plan.has_verification and uses_all_time(settings):
            return max(0.0, timeout - now)
        if self.verification_runs is not None:
            bounds = [self._replication_seconds(now)]
        elif self._has_short_trials:
            bounds = [self._forecast_seconds(now) if self._costs.is_observed else None]
        else:
            verification = self._verification_seconds()
            searches = [
                self._estimator.remaining_seconds(pending, now, predicted_seconds=self._first_trials_seconds())
                for pending in self._pending_trials()
                if pending is not None
            ]
            if timeout is not None:
                searches.append(max(0.0, timeout - now - self.budget.reserved_seconds()))
            bounds = [None if search is None else search + verification for search in searches]
        if timeout is not None and (self.verification_runs is None or self.budget.includes_verification):
            bounds.append(max(0.0, timeout - now))
        return min((bound for bound in bounds if bound is not None), default=None)

    def _replication_seconds(self, now: float) -> float | None:
        """Returns the seconds of the test runs, or of the baseline's repeats, that are needed."""
        assert self.verification_runs is not None
        workers, runs = self.plan.concurrent_trials, self._needed_runs
        if not runs or not self._costs.is_observed:
            pending = max(0, self.verification_runs - self.verification_runs_ended - len(self.running))
            return self._estimator.remaining_seconds(pending, now)
        waiting = waiting_seconds(self._costs, self._study_record(), runs)
        # While the last runs end, some workers are idle: on average half a run each.
        tail = waiting and fmean(map(self._costs.trial_seconds, runs)) / 2 * (workers - 1) / workers
        return (waiting + self._estimator.running_seconds(now)) / workers + tail

    def _forecast_seconds(self, now: float) -> float:
        """Returns the seconds that the running trials, the forecast ones and the test runs take."""
        forecast = self.forecast()
        running = self._estimator.running_seconds(now) / self.plan.concurrent_trials
        return running + forecast.search_seconds + forecast.verification_seconds

    def _pending_trials(self) -> tuple[float | None, float | None]:
        """Returns how many search trials have not begun, by the bound on trials and by the bound on epochs."""
        settings = self.plan.settings
        running = [trial for trial, _ in self.running.values() if trial.phase is Phase.SEARCH]
        trials = None if settings.trials is None else max(0, settings.trials - self.trials_ended - len(running))
        if (total_epochs := self.plan.total_epochs) is None:
            return trials, None
        remaining_epochs = total_epochs - self.epochs_trained - sum(trial.last_epoch for trial in running)
        return trials, max(0.0, remaining_epochs / (self._estimator.mean_trial_epochs() or settings.epochs))

    def _verification_seconds(self) -> float:
        """Estimates the seconds of the test runs that have not begun, from the predicted costs."""
        if not self.budget.includes_verification:
            return 0.0
        if not self._costs.is_observed:
            return 0.0
        return planned_verification(self._costs, self._study_record(), epochs=self.plan.settings.epochs)[1]

    def _first_trials_seconds(self) -> list[float]:
        """Returns the seconds of the recipes that have not begun; they precede what the sampler proposes."""
        if not self._costs.is_observed:
            return []
        seconds = self._costs.recipe_seconds()
        return [seconds[name] for name in seconds if f"recipe: {name}" not in self._begun_origins]

    def status_line(self) -> str:
        """Returns the live line; with two workers it fits into 80 columns."""
        if self.budget.is_interrupted:
            return "stopping gracefully; press Ctrl-C again to stop at once"
        if self.budget.is_exhausted:
            return "the time budget is used up; stopping"
        is_search = self.verification_runs is None
        parts = [self._counts() if is_search else self._runs(), *self._epochs(), *self._best()]
        elapsed, eta = format_clock(self.budget.elapsed_seconds()), self.eta_seconds()
        about = "at most " if self.plan.settings.stop_when and is_search else "~"
        parts.append(elapsed if eta is None else f"{elapsed}, {about}{format_clock(eta)} left")
        line = "  ".join(parts)
        return line if len(line) <= LINE_WIDTH else line.replace(TO_BASELINE, "")

    def _best(self) -> list[str]:
        """Returns "best 0.52 % (-0.49 to baseline)", of full trials; empty before the first."""
        best, baseline = self.best_error_percent, self.baseline_error_percent
        if best is None:
            return []
        difference = "" if baseline is None else f" ({best - baseline:+.2f}{TO_BASELINE})"
        return [f"best {best:.2f} %{difference}"]

    def _counts(self) -> str:
        """Returns how many search trials have ended: "12 done", or "5 full, 24 short"."""
        if not self._has_short_trials:
            return f"{self.trials_ended} done"
        short = self.short_trials_ended
        return f"{self.trials_ended - short} full, {short} short"

    def _runs(self) -> str:
        """Returns how many of the test runs have ended; further seeds may follow the needed ones."""
        assert self.verification_runs is not None
        return f"{self.verification_runs_ended}/{max(self.verification_runs, self.verification_runs_ended)} runs"

    def _epochs(self) -> list[str]:
        """Returns the epochs of the running trials: "epoch 3/10, 4/10", or "short 1/2, test 4/10" where kinds mix."""
        running = sorted(self.running.values(), key=lambda entry: self._kind(entry[0]))
        groups = groupby(running, key=lambda entry: self._kind(entry[0]))
        texts = [
            f"{kind} {', '.join(f'{epoch}/{trial.last_epoch}' for trial, epoch in group)}" for kind, group in groups
        ]
        return [", ".join(texts)] if texts else []

    def _kind(self, trial: Trial) -> str:
        """Returns what a running trial is called."""
        if self.verification_runs is not None:
            return "epoch"
        if trial.phase is not Phase.SEARCH:
            return "test"
        return "epoch" if not self._has_short_trials else "short" if trial.is_short else "full"

    def closing_message(self) -> str:
        """Returns the message at the end of a session; mostly empty."""
        if self.incomplete_verification is not None:
            missing, seconds = self.incomplete_verification
            return (
                f"Verification is incomplete: {missing} of its runs {'is' if missing == 1 else 'are'} missing. "
                f"The same command with --timeout {seconds}s finishes it."
            )
        if self.goal_reason:
            return f"The search ended at its goal: {self.goal_reason}."
        if self.is_exhausted:
            return "Every configuration of the space was tried."
        if self.trials_started or self.budget.is_interrupted:
            return ""
        if self.budget.is_exhausted:
            return "Nothing left to do: the time budget is used up. Raise --timeout to continue."
        options = "--repeats" if self.plan.header.engine == NO_ENGINE else "--trials, --total-epochs or --timeout"
        return f"Nothing left to do: all requested trials are recorded. Raise {options} to continue."


def format_clock(seconds: float) -> str:
    """Returns seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
