"""A worker's own side, wherever it runs: it makes a trainer once, then runs trials, one after the other.

    Inbox   holds what the coordinator sent: trials to come, and those to leave
    Line    what a running trial says, and asks of the clock and the inbox
    serve   runs the trials

How messages travel is the caller's business: a pipe (``search.execution.worker``), or calls of an actor
(``search.execution.ray.actor``).
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable, Iterator

from search.execution.base import Finished, Reported, TrialKey
from search.execution.messages import Cancel, Message, Ready, TrialStarted, WorkerHeartbeat
from search.training.keras_import import import_keras
from search.training.task import Task
from search.trial import Cause, EpochReport, Outcome, State, Trial

HEARTBEAT_SECONDS = 1.0
"""Least time between two signs of life."""

SendMessage = Callable[[Message], None]
"""Sends a message to the coordinator."""


class Inbox:
    """Takes what comes in one thread and gives it out in another, so that a trial is cancelled while it trains."""

    def __init__(self) -> None:
        self._trials: queue.SimpleQueue[Trial] = queue.SimpleQueue()
        self._cancel_causes: dict[TrialKey, Cause] = {}

    def put(self, message: Trial | Cancel) -> None:
        """Takes a message."""
        if isinstance(message, Cancel):
            self._cancel_causes[message.key] = message.cause
        else:
            self._cancel_causes.pop(message.key, None)
            self._trials.put(message)

    def iter_trials(self) -> Iterator[Trial]:
        """Yields trials as they come."""
        while True:
            yield self._trials.get()

    def pop_arrived(self, *, wait: bool) -> Iterator[Trial]:
        """Yields the trials that have come, and those that come meanwhile; perhaps waits for the first."""
        if wait:
            yield self._trials.get()
        while not self._trials.empty():
            yield self._trials.get()

    def cancel_cause(self, key: TrialKey) -> Cause | None:
        """Returns why a trial was cancelled, or None."""
        return self._cancel_causes.get(key)


class TrialChannel:
    """What a running trial says to the coordinator, and asks of the clock and the inbox.

    Args:
        trial: The trial; it begins now.
        task: Says how long it may take.
        send: Sends a message to the coordinator.
        inbox: Hears whether it is cancelled.
    """

    def __init__(self, trial: Trial, task: Task, send: SendMessage, inbox: Inbox) -> None:
        self._key, self._send, self._inbox = trial.key, send, inbox
        self._limit_seconds = task.time_limit_seconds(trial.phase)
        self._started_at = self._last_heartbeat = time.monotonic()
        send(TrialStarted(trial.key))

    def report(self, epoch: EpochReport) -> None:
        """Sends an epoch's report."""
        self._send(Reported(self._key, epoch))

    def should_stop(self) -> Cause | None:
        """Gives a sign of life now and then, and returns why the trial must stop, or None."""
        now = time.monotonic()
        if now - self._last_heartbeat > HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self._send(WorkerHeartbeat())
        if cause := self._inbox.cancel_cause(self._key):
            return cause
        return (
            Cause.TRIAL_TIMEOUT
            if self._limit_seconds is not None and now - self._started_at > self._limit_seconds
            else None
        )

    def finish(self, outcome: Outcome) -> None:
        """Sends how it ended; a trial that took too long has failed, and is not merely interrupted."""
        if outcome.cause is Cause.TRIAL_TIMEOUT:
            message = f"It took longer than a trial may, {self._limit_seconds:g} s."
            outcome = dataclasses.replace(outcome, state=State.FAILED, message=message)
        self._send(Finished(self._key, outcome))


def run_worker_loop(task: Task, inbox: Inbox, send: SendMessage) -> None:
    """Runs trials as they come, for ever.

    Args:
        task: What they share; its runtime's variables are in the environment.
        inbox: Filled by another thread.
        send: Sends a message to the coordinator.
    """
    import_keras()
    from search.training.epochs import Hooks
    from search.training.trainer import Trainer

    trainer = Trainer(task)
    send(Ready())
    for trial in inbox.iter_trials():
        channel = TrialChannel(trial, task, send, inbox)
        channel.finish(trainer.run(trial, Hooks(report=channel.report, should_stop=channel.should_stop)))
        trainer.free_memory()  # while the coordinator records and asks
