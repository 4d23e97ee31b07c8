"""A worker of the cluster as the coordinator sees it: an actor, and the long poll for what it says next.

Knows nothing of which trial it serves; started and heard by ``search.execution.cluster.staff``.
"""

from __future__ import annotations

import time
from typing import Any

from search.execution.messages import Cancel
from search.execution.staff import Death, Worker
from search.trial import Cause, Trial

POLL_SECONDS = 1.0
"""How long an actor waits for something to say before it says that there is nothing."""
DIED = Death(cause=Cause.KILLED, message="The worker's process was killed, or ended of itself.")
LOST = Death(cause=Cause.NODE_LOST, message="The worker's node was lost.")


class RayWorker(Worker):
    """One actor.

    Args:
        actor: Ray's handle of it.
    """

    def __init__(self, actor: Any) -> None:  # noqa: ANN401 - Ray's handles have no types
        self.memory = 0.0
        self.death: Death | None = None
        self.replace(actor)

    @property
    def node(self) -> str:
        """Its node's name in the cluster; empty until it was placed."""
        return self.name

    def replace(self, actor: Any) -> None:  # noqa: ANN401 - a handle
        """Takes another actor, that may have to wait for room, and listens to it."""
        self.name, self.hired = "", time.monotonic()
        self.actor, self.said = actor, actor.listen.remote(POLL_SECONDS)

    def send(self, message: Trial | Cancel) -> None:
        """Calls the actor without waiting for it; the poll says if it is dead."""
        self.actor.put.remote(message)

    def listen(self) -> None:
        """Polls again."""
        self.said = self.actor.listen.remote(POLL_SECONDS)

    def has_news(self) -> bool:
        """Says whether the poll has come back."""
        import ray

        return bool(ray.wait([self.said], timeout=0)[0])

    def memory_mib(self) -> float:
        """Returns what it took at its last word, at most a second ago."""
        return self.memory

    def kill(self) -> None:
        """Ends the actor's process."""
        import ray

        ray.kill(self.actor)

    def bury(self) -> Death:
        """Ends the actor, if it lives, and returns how it ended."""
        self.kill()
        self.death = self.death or DIED
        return self.death


def death_of(error: BaseException) -> Death:
    """Returns how an actor ended of which a poll has raised an error."""
    from ray.exceptions import ActorUnavailableError

    # That a node cannot be reached is heard a moment before that it is dead.
    return LOST if isinstance(error, ActorUnavailableError) or "node has died" in str(error) else DIED
