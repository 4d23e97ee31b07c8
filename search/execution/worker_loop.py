"""Runs in a worker: makes a trainer once, then runs trials one after the other.

    Inbox          the coordinator's messages: trials to run and trials to stop
    TrialChannel   sends the reports of a running trial, and returns whether it must stop

Messages come over a pipe, if the worker is a process of this machine (``search.execution.local`` starts ``python -m
search.execution.worker_loop FD``), or as calls of an actor (``search.execution.ray.actor``). The process is neither a
fork nor a spawned copy of the caller, so that a notebook or a script without a main guard can start a search. When the
coordinator dies, the pipe closes and the process ends at once.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from search.execution.base import Finished, Reported, TrialKey
from search.execution.messages import Cancel, Message, Ready, RunTrial, TrialStarted, WorkerHeartbeat
from search.training.runtime import import_keras
from search.training.task import Task
from search.trial import Cause, EpochReport, Outcome, State, Trial

HEARTBEAT_SECONDS = 1.0
"""Least time between two heartbeats."""

SendMessage = Callable[[Message], None]
"""Sends a message to the coordinator."""


class Inbox:
    """Received trials and cancellations; filled by one thread and read by another, which trains meanwhile."""

    def __init__(self) -> None:
        self._trials: queue.SimpleQueue[RunTrial] = queue.SimpleQueue()
        self._cancel_causes: dict[TrialKey, Cause] = {}

    def put(self, message: RunTrial | Cancel) -> None:
        """Adds a message."""
        if isinstance(message, Cancel):
            self._cancel_causes[message.key] = message.cause
        else:
            self._cancel_causes.pop(message.trial.key, None)
            self._trials.put(message)

    def read_from(self, connection: Connection) -> None:
        """Adds messages of a pipe in a thread of its own; ends the process when the pipe closes."""
        threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def iter_trials(self) -> Iterator[RunTrial]:
        """Yields trials as they come."""
        while True:
            yield self._trials.get()

    def pop_arrived(self, *, wait: bool) -> Iterator[RunTrial]:
        """Yields the trials that have come so far.

        Args:
            wait: Whether to wait for the first one.
        """
        if wait:
            yield self._trials.get()
        while not self._trials.empty():
            yield self._trials.get()

    def cancel_cause(self, key: TrialKey) -> Cause | None:
        """Returns why a trial was cancelled, or None."""
        return self._cancel_causes.get(key)

    def _read(self, connection: Connection) -> None:
        while True:
            try:
                self.put(connection.recv())
            except (EOFError, OSError):
                os._exit(0)


class TrialChannel:
    """Connects a running trial with the coordinator; the trial's time starts when it is made.

    Args:
        trial: The trial.
        task: Holds the trial's time limit.
        send: Sends a message to the coordinator.
        inbox: Holds the trial's cancellation.
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
        """Returns why the trial must stop, or None; sends a heartbeat when one is due."""
        now = time.monotonic()
        if now - self._last_heartbeat > HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self._send(WorkerHeartbeat())
        if cause := self._inbox.cancel_cause(self._key):
            return cause
        is_over = self._limit_seconds is not None and now - self._started_at > self._limit_seconds
        return Cause.TRIAL_TIMEOUT if is_over else None

    def finish(self, outcome: Outcome) -> None:
        """Sends the trial's outcome; one that exceeded its time limit has failed."""
        if outcome.cause is Cause.TRIAL_TIMEOUT:
            message = f"The trial exceeded its time limit of {self._limit_seconds:g} s."
            outcome = dataclasses.replace(outcome, state=State.FAILED, message=message)
        self._send(Finished(self._key, outcome))


def run_worker_loop(task: Task, inbox: Inbox, send: SendMessage) -> None:
    """Runs trials as they come, without end.

    Args:
        task: What the trials share; its runtime's variables are already in the environment.
        inbox: Filled by another thread.
        send: Sends a message to the coordinator.
    """
    import_keras()
    from search.training.epochs import Hooks
    from search.training.trainer import Trainer

    trainer = Trainer(task)
    send(Ready())
    for request in inbox.iter_trials():
        channel = TrialChannel(request.trial, task, send, inbox)
        hooks = Hooks(report=channel.report, should_stop=channel.should_stop)
        channel.finish(trainer.run(request.trial, hooks, request.files))
        trainer.free_memory()  # while the coordinator records the outcome and asks the engine


def main(connection: Connection) -> None:
    """Receives a task and runs trials until the coordinator closes the pipe."""
    task, inbox = connection.recv(), Inbox()
    inbox.read_from(connection)
    run_worker_loop(task, inbox, connection.send)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
