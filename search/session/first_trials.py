"""For how many epochs the baseline and the first recipe are trained: a full trial's, or fewer if the time is short.

Both are trained and verified in any case, so the time must suffice for both. On a machine that turns out to be slower
than it was measured, they begin again with fewer epochs. Called by ``search.session.timetable``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from search.records.record import StudyRecord
from search.session.costs import PlanCosts
from search.study.time_budget import MARGIN
from search.study.verification import makespan
from search.trial import Config, EpochReport, Phase, Trial, config_key

MIN_EPOCHS = 2
"""Epochs after which a trial tells the speed of the machine. The first one includes tracing; it counts where the second
would be too late."""


class FirstTrials:
    """Decides the epochs of the first trials of a session, and whether they begin again with fewer.

    Args:
        epochs: A full trial's.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._begun = set[str]()
        self._ending = set[tuple[Phase, int]]()  # keys of trials that begin again
        self._restarted = set[tuple[str, int]]()  # their configurations and epochs

    def epochs(self, config: Config, record: StudyRecord, costs: PlanCosts, left: float | None) -> int:
        """Returns the epochs of the baseline or the first recipe: a full trial's, or as many as can also be verified.

        The second has no more epochs than the first: what differs in epochs cannot be compared.

        Args:
            config: The configuration that begins.
            record: The study.
            costs: Predicts seconds.
            left: Seconds that are left; None for no limit.
        """
        if not self._restarted:  # else decided for both
            searched = record.trials_in_phase(Phase.SEARCH)
            trained = {config_key(entry.trial.config) for entry in searched if not entry.trial.is_short}
            self._begun |= {config_key(config), *trained}
            later = [other for other in costs.first_configs.values() if config_key(other) not in self._begun]
            self._epochs = first_epochs(costs, [config, *later], full=self._epochs, left=left)
        return self._epochs

    def begins_again(self, trial: Trial) -> bool:
        """Returns whether a trial is to begin again with fewer epochs."""
        return trial.key in self._ending

    def may_restart(self, trial: Trial, report: EpochReport, costs: PlanCosts) -> bool:
        """Returns whether the first trials may begin again after an epoch: an early one of theirs, and once alone."""
        first = map(config_key, costs.first_configs.values())
        is_early = min(MIN_EPOCHS, trial.epochs / 2) <= report.epoch <= trial.epochs / 2
        is_first = trial.phase is Phase.SEARCH and config_key(trial.config) in first
        return is_early and is_first and _key(trial) not in self._restarted

    def restart(
        self, trial: Trial, report: EpochReport, record: StudyRecord, costs: PlanCosts, left: float
    ) -> float | None:
        """Decides after an epoch of a trial whether the first trials begin again; all of them, to stay comparable.

        They do where baseline and first recipe cannot both be trained and verified any more at the speed of this epoch,
        unless one has ended or more than half of this trial is done. No trial begins again twice with equal epochs.

        Args:
            trial: One for which ``may_restart`` holds.
            report: Its epoch.
            record: The study.
            costs: Predicts seconds.
            left: Seconds that are left.

        Returns:
            How many times as long as predicted the epoch took if they begin again, else None.
        """
        first = {config_key(config): config for config in costs.first_configs.values()}
        searched = [entry for entry in record.trials_in_phase(Phase.SEARCH) if config_key(entry.trial.config) in first]
        running = [entry for entry in searched if entry.outcome is None]
        if any(entry.is_finished for entry in searched):
            return None
        trained = {config_key(entry.trial.config): len(entry.reports) for entry in running}
        trained[config_key(trial.config)] = report.epoch
        tasks = []
        for key, config in first.items():
            seconds = costs.model.trial_seconds(config, epochs=trial.epochs)
            tasks.append((1.0 - trained.get(key, 0) / trial.epochs) * seconds)
            tasks.append(costs.model.trial_seconds(config, epochs=trial.epochs, phase=Phase.VERIFICATION))
        predicted = costs.model.trial_seconds(trial.config, epochs=report.epoch)
        if report.epoch > 1:
            predicted -= costs.model.trial_seconds(trial.config, epochs=report.epoch - 1)
        pace = report.seconds / predicted
        if MARGIN * pace * makespan(tasks, costs.plan.concurrent_trials) <= left:
            return None
        self._ending |= {entry.trial.key for entry in running}
        self._restarted |= {_key(entry.trial) for entry in running}
        self._epochs = first_epochs(costs, list(first.values()), full=self._epochs, left=left / pace)
        return pace


def first_epochs(costs: PlanCosts, configs: Sequence[Config], *, full: int, left: float | None) -> int:
    """Returns the most epochs for which all of some configurations can be trained, and verified once; at least 1.

    Args:
        costs: Predicts seconds.
        configs: The baseline and the first recipe, as far as they have not begun.
        full: Most epochs.
        left: Seconds that are left; None for no limit.
    """
    if left is None:
        return full

    def fits(epochs: int) -> bool:
        return MARGIN * costs.first_seconds(configs, epochs=epochs) <= left

    # Fewer epochs fit whenever more do.
    return 1 + bisect_right(range(2, full + 1), False, key=lambda epochs: not fits(epochs))


def _key(trial: Trial) -> tuple[str, int]:
    return config_key(trial.config), trial.epochs
