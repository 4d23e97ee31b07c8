"""The Engine interface: proposes configurations, hears how they went.

An engine receives values, never the study or the ledger. Order of calls for each trial::

    ask -> report ... report -> tell

A proposal may ask for part of a trial only: it then ends as paused. A later proposal of the same configuration may go
on from a paused trial, or from one that the engine stopped at one of its rungs, as its child.

Only the thread that made an engine may call it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from search.records.record import TrialRecord
from search.trial import EpochReport, Outcome, Proposal

START_UP_TRIALS = 5
"""Trials before a model-based sampler, of whatever engine, takes over from random draws: the baseline and the recipes,
and few more, since a search here has tens of trials, not hundreds."""


class SpaceExhausted(Exception):  # noqa: N818 - the end of a search, not a failure
    """No configuration is left that was not tried."""


class ProposalPending(Exception):  # noqa: N818 - see SpaceExhausted
    """Nothing can be proposed before a running trial ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCapabilities:
    """What an engine can do.

    Args:
        prunes: It may stop a trial early.
        parallel: It takes running trials into account when asked for another.
        conditional: It models parameters that count only under a condition.
        pauses: It asks for parts of trials, and goes on from some.
        resumes: It goes on from some of the trials that it stopped.
        seeded: Another seed gives other proposals.
    """

    prunes: bool
    parallel: bool
    conditional: bool
    pauses: bool = False
    resumes: bool = False
    seeded: bool = True


class Engine(ABC):
    """Proposes configurations of one space.

    ``rungs`` are the epochs after which it may stop a trial that it may go on from later.
    """

    capabilities: EngineCapabilities
    rungs: tuple[int, ...] = ()

    @abstractmethod
    def ask(self, number: int, *, fixed: Proposal | None = None) -> Proposal:
        """Returns what trial ``number`` is to be.

        Args:
            number: The trial's number; the same seed, number and history give the same proposal.
            fixed: A proposal chosen by the caller (the baseline, a recipe, an earlier one of this engine's to be taken
                up again); noted and returned as it is. None asks the engine for one.

        Raises:
            SpaceExhausted: No configuration is left that was not tried, and none to go on from.
            NothingYet: There may be one when a running trial has ended.
        """

    @abstractmethod
    def report(self, number: int, report: EpochReport) -> bool:
        """Notes an epoch of a running trial; returns whether to prune it."""

    @abstractmethod
    def tell(self, number: int, outcome: Outcome) -> None:
        """Notes how a trial ended; an interrupted one will be given again under another number."""

    def may_resume(self, number: int) -> bool:
        """Says whether a later proposal may go on from this paused or stopped trial, so that its state is kept."""
        return False


def replay(engine: Engine, records: Iterable[TrialRecord]) -> None:
    """Brings a fresh engine to where recorded trials left another one; trials still running are passed over."""
    for record in records:
        if record.outcome is None:
            continue
        engine.ask(record.trial.number, fixed=record.trial.proposal)
        for report in record.outcome.history:
            engine.report(record.trial.number, report)
        engine.tell(record.trial.number, record.outcome)
