"""The Engine interface: proposes configurations, hears how they went.

An engine receives values, never the study or the ledger. Order of calls for each trial::

    ask -> report ... report -> tell

Only the thread that made an engine may call it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from search.record import TrialRecord
from search.trial import Config, EpochReport, Outcome


class SpaceExhausted(Exception):  # noqa: N818 - the end of a search, not a failure
    """No configuration is left that was not tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do.

    Args:
        prunes: It may stop a trial early.
        parallel: It takes running trials into account when asked for another.
        conditional: It models parameters that count only under a condition.
    """

    prunes: bool
    parallel: bool
    conditional: bool


class Engine(ABC):
    """Proposes configurations of one space."""

    capabilities: ClassVar[Capabilities]

    @abstractmethod
    def ask(self, number: int, *, given: Config | None = None) -> Config:
        """Returns the configuration of trial ``number``.

        Args:
            number: The trial's number; the same seed, number and history give the same configuration.
            given: A configuration chosen by the caller (the baseline, a recipe); noted and returned as it is. None asks
                the engine for one.

        Raises:
            SpaceExhausted: No configuration is left that was not tried.
        """

    @abstractmethod
    def report(self, number: int, report: EpochReport) -> bool:
        """Notes an epoch of a running trial; returns whether to prune it."""

    @abstractmethod
    def tell(self, number: int, outcome: Outcome) -> None:
        """Notes how a trial ended."""


def replay(engine: Engine, records: Iterable[TrialRecord]) -> None:
    """Brings a fresh engine to where recorded trials left another one; trials still running are passed over."""
    for record in records:
        if record.outcome is None:
            continue
        engine.ask(record.trial.number, given=record.trial.config)
        for report in record.outcome.history:
            engine.report(record.trial.number, report)
        engine.tell(record.trial.number, record.outcome)
