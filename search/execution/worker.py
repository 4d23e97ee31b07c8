"""A worker process: receives a task once, then trials, one after the other, until its pipe closes.

Started by ``search.execution.local`` as ``python -m search.execution.worker FD``, with the runtime's variables already
in its environment. It is a process of its own rather than a fork or a spawned copy of the caller, so that a notebook
or a script without a main guard can start a search. When the coordinator dies, however it dies, the pipe closes and
the worker leaves at once.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from search.execution.base import Finished, Key, Reported
from search.execution.messages import Alive, Began, Cancel, Ready
from search.training.task import Task
from search.trial import Cause, EpochReport, Outcome, State, Trial

ALIVE_SECONDS = 1.0
"""Least time between two signs of life."""


class Inbox:
    """Reads the pipe in a thread of its own, so that a cancellation arrives while a trial trains.

    Args:
        connection: The pipe to the coordinator.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._trials: queue.SimpleQueue[Trial] = queue.SimpleQueue()
        self._cancelled: dict[Key, Cause] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)
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
        connection: The pipe to the coordinator.
        inbox: Hears whether it is cancelled.
    """

    def __init__(self, trial: Trial, task: Task, connection: Connection, inbox: Inbox) -> None:
        self._key, self._connection, self._inbox = trial.key, connection, inbox
        self._limit = task.limit_seconds(trial.phase)
        self._began = self._said = time.monotonic()
        connection.send(Began(trial.key))

    def report(self, epoch: EpochReport) -> None:
        """Sends an epoch's report."""
        self._connection.send(Reported(self._key, epoch))

    def should_stop(self) -> Cause | None:
        """Gives a sign of life now and then, and returns why the trial must stop, or None."""
        now = time.monotonic()
        if now - self._said > ALIVE_SECONDS:
            self._said = now
            self._connection.send(Alive())
        if cause := self._inbox.cancelled(self._key):
            return cause
        return Cause.TRIAL_TIMEOUT if self._limit is not None and now - self._began > self._limit else None

    def finish(self, outcome: Outcome) -> None:
        """Sends how it ended; a trial that took too long has failed, and is not merely interrupted."""
        if outcome.cause is Cause.TRIAL_TIMEOUT:
            message = f"It took longer than a trial may, {self._limit:g} s."
            outcome = dataclasses.replace(outcome, state=State.FAILED, message=message)
        self._connection.send(Finished(self._key, outcome))


def serve(connection: Connection) -> None:
    """Runs trials until the coordinator closes the pipe."""
    task = connection.recv()
    inbox = Inbox(connection)
    from search.training.epochs import Hooks
    from search.training.trainer import Trainer

    trainer = Trainer(task)
    connection.send(Ready())
    for trial in inbox.trials():
        line = Line(trial, task, connection, inbox)
        line.finish(trainer.run(trial, Hooks(report=line.report, should_stop=line.should_stop)))
        trainer.clean()  # while the coordinator records and asks


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
