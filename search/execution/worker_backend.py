"""Workers as the pool sees them, wherever they run: a process behind a pipe, or an actor on another machine.

    Staff    how many there may be; starts them, and waits for what any of them says
    Worker   one of them: takes trials and cancellations, runs one trial at a time, may die at any moment

Knows no trial's fate and no limits; those are the pool's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from search.execution.messages import Cancel, Message
from search.trial import Cause, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExit:
    """How a worker ended.

    Args:
        cause: CRASHED where it left by itself; any other means that a fresh one may fare better.
        message: The same in words.
        log_tail: The last that it said.
        log_path: Where its whole output stands; empty where nobody here knows.
    """

    cause: Cause
    message: str
    log_tail: str = ""
    log_path: str = ""


class Worker(ABC):
    """One worker. It is ready for trials when it has said so."""

    @property
    @abstractmethod
    def node(self) -> str:
        """The machine that it runs on, by the name that its cluster has for it; empty for this one."""

    @abstractmethod
    def send(self, message: Trial | Cancel) -> None:
        """Sends something; to one that is dead, in vain."""

    @abstractmethod
    def has_message(self) -> bool:
        """Says whether it has said something that was not heard yet."""

    @abstractmethod
    def memory_mib(self) -> float:
        """Returns its resident memory in MiB as far as it is known; 0 when it is gone."""

    @abstractmethod
    def kill(self) -> None:
        """Ends it at once, whatever it does; to be buried afterwards."""

    @abstractmethod
    def reap(self) -> WorkerExit:
        """Ends it if it still runs, gives back what it took, and returns how it ended."""


class WorkerBackend(ABC):
    """All workers of one executor."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many workers there may be now, at least one."""

    @abstractmethod
    def start_worker(self, slot: int) -> Worker:
        """Starts a worker, without waiting for it.

        Args:
            slot: Which of the slots it is to serve, from 0.

        Raises:
            FatalError: There is no place for it and will be none.
        """

    @abstractmethod
    def wait(self, workers: Sequence[Worker], timeout: float) -> list[tuple[Worker, Message | None]]:
        """Waits at most ``timeout`` seconds until one of the workers says something, and returns what they did.

        In the order of each; None as the last of one that is dead.

        Raises:
            FatalError: The workers cannot be reached any more.
        """

    @abstractmethod
    def close(self) -> None:
        """Gives back what was taken beside the workers; all of them were buried."""
