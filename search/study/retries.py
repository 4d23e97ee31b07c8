"""What a failure means for the study: the trial is tried again, is over, or the study cannot go on.

A fault of the machine (a worker killed, crashed or hung, a node lost) is tried again on a fresh worker, within a bound,
from the trial's last checkpoint; a fault of the configuration is not, since it would fail again. A full disk or damaged
data would fail every trial: the study stops, and the trial is taken up again when the study is.

Called by ``search.study.search_source``.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from search.errors import FatalError
from search.records.record import TrialRecord
from search.trial import Cause, Outcome, State, Trial, config_key

MAX_RETRIES = 2
"""How often a trial is tried again after faults of the machine, over all sessions."""
FIRST_TRIALS = 3
"""If the first trials, so many of them, fail of one cause, the study ends: the configurations are not at fault."""
TRANSIENT = frozenset({Cause.KILLED, Cause.CRASHED, Cause.HUNG, Cause.NODE_LOST})
FATAL: Mapping[Cause, str] = {
    Cause.DISK_FULL: "Free some space and run the same command again; what was recorded is kept.",
    Cause.DATA: "Run the same command again: the cache mends itself when a study starts. What was recorded is kept.",
}
"""Causes that stop the study, and what is to be done about them."""
HINTS = defaultdict(
    lambda: "Mend the cause.",
    {
        Cause.TRIAL_TIMEOUT: "Give a trial more time with --trial-timeout.",
        Cause.OUT_OF_MEMORY: "Give a trial more memory with --trial-memory, or run fewer at a time with --workers.",
        Cause.KILLED: "If it was the kernel, for want of memory, run fewer trials at a time with --workers.",
    },
)


RetryKey = tuple[str, int]


class RetryPolicy:
    """Judges how trials ended.

    Args:
        recorded: What earlier sessions recorded of the same phase.
    """

    def __init__(self, recorded: Iterable[TrialRecord]) -> None:
        ended = [(known.trial, known.outcome) for known in recorded if known.outcome is not None]
        self._attempts = Counter(_retry_key(trial) for trial, outcome in ended if is_retried(outcome))
        self._ended = {trial.number: (_retry_key(trial), _failure_cause(outcome)) for trial, outcome in ended}

    def classify(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts: a failure that will be tried again is an interruption."""
        if outcome.state is not State.FAILED:
            return outcome
        is_requeued = outcome.cause in FATAL
        if outcome.cause in TRANSIENT:
            is_requeued = self._attempts[_retry_key(trial)] < MAX_RETRIES
            self._attempts[_retry_key(trial)] += 1
        return dataclasses.replace(outcome, state=State.INTERRUPTED) if is_requeued else outcome

    def observe(self, trial: Trial, outcome: Outcome) -> None:
        """Notes how a trial ended that another coordinator has run and judged."""
        self._attempts[_retry_key(trial)] += is_retried(outcome)
        self._ended[trial.number] = (_retry_key(trial), _failure_cause(outcome))

    def raise_if_fatal(self, trial: Trial, outcome: Outcome) -> None:
        """Looks at an outcome that was settled and recorded.

        Raises:
            FatalError: The study cannot go on, or there is no sense in it.
        """
        if outcome.cause is not None and outcome.cause in FATAL:
            raise FatalError(outcome.message or outcome.cause.value, hint=FATAL[outcome.cause])
        key, fault = _retry_key(trial), _failure_cause(outcome)
        self._ended[trial.number] = (key, fault)
        first = self._first_causes()
        if fault is not None and key in first and len(first) == FIRST_TRIALS and set(first.values()) == {fault}:
            raise FatalError(
                f"The first {FIRST_TRIALS} trials ended alike: {fault}. "
                f"The last said: {outcome.message}\n{outcome.traceback}".rstrip(),
                hint=f"{HINTS[fault]} Then run the study anew under another name with --study.",
            )

    def _first_causes(self) -> dict[RetryKey, Cause | None]:
        """Returns the causes for which the first trials failed last, of as many as have ended one after the other."""
        causes: dict[RetryKey, Cause | None] = {}
        for number in range(len(self._ended)):
            if number not in self._ended or (len(causes) == FIRST_TRIALS and self._ended[number][0] not in causes):
                break
            key, cause = self._ended[number]
            causes[key] = cause
        return causes


def is_retried(outcome: Outcome) -> bool:
    """Says whether a trial was interrupted by a fault of the machine, and is tried again for it."""
    return outcome.state is State.INTERRUPTED and outcome.cause in TRANSIENT


def should_requeue(outcome: Outcome) -> bool:
    """Says whether whoever ran a trial is to run it again at once: after a fault, or when others took him for dead."""
    return is_retried(outcome) or outcome.cause is Cause.COORDINATOR_DIED


def _failure_cause(outcome: Outcome) -> Cause | None:
    """Returns why a trial failed, whether or not it is tried again; None where it did not."""
    return outcome.cause if outcome.state is State.FAILED or is_retried(outcome) else None


def _retry_key(trial: Trial) -> RetryKey:
    """Returns what the tries of one trial share."""
    return (config_key(trial.config), trial.seed)
