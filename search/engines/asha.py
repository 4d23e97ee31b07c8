"""Asynchronous successive halving's second half: which stopped trial has since earned its place in the next rung.

Optuna's pruner decides when a trial reaches a rung whether it goes on; it cannot take a decision back, since it "does
not support suspending or resuming". A trial that came early to a rung, when little was known, is judged here again
whenever a place is free, among all that have reached the rung by then. Knows no Optuna; its engine tells it what
happens.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2 (get_job).
"""

from __future__ import annotations

import math

FIRST_RUNG_DIVISOR = 4
"""A trial is judged first after a quarter of its epochs, rounded up (the grace period)."""
REDUCTION_FACTOR = 2
"""One in two goes on from a rung. Hyperband's usual 3 (Li et al., JMLR 2018, section 2.2) ended augmented and scheduled
trials, which start slowly and end well, after 3 of 10 epochs; 2 costs as many epochs here, in two gentler steps."""


def first_rung(epochs: int) -> int:
    """Returns the epoch after which a trial of so many epochs is judged first."""
    return math.ceil(epochs / FIRST_RUNG_DIVISOR)


def rungs(epochs: int) -> tuple[int, ...]:
    """Returns the epochs after which a trial of so many epochs is judged, rising."""
    levels, rung = [], first_rung(epochs)
    while rung < epochs:
        levels.append(rung)
        rung *= REDUCTION_FACTOR
    return tuple(levels)


class RungPromotions:
    """Who has reached which rung with which error, and who waits there.

    Args:
        epochs: Epochs of a full trial.
    """

    def __init__(self, epochs: int) -> None:
        self._errors: dict[int, dict[int, float]] = {rung: {} for rung in rungs(epochs)}
        self._stopped_at: dict[int, int] = {}

    def record_error(self, trial: int, epoch: int, error: float) -> None:
        """Notes an epoch of a trial; the first error that it had at a rung counts."""
        if epoch in self._errors:
            self._errors[epoch].setdefault(trial, error)

    def mark_stopped(self, trial: int) -> bool:
        """Notes that a trial was stopped at the highest rung that it has reached; returns whether there is one."""
        reached = [rung for rung, errors in self._errors.items() if trial in errors]
        if reached:
            self._stopped_at[trial] = max(reached)
        return bool(reached)

    def next_trial(self) -> int | None:
        """Returns the trial to go on with: of the highest rung where one is due, the best; None where none is."""
        for rung in sorted(self._errors, reverse=True):
            errors = self._errors[rung]
            waiting = [trial for trial, at in self._stopped_at.items() if at == rung]
            if not waiting:
                continue
            best = sorted(errors, key=errors.__getitem__)[: len(errors) // REDUCTION_FACTOR]  # of equals, the first
            if due := set(best).intersection(waiting):
                return min(due, key=best.index)
        return None

    def mark_resumed(self, trial: int) -> None:
        """Notes that a stopped trial goes on."""
        del self._stopped_at[trial]
