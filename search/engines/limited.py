"""An engine whose proposals are within a limit, such as one of trainable parameters or predicted seconds.

A proposal outside the limit is refused, and the engine asked again; where it proposes hardly anything else, its last
proposal is narrowed. No trial is spent on a refused one. Called by ``search.session.session``.
"""

from __future__ import annotations

import dataclasses

from search.engines.base import CanEnd, Engine, SpaceExhausted, always
from search.engines.limits import Limit
from search.trial import Cause, Config, EpochReport, Outcome, Proposal, State, config_key

MAX_REFUSED = 10
"""Proposals outside the limit, one after another, after which the last one is narrowed."""
MAX_NARROWED = 20
"""Narrowed proposals, one after another, after which a search ends if all of them were tried before."""
TOO_LARGE = Outcome(state=State.FAILED, cause=Cause.OUT_OF_MEMORY)
"""What an engine is told of a configuration outside the limit."""


class LimitedEngine(Engine):
    """Keeps another engine's proposals within a limit.

    Given configurations outside it, such as a large baseline, are trained, but the engine learns of them only that they
    are too large. It would otherwise stay near one that it may not propose.

    Args:
        inner: The engine that proposes.
        limit: The limit.
    """

    def __init__(self, inner: Engine, limit: Limit) -> None:
        self._inner, self._limit = inner, limit
        self.capabilities, self.rungs = inner.capabilities, inner.rungs
        self._asked: set[tuple[str, int | None]] = set()
        self._begun: set[str] = set()
        self._running: dict[int, Config] = {}

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        """Returns a proposal within the limit; see ``Engine.ask``."""
        proposal = self._within_limit(number, can_end) if fixed is None else self._inner.ask(number, fixed=fixed)
        self._running[number] = proposal.config
        self._asked.add(_key(proposal))
        self._begun.add(config_key(proposal.config))
        return proposal

    def report(self, number: int, report: EpochReport) -> bool:
        """Asks the engine whether to prune a trial, unless it is clearly outside the limit; see ``Engine.report``."""
        return not self._limit.excludes(self._running[number]) and self._inner.report(number, report)

    def tell(self, number: int, outcome: Outcome) -> None:
        """Records how a trial ended; one clearly outside the limit as too large."""
        is_excluded = self._limit.excludes(self._running.pop(number))
        self._inner.tell(number, TOO_LARGE if is_excluded and outcome.state is not State.INTERRUPTED else outcome)

    def may_resume(self, number: int) -> bool:
        """Returns what the engine does."""
        return self._inner.may_resume(number)

    def _within_limit(self, number: int, can_end: CanEnd) -> Proposal:
        for _ in range(MAX_NARROWED):
            for _ in range(MAX_REFUSED):
                proposal = self._inner.ask(number, can_end=can_end)
                if proposal.parent is not None or self._may_begin(proposal.config):
                    return proposal
                self._refuse(number)
            if (config := self._limit.narrowed(proposal.config)) is not None:
                narrowed = dataclasses.replace(proposal, config=config)
                if _key(narrowed) not in self._asked:
                    return self._inner.ask(number, fixed=narrowed)
        raise SpaceExhausted

    def _may_begin(self, config: Config) -> bool:
        """Returns whether a configuration is within the limit; a begun one may go on unless it is clearly outside."""
        is_begun = config_key(config) in self._begun
        return self._limit.allows(config) or (is_begun and not self._limit.excludes(config))

    def _refuse(self, number: int) -> None:
        """Tells the engine that its proposal is too large.

        An engine that pauses trials counts those of a round, and must not wait for one that never was.
        """
        self._inner.tell(number, Outcome(state=State.INTERRUPTED) if self.capabilities.pauses else TOO_LARGE)


def _key(proposal: Proposal) -> tuple[str, int | None]:
    return config_key(proposal.config), proposal.short_epochs
