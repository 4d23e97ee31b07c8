"""A worker of the cluster as the coordinator sees it: an actor, and the long poll for what it says next.

Knows nothing of which trial it serves; started and heard by ``search.execution.ray.worker_backend``.
"""

from __future__ import annotations

import time
from typing import Any

from search.execution.messages import Cancel
from search.execution.worker_backend import Worker, WorkerExit
from search.trial import Cause, Trial

POLL_SECONDS = 1.0
"""How long an actor waits for something to say before it says that there is nothing."""
PROCESS_EXIT = WorkerExit(cause=Cause.KILLED, message="The worker's process was killed, or ended of itself.")
NODE_EXIT = WorkerExit(cause=Cause.NODE_LOST, message="The worker's node was lost.")


class RayWorker(Worker):
    """One actor.

    Args:
        actor: Ray's handle of it.
    """

    def __init__(self, actor: Any) -> None:
        self.last_memory_mib = 0.0
        self.worker_exit: WorkerExit | None = None
        self.assign_actor(actor)

    @property
    def node(self) -> str:
        """Its node's name in the cluster; empty until it was placed."""
        return self.name

    def assign_actor(self, actor: Any) -> None:
        """Takes another actor, that may have to wait for room, and listens to it."""
        self.name, self.requested_at = "", time.monotonic()
        self.actor, self.pending_poll = actor, actor.poll.remote(POLL_SECONDS)

    def send(self, message: Trial | Cancel) -> None:
        """Calls the actor without waiting for it; the poll says if it is dead."""
        self.actor.put.remote(message)

    def poll(self) -> None:
        """Polls again."""
        self.pending_poll = self.actor.poll.remote(POLL_SECONDS)

    def has_message(self) -> bool:
        """Says whether the poll has come back."""
        import ray

        return bool(ray.wait([self.pending_poll], timeout=0)[0])

    def memory_mib(self) -> float:
        """Returns what it took at its last word, at most a second ago."""
        return self.last_memory_mib

    def kill(self) -> None:
        """Ends the actor's process."""
        import ray

        ray.kill(self.actor)

    def reap(self) -> WorkerExit:
        """Ends the actor, if it lives, and returns how it ended."""
        self.kill()
        self.worker_exit = self.worker_exit or PROCESS_EXIT
        return self.worker_exit


def worker_exit_of(error: BaseException) -> WorkerExit:
    """Returns how an actor ended of which a poll has raised an error."""
    from ray.exceptions import ActorUnavailableError

    # That a node cannot be reached is heard a moment before that it is dead.
    return NODE_EXIT if isinstance(error, ActorUnavailableError) or "node has died" in str(error) else PROCESS_EXIT
