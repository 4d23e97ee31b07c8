"""Promotions of asynchronous successive halving (ASHA): chooses the stopped trial that continues to the next rung.

Optuna's pruner decides once, when a trial reaches a rung, and "does not support suspending or resuming". A trial that
reached a rung early was compared with few others. This module compares it again, with all that have reached the rung
since. Called by ``OptunaEngine``.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2 (get_job).
"""

from __future__ import annotations

import math

FIRST_RUNG_DIVISOR = 4
"""The first rung is after a quarter of a trial's epochs, rounded up (the grace period)."""
REDUCTION_FACTOR = 2
"""One in two trials continues from a rung. Hyperband's usual 3 (Li et al., JMLR 2018, section 2.2) ended augmented and
scheduled trials, which start slowly and end well, after 3 of 10 epochs; 2 costs as many, in two smaller steps."""


def first_rung(epochs: int) -> int:
    """Returns the epoch of the first rung of a trial of this many epochs."""
    return math.ceil(epochs / FIRST_RUNG_DIVISOR)


def rungs(epochs: int) -> tuple[int, ...]:
    """Returns the epochs of all rungs of a trial of this many epochs, ascending."""
    levels, rung = [], first_rung(epochs)
    while rung < epochs:
        levels.append(rung)
        rung *= REDUCTION_FACTOR
    return tuple(levels)


class RungPromotions:
    """The errors of all trials at each rung, and the trials stopped there.

    Args:
        epochs: Epochs of a full trial.
    """

    def __init__(self, epochs: int) -> None:
        self._errors: dict[int, dict[int, float]] = {rung: {} for rung in rungs(epochs)}
        self._stopped_at: dict[int, int] = {}

    def record_error(self, trial: int, epoch: int, error: float) -> None:
        """Records the error of a trial's epoch if it is a rung; the first error at a rung counts."""
        if epoch in self._errors:
            self._errors[epoch].setdefault(trial, error)

    def mark_stopped(self, trial: int) -> bool:
        """Records that a trial was stopped at the highest rung it reached; returns whether it reached one."""
        reached = [rung for rung, errors in self._errors.items() if trial in errors]
        if reached:
            self._stopped_at[trial] = max(reached)
        return bool(reached)

    def next_trial(self) -> int | None:
        """Returns the trial to continue: the best of the highest rung that has one due, or None."""
        for rung in sorted(self._errors, reverse=True):
            errors = self._errors[rung]
            best = sorted(errors, key=errors.__getitem__)[
                : len(errors) // REDUCTION_FACTOR
            ]  # stable: of equals, the first
            due = [trial for trial in best if self._stopped_at.get(trial) == rung]
            if due:
                return due[0]
        return None

    def mark_resumed(self, trial: int) -> None:
        """Records that a stopped trial continues."""
        del self._stopped_at[trial]
