"""The interface between the pool and its workers, wherever these run.

    WorkerBackend   starts workers and waits for their messages
    Worker          one of them: receives trials and cancellations, runs one trial at a time, may die at any moment

Implemented by processes behind a pipe (``search.execution.local``) and by actors of a cluster
(``search.execution.ray``). Limits and outcomes are the executor's part (``search.execution.worker_state``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from search.execution.messages import Message, Request
from search.trial import Cause

CPU_TIME_FIELDS = 4
"""Fields of psutil's ``cpu_times`` that add up to the time used: user, system, and those of child processes that have
ended, such as a compiler's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExit:
    """How a worker ended.

    Args:
        cause: CRASHED if it ended by itself; after any other cause a new worker may succeed.
        message: The cause in words.
        log_tail: End of its output.
        log_path: Path of its whole output; empty if unknown.
    """

    cause: Cause
    message: str
    log_tail: str = ""
    log_path: str = ""


class Worker(ABC):
    """One worker. It accepts trials once it has sent ``Ready``."""

    @property
    @abstractmethod
    def node(self) -> str:
        """The cluster's name of the machine it runs on; empty for this machine."""

    @abstractmethod
    def send(self, message: Request) -> None:
        """Sends a message; does nothing if the worker is dead."""

    @abstractmethod
    def has_message(self) -> bool:
        """Returns whether a message waits to be read."""

    @abstractmethod
    def memory_mib(self) -> float:
        """Returns its resident memory in MiB as last known; 0 after it has ended."""

    @abstractmethod
    def cpu_seconds(self) -> float:
        """Returns the processor time that it has used, as last known; 0 after it has ended."""

    @abstractmethod
    def kill(self) -> None:
        """Ends it at once; ``reap`` must follow."""

    @abstractmethod
    def reap(self) -> WorkerExit:
        """Ends it if it still runs, releases its resources, and returns how it ended."""


class WorkerBackend(ABC):
    """The workers of one executor."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many workers there may be now, at least one."""

    @abstractmethod
    def start_worker(self, slot: int) -> Worker:
        """Starts a worker, without waiting for it.

        Args:
            slot: The slot that it serves, from 0.

        Raises:
            FatalError: It cannot be placed, now or later.
        """

    @abstractmethod
    def wait(self, workers: Sequence[Worker], timeout: float) -> list[tuple[Worker, Message | None]]:
        """Waits at most ``timeout`` seconds for messages of the workers and returns them.

        Messages of one worker keep their order; None is the last of a dead worker.

        Raises:
            FatalError: The workers cannot be reached any more.
        """

    @abstractmethod
    def close(self) -> None:
        """Releases what the backend holds besides its workers, which must be reaped before."""


def reap_all(workers: Sequence[Worker]) -> None:
    """Ends workers at once, all at the same time."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.reap()
