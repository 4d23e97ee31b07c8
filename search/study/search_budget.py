"""The trials and epochs that a search may still spend. Called by ``search.study.search_source``."""

from __future__ import annotations

import math
from collections.abc import Iterable

from search.trial import Outcome, State, Trial


class SearchBudget:
    """Counts trials and epochs over all sessions of a study.

    A trial that begins is charged with all that it may cost; once it ends, with what it did. An interrupted trial does
    not count as one, but its epochs count.

    Args:
        trials: Search trials that end by themselves; None for no limit.
        epochs: Epochs trained in search trials; None for no limit. The last trial may exceed them.
        full_epochs: Epochs of a full trial.
        outcomes: Those of the recorded search trials.
    """

    def __init__(
        self, *, trials: int | None, epochs: int | None, full_epochs: int, outcomes: Iterable[Outcome]
    ) -> None:
        self._trials: float = math.inf if trials is None else trials
        self._epochs: float = math.inf if epochs is None else epochs
        self._full_epochs = full_epochs
        for outcome in outcomes:
            self._trials -= outcome.is_final
            self._epochs -= _charged_epochs(outcome)

    @property
    def is_spent(self) -> bool:
        """Whether no trial may begin."""
        return self._trials <= 0 or self._epochs <= 0

    def allows(self, epochs: int) -> bool:
        """Returns whether a training of so many epochs may begin, in as many trials as it takes."""
        return self._trials >= math.ceil(epochs / self._full_epochs) and self._epochs > epochs - self._full_epochs

    def charge(self, trial: Trial) -> None:
        """Subtracts the most that a trial may cost."""
        self._trials -= 1
        self._epochs -= trial.last_epoch

    def settle(self, trial: Trial, outcome: Outcome) -> None:
        """Adds what a charged trial did not cost."""
        self._trials += outcome.state is State.INTERRUPTED
        self._epochs += trial.last_epoch - _charged_epochs(outcome)


def _charged_epochs(outcome: Outcome) -> int:
    """Returns the epochs that a trial trained, and at least one if it failed.

    A search whose trials all fail before the first epoch would not end otherwise.
    """
    return max(outcome.epochs_trained, 1 if outcome.state is State.FAILED else 0)
