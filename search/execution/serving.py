"""A worker's own side, wherever it runs: it makes a trainer once, then runs trials, one after the other.

    Inbox   holds what the coordinator sent: trials to come, and those to leave
    Line    what a running trial says, and asks of the clock and the inbox
    serve   runs the trials

How messages travel is the caller's business: a pipe (``search.execution.worker``), or calls of an actor
(``search.execution.cluster.actor``).
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable, Iterator

from search.execution.base import Finished, Key, Reported
from search.execution.messages import Alive, Began, Cancel, Message, Ready
from search.training.lean import import_keras
from search.training.task import Task
from search.trial import Cause, EpochReport, Outcome, State, Trial

ALIVE_SECONDS = 1.0
"""Least time between two signs of life."""

Say = Callable[[Message], None]
"""Sends a message to the coordinator."""


class Inbox:
    """Takes what comes in one thread and gives it out in another, so that a trial is cancelled while it trains."""

    def __init__(self) -> None:
        self._trials: queue.SimpleQueue[Trial] = queue.SimpleQueue()
        self._cancelled: dict[Key, Cause] = {}

    def put(self, message: Trial | Cancel) -> None:
        """Takes a message."""
        if isinstance(message, Cancel):
            self._cancelled[message.key] = message.cause
        else:
            self._cancelled.pop(message.key, None)
            self._trials.put(message)

    def trials(self) -> Iterator[Trial]:
        """Yields trials as they come."""
        while True:
            yield self._trials.get()

    def arrived(self, *, is_awaited: bool) -> Iterator[Trial]:
        """Yields the trials that have come, and those that come meanwhile; perhaps waits for the first."""
        if is_awaited:
            yield self._trials.get()
        while not self._trials.empty():
            yield self._trials.get()

    def cancelled(self, key: Key) -> Cause | None:
        """Returns why a trial was cancelled, or None."""
        return self._cancelled.get(key)


class Line:
    """What a running trial says to the coordinator, and asks of the clock and the inbox.

    Args:
        trial: The trial; it begins now.
        task: Says how long it may take.
        say: Sends a message to the coordinator.
        inbox: Hears whether it is cancelled.
    """

    def __init__(self, trial: Trial, task: Task, say: Say, inbox: Inbox) -> None:
        self._key, self._say, self._inbox = trial.key, say, inbox
        self._limit = task.limit_seconds(trial.phase)
        self._began = self._said = time.monotonic()
        say(Began(trial.key))

    def report(self, epoch: EpochReport) -> None:
        """Sends an epoch's report."""
        self._say(Reported(self._key, epoch))

    def should_stop(self) -> Cause | None:
        """Gives a sign of life now and then, and returns why the trial must stop, or None."""
        now = time.monotonic()
        if now - self._said > ALIVE_SECONDS:
            self._said = now
            self._say(Alive())
        if cause := self._inbox.cancelled(self._key):
            return cause
        return Cause.TRIAL_TIMEOUT if self._limit is not None and now - self._began > self._limit else None

    def finish(self, outcome: Outcome) -> None:
        """Sends how it ended; a trial that took too long has failed, and is not merely interrupted."""
        if outcome.cause is Cause.TRIAL_TIMEOUT:
            message = f"It took longer than a trial may, {self._limit:g} s."
            outcome = dataclasses.replace(outcome, state=State.FAILED, message=message)
        self._say(Finished(self._key, outcome))


def serve(task: Task, inbox: Inbox, say: Say) -> None:
    """Runs trials as they come, for ever.

    Args:
        task: What they share; its runtime's variables are in the environment.
        inbox: Filled by another thread.
        say: Sends a message to the coordinator.
    """
    import_keras()
    from search.training.epochs import Hooks
    from search.training.trainer import Trainer

    trainer = Trainer(task)
    say(Ready())
    for trial in inbox.trials():
        line = Line(trial, task, say, inbox)
        line.finish(trainer.run(trial, Hooks(report=line.report, should_stop=line.should_stop)))
        trainer.clean()  # while the coordinator records and asks
