"""The Executor interface and the events it delivers.

An executor runs trials; it imports no engine, ledger or study. Order of calls::

    submit (while len(running) < slots) -> collect ... collect -> [cancel] -> collect -> close
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from search.trial import NO_FILES, Cause, EpochReport, Outcome, Phase, Trial, TrialFiles

TrialKey = tuple[Phase, int]
"""Identifies a trial within its study: phase and number."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A trial finished an epoch."""

    key: TrialKey
    report: EpochReport


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial ended; it has no further event."""

    key: TrialKey
    outcome: Outcome


Event = Reported | Finished


class Executor(ABC):
    """Runs trials."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many trials may run at once."""

    @property
    @abstractmethod
    def running(self) -> Mapping[TrialKey, Trial]:
        """The trials that were submitted and have not finished."""

    @abstractmethod
    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        """Starts a trial, which reads and writes these files; allowed while fewer than ``slots`` run."""

    @abstractmethod
    def collect(self, timeout: float) -> list[Event]:
        """Waits at most ``timeout`` seconds for events and returns them in order.

        Raises:
            FatalError: No worker can be started.
        """

    @abstractmethod
    def cancel(self, key: TrialKey, cause: Cause) -> None:
        """Asks a running trial to stop. Its Finished event follows, interrupted with the first cause given."""

    @abstractmethod
    def close(self) -> None:
        """Stops everything at once and releases all resources; nothing can be submitted any more."""
