"""A worker of the cluster as the coordinator sees it: an actor, and a long poll for its next message.

Started and read by ``search.execution.ray.worker_backend``.
"""

from __future__ import annotations

import time
from typing import Any

from search.execution.messages import Request
from search.execution.worker_backend import Worker, WorkerExit
from search.trial import Cause

POLL_SECONDS = 1.0
"""How long an actor waits for a message before it answers a poll without one."""
PROCESS_EXIT = WorkerExit(cause=Cause.KILLED, message="The worker's process was killed, or ended by itself.")
NODE_EXIT = WorkerExit(cause=Cause.NODE_LOST, message="The worker's node was lost.")


class RayWorker(Worker):
    """One actor.

    Args:
        actor: Ray's handle of it.
    """

    def __init__(self, actor: Any) -> None:
        self.last_memory_mib = self.last_cpu_seconds = 0.0
        self.worker_exit: WorkerExit | None = None
        self.assign_actor(actor)

    @property
    def node(self) -> str:
        """Its node's name in the cluster; empty until it was placed."""
        return self.name

    def assign_actor(self, actor: Any) -> None:
        """Takes another actor, which may have to wait for free resources, and polls it."""
        self.name, self.requested_at, self.actor = "", time.monotonic(), actor
        self.poll()

    def poll(self) -> None:
        """Starts the next poll."""
        self.pending_poll = self.actor.poll.remote(POLL_SECONDS)

    def send(self, message: Request) -> None:
        """Calls the actor without waiting for it; if it is dead, the poll fails."""
        self.actor.put.remote(message)

    def has_message(self) -> bool:
        """Returns whether the poll was answered."""
        import ray

        return bool(ray.wait([self.pending_poll], timeout=0)[0])

    def memory_mib(self) -> float:
        """Returns its memory at the last poll, at most about a second ago."""
        return self.last_memory_mib

    def cpu_seconds(self) -> float:
        """Returns its processor time at the last poll, which a stopped process does not answer."""
        return self.last_cpu_seconds

    def kill(self) -> None:
        """Ends the actor's process."""
        import ray

        ray.kill(self.actor)

    def reap(self) -> WorkerExit:
        """Ends the actor if it still runs, and returns how it ended."""
        self.kill()
        self.worker_exit = self.worker_exit or PROCESS_EXIT
        return self.worker_exit


def worker_exit_of(error: BaseException) -> WorkerExit:
    """Returns how an actor ended whose poll raised an error."""
    from ray.exceptions import ActorUnavailableError

    # Ray reports an unreachable node a moment before a dead one.
    return NODE_EXIT if isinstance(error, ActorUnavailableError) or "node has died" in str(error) else PROCESS_EXIT
