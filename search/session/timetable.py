"""What still fits into the time of a run: trials of the search, and the test runs that must follow.

Called by the session. Without a time limit everything fits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from search.records.ledger import Ledger
from search.session.costs import fit_model
from search.session.plan import Plan
from search.session.settings import DEFAULT_REPLICATES, Settings
from search.study.cost import CostModel
from search.study.time_budget import CLOSING_SECONDS, MARGIN, STOP_SECONDS, TimeBudget
from search.study.verification import (
    finalists,
    known_finalists,
    makespan,
    running_replicates,
    verification_trials,
)
from search.trial import Config, Phase, Trial, config_key

VERIFICATION_SHARE = 0.25
"""Share of the time that decides how many replicates are planned; one in any case."""
REFRESH_SECONDS = 2.0
"""Least time between two readings of the ledger."""


class Timetable:
    """Decides what can be begun.

    Args:
        plan: The run, with its workers.
        ledger: Its records.
        budget: Its time.
    """

    def __init__(self, plan: Plan, ledger: Ledger, budget: TimeBudget) -> None:
        self._plan, self._ledger, self._budget = plan, ledger, budget
        self._first_epochs, self._begun_first = plan.header.protocol.epochs, set[str]()
        self._refreshed_at = float("-inf")
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
        for config in self._first_configs():
            configs.setdefault(config_key(config), config)
        seconds = sum(map(self._verification_seconds, configs.values()))
        return planned_replicates(settings, seconds, slots=self._plan.concurrent_trials)

    def has_time(self, config: Config, epochs: int) -> bool:
        """Returns whether a search trial of a configuration can end, and the verification of all that is verified."""
        if (left := self._seconds_left()) is None:
            return True
        self._refresh()
        seconds = self._costs.trial_seconds(config, epochs=epochs) + self._reserve(config)
        return MARGIN * seconds + STOP_SECONDS <= left  # otherwise the budget would stop it before its end

    def has_time_for_run(self, trial: Trial) -> bool:
        """Returns whether a test run can end."""
        if (left := self._seconds_left()) is None or not self._budget.includes_verification:
            return True
        self._refresh()
        return MARGIN * self._costs.trial_seconds(trial.config, epochs=trial.epochs, phase=trial.phase) <= left

    def first_epochs(self, config: Config) -> int:
        """Returns the epochs of the baseline or the first recipe: a full trial's, or as many as can also be verified.

        The second has no more epochs than the first: what differs in epochs cannot be compared.
        """
        self._refresh()
        searched = self._record.trials_in_phase(Phase.SEARCH)
        trained = {config_key(entry.trial.config) for entry in searched if not entry.trial.is_short}
        self._begun_first |= {config_key(config), *trained}
        later = [other for other in self._first_configs() if config_key(other) not in self._begun_first]
        self._first_epochs = first_epochs(
            self._costs,
            [config, *later],
            full=self._first_epochs,
            left=self._seconds_left(),
            slots=self._plan.concurrent_trials,
            has_verification=self._plan.has_verification,
        )
        return self._first_epochs

    def _seconds_left(self) -> float | None:
        timeout = self._plan.settings.timeout
        return None if timeout is None else timeout - self._budget.elapsed_seconds() - CLOSING_SECONDS

    def _first_configs(self) -> list[Config]:
        """Returns the baseline, and the first recipe if recipes are tried."""
        space, recipes = self._plan.header.space, self._plan.settings.recipes
        return [space.baseline, *(space.recipe(name) for name in list(space.recipes)[:1] if recipes)]

    def _reserve(self, candidate: Config) -> float:
        """Returns the seconds of the verification that is left if a candidate wins or the present best does."""
        settings, record = self._plan.settings, self._record
        if not self._plan.has_verification:
            return 0.0
        running, replicates = running_replicates(record), self.replicates
        known = {entry.trial.number for entry in known_finalists(record)}
        pending = verification_trials(record, count=settings.finalists, replicates=replicates)
        waiting = [run for run in pending if run.replicate_key not in running]
        known_seconds = [self._run_seconds(run) for run in waiting if run.source_trial in known]
        best_seconds = [self._run_seconds(run) for run in waiting if run.source_trial not in known]
        begun = {config_key(entry.trial.config) for entry in record.trials_in_phase(Phase.SEARCH)}
        first = [config for config in self._first_configs() if config_key(config) not in begun]
        known_seconds += [self._verification_seconds(config) for config in first for _ in range(replicates)]
        candidate_seconds = [self._verification_seconds(candidate)] * (settings.finalists * replicates)
        winner_seconds = max(best_seconds, candidate_seconds, key=sum)
        return makespan([*known_seconds, *winner_seconds], self._plan.concurrent_trials)

    def _run_seconds(self, run: Trial) -> float:
        return self._costs.trial_seconds(run.config, epochs=run.epochs, phase=run.phase)

    def _verification_seconds(self, config: Config) -> float:
        return self._costs.trial_seconds(config, phase=Phase.VERIFICATION)

    def _refresh(self) -> None:
        if self._budget.elapsed_seconds() - self._refreshed_at > REFRESH_SECONDS:
            self._record = self._ledger.read()
            self._costs = fit_model(self._plan, self._record)
            self._refreshed_at = self._budget.elapsed_seconds()


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


def first_epochs(
    model: CostModel, configs: Sequence[Config], *, full: int, left: float | None, slots: int, has_verification: bool
) -> int:
    """Returns the most epochs for which all of some configurations can be trained, and verified once; at least 1.

    Args:
        model: Predicts seconds.
        configs: The baseline and the first recipe, as far as they have not begun.
        full: Most epochs.
        left: Seconds that are left; None for no limit.
        slots: Trials at a time.
        has_verification: Whether they are verified.
    """
    if left is None:
        return full

    def fits(epochs: int) -> bool:
        seconds = first_seconds(model, configs, epochs=epochs, slots=slots, has_verification=has_verification)
        return MARGIN * seconds <= left

    # Fewer epochs fit whenever more do.
    return 1 + bisect_right(range(2, full + 1), False, key=lambda epochs: not fits(epochs))


def first_seconds(
    model: CostModel, configs: Sequence[Config], *, epochs: int, slots: int, has_verification: bool
) -> float:
    """Returns the seconds in which some workers train configurations, and verify each once; see ``first_epochs``."""
    phases = (Phase.SEARCH, Phase.VERIFICATION) if has_verification else (Phase.SEARCH,)
    return makespan(
        (sum(model.trial_seconds(config, epochs=epochs, phase=phase) for phase in phases) for config in configs), slots
    )
