"""What a failure means for the study: the trial is tried again, is over, or the study cannot go on.

A fault of the machine (a worker killed, crashed or hung) is tried again on a fresh worker, from the trial's last
checkpoint, within a bound; a fault of the configuration is not, since it would fail again. A full disk or damaged data
would fail every trial: the study stops, and the trial is taken up again when the study is.

Called by ``search.sources``.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from search.errors import FatalError
from search.record import TrialRecord
from search.trial import Cause, Outcome, State, Trial, identity

RETRIES = 2
"""How often a trial is tried again after faults of the machine, over all sessions."""
FIRST = 3
"""If so many of the first trials, by number, fail of one cause, the study ends: the configurations are not at fault."""
TRANSIENT = frozenset({Cause.KILLED, Cause.CRASHED, Cause.HUNG})
FATAL: Mapping[Cause, str] = {
    Cause.DISK_FULL: "Free some space and run the same command again; what was recorded is kept.",
    Cause.DATA: "Run the same command again: the cache mends itself when a study starts. What was recorded is kept.",
}
"""Causes that stop the study, and what is to be done about them."""


class Faults:
    """Judges how trials ended.

    Args:
        recorded: What earlier sessions recorded of the same phase.
    """

    def __init__(self, recorded: Iterable[TrialRecord]) -> None:
        ended = [(known.trial, known.outcome) for known in recorded if known.outcome is not None]
        self._tries = Counter(_key(trial) for trial, outcome in ended if is_retried(outcome))
        self._first: dict[int, Cause | None] = {}

    def settle(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts: a failure that will be tried again is an interruption."""
        if outcome.state is not State.FAILED:
            return outcome
        is_again = outcome.cause in FATAL
        if outcome.cause in TRANSIENT:
            is_again = self._tries[_key(trial)] < RETRIES
            self._tries[_key(trial)] += 1
        return dataclasses.replace(outcome, state=State.INTERRUPTED) if is_again else outcome

    def check(self, trial: Trial, outcome: Outcome) -> None:
        """Looks at an outcome that was settled and recorded.

        Raises:
            FatalError: The study cannot go on, or there is no sense in it.
        """
        if outcome.cause is not None and outcome.cause in FATAL:
            raise FatalError(outcome.message or outcome.cause.value, hint=FATAL[outcome.cause])
        if trial.number >= FIRST:
            return
        has_failed = outcome.state is State.FAILED or is_retried(outcome)
        self._first[trial.number] = outcome.cause if has_failed else None
        if len(self._first) == FIRST and has_failed and set(self._first.values()) == {outcome.cause}:
            raise FatalError(
                f"The first {FIRST} trials ended alike: {outcome.cause}. "
                f"The last said: {outcome.message}\n{outcome.traceback}".rstrip(),
                hint="Mend the cause, then run the study anew under another name with --study.",
            )


def is_retried(outcome: Outcome) -> bool:
    """Says whether a trial was interrupted by a fault of the machine, and is tried again for it."""
    return outcome.state is State.INTERRUPTED and outcome.cause in TRANSIENT


def _key(trial: Trial) -> tuple[str, int]:
    """Returns what the tries of one trial share."""
    return (identity(trial.config), trial.seed)
