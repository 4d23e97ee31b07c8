"""A worker process: receives a task once, then trials, one after the other, until its pipe closes.

Started by ``search.execution.local`` as ``python -m search.execution.worker FD``, with the runtime's variables already
in its environment. It is a process of its own rather than a fork or a spawned copy of the caller, so that a notebook
or a script without a main guard can start a search. When the coordinator dies, however it dies, the pipe closes and
the worker leaves at once.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from search.execution.base import Finished, Key, Reported
from search.execution.messages import Alive, Cancel, Ready
from search.trial import Cause, EpochReport, Trial

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

    def cancelled(self, key: Key) -> Cause | None:
        """Returns why a trial was cancelled, or None."""
        return self._cancelled.get(key)


def serve(connection: Connection) -> None:
    """Runs trials until the coordinator closes the pipe."""
    task = connection.recv()
    inbox = Inbox(connection)
    from search.training.epochs import Hooks
    from search.training.trainer import Trainer

    trainer = Trainer(task)
    connection.send(Ready())
    for trial in inbox.trials():
        said = time.monotonic()

        def report(epoch: EpochReport, key: Key = trial.key) -> None:
            connection.send(Reported(key, epoch))

        def should_stop(key: Key = trial.key) -> Cause | None:
            nonlocal said
            if time.monotonic() - said > ALIVE_SECONDS:
                said = time.monotonic()
                connection.send(Alive())
            return inbox.cancelled(key)

        connection.send(Finished(trial.key, trainer.run(trial, Hooks(report=report, should_stop=should_stop))))
        trainer.clean()  # while the coordinator records and asks


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
