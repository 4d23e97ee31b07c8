"""What still fits into the time of a run: trials of the search, and the test runs that must follow.

A session has one timetable, which alone reads the ledger for its plans. Without a time limit everything fits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from search.records.ledger import Ledger
from search.records.record import TrialRecord
from search.session.callbacks import Callback
from search.session.costs import PlanCosts
from search.session.first_trials import FirstTrials
from search.session.plan import Plan
from search.session.settings import DEFAULT_REPLICATES, Settings
from search.study.time_budget import CLOSING_SECONDS, MARGIN, STOP_SECONDS
from search.study.verification import (
    finalists,
    known_finalists,
    makespan,
    running_replicates,
    verification_trials,
)
from search.trial import BASELINE, Cause, Config, EpochReport, Outcome, Phase, Trial, config_key

VERIFICATION_SHARE = 0.25
"""Share of the time that decides how many replicates are planned; one in any case."""
WAITING_MARGIN = 1.5
"""How much slower the machine may become before a run ends without a test run of the best recipe."""
REFRESH_SECONDS = 2.0
"""Least time between two readings of the ledger while no trial begins or ends."""


class Timetable(Callback):
    """Decides what can be begun. Between two starts or ends of trials it reads the ledger only now and then.

    Args:
        plan: The run, with its workers.
        ledger: Its records.
        elapsed_seconds: Returns the seconds of all sessions so far.
        notify: Receives a message for the user.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        *,
        elapsed_seconds: Callable[[], float],
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._plan, self._ledger, self._elapsed_seconds, self._notify = plan, ledger, elapsed_seconds, notify
        self._opened_at, self._refreshed_at = elapsed_seconds(), float("-inf")
        self._prior_costs = PlanCosts.of(plan)
        self._first = FirstTrials(plan.header.protocol.epochs)
        self._refresh()

    @property
    def replicates(self) -> int:
        """How many replicates of verification are needed: those of the option, else as the time allows."""
        settings = self._plan.settings
        if settings.replicates is not None or settings.timeout is None:
            return settings.usual_replicates  # without a reading of the ledger
        self._refresh()
        rows = finalists(self._record, settings.finalists)
        configs = {config_key(row.trial.config): row.trial.config for row in rows}
        first = self._costs.first_configs.values()
        configs.update((config_key(config), config) for config in first)
        seconds = list(map(self._verification_seconds, configs.values()))
        # While the best is one of the first, a winner is still to be found, and will be verified beside them.
        seconds += [max(seconds)] * max(0, len(first) + settings.finalists - len(seconds))
        return planned_replicates(settings, sum(seconds), slots=self._plan.concurrent_trials)

    def verification_seconds(self) -> float:
        """Returns the wall-clock seconds of the verification that has not begun; 0 while nothing can be compared.

        It is that of one replicate, unless the option asks for more: what the search must leave in any case.
        """
        self._refresh(force=True)
        if not any(entry.trial.origin == BASELINE for entry in known_finalists(self._record)):
            return 0.0
        replicates = 1 if self._plan.settings.replicates is None else self._plan.settings.replicates
        return self._makespan(map(self._costs.trial_seconds, self._waiting_runs(replicates)))

    def trial_seconds(self, config: Config) -> float:
        """Returns the predicted seconds of a full trial of a configuration."""
        self._refresh()
        return self._costs.model.trial_seconds(config)

    @property
    def recipes(self) -> list[str]:
        """Names of the recipes, in order: the planned ones, and those that are tried if training is faster."""
        planned = list(self._prior_costs.recipes)  # empty where no recipe is wanted, or all take too long
        rest = (name for name in self._plan.header.space.recipes if name not in planned)
        return [*planned, *(rest if planned else ())]

    def is_worth_screening(self, config: Config) -> bool:
        """Returns whether a recipe other than the first is tried; see ``PlanCosts.is_worth_screening``."""
        self._refresh()
        return self._costs.is_worth_screening(config)

    def has_time(self, config: Config, epochs: int) -> bool:
        """Returns whether a search trial of a configuration can end, and the verification of all that is verified.

        Args:
            config: The configuration.
            epochs: Epochs that it is to train, without those of its checkpoint.
        """
        if (left := self._seconds_left()) is None:
            return True
        self._refresh()
        seconds = self._costs.model.trial_seconds(config, epochs=epochs) + self._reserve(config)
        return MARGIN * seconds + STOP_SECONDS <= left  # otherwise the budget would stop it before its end

    def has_time_for_run(self, trial: Trial) -> bool:
        """Returns whether a test run can end.

        A run that cannot is dropped for good, so the seconds in which workers still start, an estimate, do not count.
        The first run of a row needs no margin: the search was cut for it, and nothing else can use the time.
        """
        if (left := self._seconds_left(workers_start=False)) is None or not self._plan.has_verification:
            return True
        self._refresh()
        margin = MARGIN if trial.replicate else 1.0
        return margin * self._costs.trial_seconds(trial) <= left

    def can_wait(self, running: TrialRecord) -> bool:
        """Returns whether the first test run of a search trial can wait for its end, also on a machine that slows down.

        One that is to begin again has no test run of its own.

        Args:
            running: The search trial, which has not ended.
        """
        if (left := self._seconds_left(workers_start=False)) is None or self._first.begins_again(running.trial):
            return True
        self._refresh()
        trained = len(running.reports) / running.trial.epochs
        seconds = (1.0 - trained) * self._costs.trial_seconds(running.trial) + self._costs.model.trial_seconds(
            running.trial.config, epochs=running.trial.epochs, phase=Phase.VERIFICATION
        )
        return WAITING_MARGIN * seconds <= left

    def first_epochs(self, config: Config) -> int:
        """Returns the epochs of the baseline or the first recipe; see ``FirstTrials.epochs``."""
        self._refresh()
        return self._first.epochs(config, self._record, self._costs, self._seconds_left())

    def restart_cause(self, trial: Trial) -> Cause | None:
        """Returns why a running trial must end and begin again with fewer epochs, or None."""
        return Cause.TOO_SLOW if self._first.begins_again(trial) else None

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """Decides whether the first trials must begin again with fewer epochs; see ``FirstTrials.restart``."""
        left = self._seconds_left(workers_start=False)
        if left is None or not self._plan.has_verification or not self._first.may_restart(trial, report, self._costs):
            return
        self._refresh()
        pace = self._first.restart(trial, report, self._record, self._costs, left)
        if pace is not None:
            self._notify(
                f"Training takes {pace:.1f} times as long as measured: the first trials begin again with fewer epochs, "
                "so that the best recipe can be verified in time"
            )

    def on_trial_start(self, trial: Trial) -> None:
        """Has the ledger read again: the trial takes up a worker, and may win."""
        self._refreshed_at = float("-inf")

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Has the ledger read again."""
        self._refreshed_at = float("-inf")

    on_trial_end_elsewhere = on_trial_end

    def _seconds_left(self, *, workers_start: bool = True) -> float | None:
        """Returns the seconds for trials; None without a limit.

        Args:
            workers_start: Whether those in which the workers still start, an estimate, are left out.
        """
        if (timeout := self._plan.settings.timeout) is None:
            return None
        now = self._elapsed_seconds()
        starting = max(0.0, self._plan.parallelism.start_seconds - (now - self._opened_at)) if workers_start else 0.0
        return timeout - now - starting - CLOSING_SECONDS

    def _reserve(self, candidate: Config) -> float:
        """Returns the seconds that must be left when a candidate ends.

        In these the first configurations are trained and verified, and the winner is verified: the candidate, a running
        full trial or the present best, whichever takes the longest.
        """
        if not self._plan.has_verification:
            return 0.0
        settings, replicates = self._plan.settings, self.replicates
        known = {entry.trial.number for entry in known_finalists(self._record)}
        searched = self._record.trials_in_phase(Phase.SEARCH)
        finished = {config_key(entry.trial.config) for entry in searched if entry.is_finished}
        running = [entry.trial for entry in searched if entry.outcome is None and not entry.trial.is_short]
        begun = {config_key(config): config for config in (candidate, *(trial.config for trial in running))}
        first = {config_key(config): config for config in self._costs.first_configs.values()}
        tests = Counter(
            config_key(entry.trial.config)
            for entry in self._record.trials_in_phase(Phase.VERIFICATION)
            if entry.outcome is None or entry.is_finished
        )
        needed = list[float]()
        for key in first.keys() - finished:
            needed += [self._verification_seconds(first[key])] * (replicates - tests[key])
            needed += [] if key in begun else [self._costs.model.trial_seconds(first[key])]
        winners = defaultdict[int | None, list[float]](list)
        for run in self._waiting_runs(replicates):
            (needed if run.source_trial in known else winners[run.source_trial]).append(self._costs.trial_seconds(run))
        possible = [config for key, config in begun.items() if key in finished or key not in first]
        groups = [*winners.values(), *([self._verification_seconds(config)] * replicates for config in possible)]
        longest = sorted(groups, key=sum)[-settings.finalists :]
        return self._makespan([*needed, *(seconds for group in longest for seconds in group)])

    def _waiting_runs(self, replicates: int) -> list[Trial]:
        """Returns the test runs that have not begun."""
        running = running_replicates(self._record)
        runs = verification_trials(self._record, count=self._plan.settings.finalists, replicates=replicates)
        return [run for run in runs if run.replicate_key not in running]

    def _verification_seconds(self, config: Config) -> float:
        return self._costs.model.trial_seconds(config, phase=Phase.VERIFICATION)

    def _makespan(self, seconds: Iterable[float]) -> float:
        return makespan(seconds, self._plan.concurrent_trials)

    def _refresh(self, *, force: bool = False) -> None:
        now = self._elapsed_seconds()
        if force or now - self._refreshed_at > REFRESH_SECONDS:
            self._record = self._ledger.read()
            self._costs = self._prior_costs.fitted(self._record)
            self._refreshed_at = now


def planned_replicates(settings: Settings, seed_seconds: float, *, slots: int) -> int:
    """Returns how many replicates of verification are planned: those of the option, else as the time allows.

    Args:
        settings: The options.
        seed_seconds: Seconds of one replicate of all that is verified, over all workers.
        slots: Trials at a time.
    """
    if settings.replicates is not None or settings.timeout is None or not seed_seconds:
        return settings.usual_replicates
    count = int(VERIFICATION_SHARE * settings.timeout * slots / seed_seconds)
    return min(max(count, 1), DEFAULT_REPLICATES)
