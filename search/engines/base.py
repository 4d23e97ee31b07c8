"""The Engine interface: proposes configurations and learns from their results.

An engine receives values, never the study or the ledger. Order of calls for each trial::

    ask -> report ... report -> tell

A proposal may be for part of a trial only; the trial then ends as paused. A later proposal of the same configuration
may continue a paused trial, or one that the engine stopped at a rung, as its child.

Only the thread that made an engine may call it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from search.trial import Config, EpochReport, Outcome, Proposal

START_UP_TRIALS = 5
"""Trials before a model-based sampler replaces random draws: the baseline, the recipes and a few more, since a search
here has tens of trials."""


SHORT_SHARE = 0.2
"""Epochs of a short trial as a share of a full one's. Two complete epochs rank configurations better than the first
three of ten (docs/LOG.md)."""


def short_epochs(epochs: int) -> int:
    """Returns the epochs of a short trial, where a full one has this many; equal to them if there are no fewer."""
    return max(1, round(SHORT_SHARE * epochs))


def objective_value(outcome: Outcome, objective: str) -> float | None:
    """Returns the metric that an engine minimizes, or the error where a record lacks it; None unless scored."""
    value = outcome.value_of(objective)
    return outcome.error_percent if value is None else value


class SpaceExhausted(Exception):  # noqa: N818 - the end of a search, not a failure
    """Every configuration was tried."""


class NothingFits(SpaceExhausted):
    """No trial that is worth beginning can end in the time that is left."""


class ProposalPending(Exception):  # noqa: N818 - see SpaceExhausted
    """Nothing can be proposed before a running trial ends."""


CanEnd = Callable[[Config, int], bool]
"""Returns whether a configuration can be trained for some epochs in the time that is left."""


def always(config: Config, epochs: int) -> bool:
    """Returns True: time does not matter."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCapabilities:
    """What an engine can do.

    Args:
        prunes: It may stop a trial early.
        pauses: It proposes parts of trials and continues some of them.
        resumes: It continues some of the trials that it stopped.
        seeded: Another seed gives other proposals.
        screens: It proposes short trials, and trains in full what does well in them.
        shares_seed: All its trainings take one seed, the study's first, so that their differences are paired.
    """

    prunes: bool
    pauses: bool = False
    resumes: bool = False
    seeded: bool = True
    screens: bool = False
    shares_seed: bool = False


class Engine(ABC):
    """Proposes configurations of one space.

    ``rungs`` are the epochs after which it may stop a trial and continue it later.
    """

    capabilities: EngineCapabilities
    rungs: tuple[int, ...] = ()

    @abstractmethod
    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        """Returns the proposal for trial ``number``.

        Args:
            number: The trial's number; the same seed, number and history give the same proposal.
            fixed: A proposal chosen by the caller (the baseline, a recipe, an earlier proposal of this engine that is
                tried again); recorded and returned unchanged. None for a proposal of the engine.
            can_end: Returns whether a configuration can be trained for some epochs in the time that is left. An engine
                without short trials may ignore it.

        Raises:
            SpaceExhausted: Every configuration was tried, and no trial is left to continue.
            NothingFits: No trial that is worth beginning can end.
            ProposalPending: There may be a proposal once a running trial has ended.
        """

    @abstractmethod
    def report(self, number: int, report: EpochReport) -> bool:
        """Records an epoch of a running trial; returns whether to prune it."""

    @abstractmethod
    def tell(self, number: int, outcome: Outcome) -> None:
        """Records how a trial ended; an interrupted trial is proposed again under another number."""

    def may_resume(self, number: int) -> bool:
        """Returns whether a later proposal may continue this paused or stopped trial; its state is then kept."""
        return False
