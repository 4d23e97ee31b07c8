"""Decides what follows a failure: the trial is retried or recorded as failed, or the study stops.

A fault of the machine (a worker killed, crashed or hung, a node lost) is retried on a fresh worker from the trial's
last checkpoint, a few times. A fault of the configuration is not, since it would recur. A full disk or damaged data
would fail every trial: the study stops, and the trial runs again when the study is resumed.

Called by ``search.study.loop``, ``search.study.peers`` and the trial sources.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from search.errors import FatalError
from search.records.record import TrialRecord
from search.trial import Cause, Outcome, State, Trial

MAX_RETRIES = 2
"""How often a trial is retried after faults of the machine, over all sessions."""
FIRST_TRIALS = 3
"""If this many first trials fail for the same cause, the study ends: the cause is not in their configurations."""
TRANSIENT = frozenset({Cause.KILLED, Cause.CRASHED, Cause.HUNG, Cause.NODE_LOST})
FATAL: Mapping[Cause, str] = {
    Cause.DISK_FULL: "Free some space and run the same command again; what was recorded is kept.",
    Cause.DATA: "Run the same command again: the cache is repaired when a study starts. What was recorded is kept.",
}
"""Hints by the causes that stop the study."""
HINTS: Mapping[Cause, str] = {
    Cause.TRIAL_TIMEOUT: "Give a trial more time with --trial-timeout, or narrow the space with --range.",
    Cause.OUT_OF_MEMORY: "Give a trial more memory with --trial-memory, run fewer at a time with --workers, or narrow "
    "the space with --range.",
    Cause.DEVICE_MEMORY: "Run fewer trials at a time with --workers, or narrow the space with --range.",
    Cause.KILLED: "If the kernel killed it for lack of memory, run fewer trials at a time with --workers.",
}
"""Hints by the causes for which the first trials may fail."""


class RetryPolicy:
    """Classifies the outcomes of one phase.

    Args:
        recorded: The records of the phase.
    """

    def __init__(self, recorded: Iterable[TrialRecord]) -> None:
        self._retries: Counter[str] = Counter()  # by training key
        self._ended: dict[int, tuple[str, Cause | None]] = {}  # by number: training, cause of the failure
        for record in recorded:
            if record.outcome is not None:
                self.observe(record.trial, record.outcome)

    def classify(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome to record: a failure that will be retried is an interruption."""
        if outcome.state is not State.FAILED:
            return outcome
        is_requeued = outcome.cause in FATAL
        if outcome.cause in TRANSIENT:
            is_requeued = self._retries[trial.training_key] < MAX_RETRIES
            self._retries[trial.training_key] += 1
        return dataclasses.replace(outcome, state=State.INTERRUPTED) if is_requeued else outcome

    def observe(self, trial: Trial, outcome: Outcome) -> None:
        """Counts an outcome that an earlier session or another coordinator has classified."""
        if trial.number not in self._ended:
            self._retries[trial.training_key] += is_retried(outcome)
        self._ended[trial.number] = (trial.training_key, _failure_cause(outcome))

    def raise_if_fatal(self, trial: Trial, outcome: Outcome) -> None:
        """Counts an outcome that ``classify`` returned.

        Raises:
            FatalError: The study cannot continue, or its first trials have all failed for the same cause.
        """
        if outcome.cause is not None and outcome.cause in FATAL:
            raise FatalError(outcome.message or outcome.cause.value, hint=FATAL[outcome.cause])
        cause = _failure_cause(outcome)
        self._ended[trial.number] = (trial.training_key, cause)
        first = self._first_causes()
        if cause is not None and trial.training_key in first and list(first.values()) == [cause] * FIRST_TRIALS:
            raise FatalError(
                f"The first {FIRST_TRIALS} trials failed for the same cause: {cause}. "
                f"Message of the last: {outcome.message}\n{outcome.traceback}".rstrip(),
                hint=f"{HINTS.get(cause, 'Remove the cause.')} Then run a new study, with another name for --study.",
            )

    def _first_causes(self) -> dict[str, Cause | None]:
        """Returns the last failure cause of each of the first trainings, up to the first trial that still runs."""
        causes: dict[str, Cause | None] = {}
        for number in range(len(self._ended)):
            if number not in self._ended or (len(causes) == FIRST_TRIALS and self._ended[number][0] not in causes):
                break
            training_key, cause = self._ended[number]
            causes[training_key] = cause
        return causes


def is_retried(outcome: Outcome) -> bool:
    """Returns whether a fault of the machine interrupted a trial, which is then retried."""
    return outcome.state is State.INTERRUPTED and outcome.cause in TRANSIENT


def should_requeue(outcome: Outcome) -> bool:
    """Returns whether to run a trial again in this session.

    True after a fault of the machine, if it is to begin again with fewer epochs, and if other coordinators considered
    this coordinator dead.
    """
    return is_retried(outcome) or outcome.cause in (Cause.COORDINATOR_DIED, Cause.TOO_SLOW)


def _failure_cause(outcome: Outcome) -> Cause | None:
    """Returns why a trial failed, retried or not; None if it did not fail."""
    return outcome.cause if outcome.state is State.FAILED or is_retried(outcome) else None
