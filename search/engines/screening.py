"""Screening: another engine's proposals are trained briefly first, and the best of them in full.

Two complete epochs rank configurations better than ten that are cut (docs/LOG.md), so any sampler of Optuna and any
oracle of Keras Tuner that proposes whole trials can be screened. The inner engine proposes and learns from short trials
alone, so that it compares like with like; this module decides which are trained in full.
"""

from __future__ import annotations

import dataclasses
import math

from search.engines.base import (
    CanEnd,
    Engine,
    NothingFits,
    ProposalPending,
    SpaceExhausted,
    always,
    objective_value,
    short_epochs,
)
from search.engines.hub.samplers.screened_mutation.history import promotion_bound
from search.engines.hub.samplers.screened_mutation.sampler import SCREENING_RATIO
from search.trial import MUTATION_KEY, EpochReport, Outcome, Proposal, State, config_key

FIRST_SCREENS = 5
"""Short trials before the first full one, in a search that begins without any."""


class Screening(Engine):
    """Short trials of what an engine proposes; those that beat the best full trial's own short one are trained in full.

    Args:
        inner: The engine that proposes; it neither prunes nor pauses.
        epochs: Epochs of a full trial, 2 or more.
        objective: The metric to minimize; where a record lacks it, the error.
    """

    def __init__(self, inner: Engine, *, epochs: int, objective: str = "calibrated_loss") -> None:
        self._objective = objective
        self._inner, self._epochs, self._short = inner, epochs, short_epochs(epochs)
        self.capabilities = dataclasses.replace(
            inner.capabilities, prunes=False, resumes=False, screens=True, shares_seed=True
        )
        self._running: dict[int, Proposal] = {}
        self._full: dict[str, Proposal] = {}  # begun, by the configuration's key
        self._screened: dict[str, Proposal] = {}
        self._full_losses: dict[str, float] = {}
        self._short_losses: dict[str, float] = {}
        self._short_numbers: dict[str, int] = {}

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        """Returns a short trial of another configuration, or one to train in full; see ``Engine.ask``."""
        proposal = fixed or self._unscreened() or self._due(can_end)
        if proposal is None:
            proposal = self._new(number, can_end)
        elif self._is_short(proposal):
            self._inner.ask(number, fixed=dataclasses.replace(proposal, short_epochs=None))
        self._running[number] = proposal
        begun = self._screened if self._is_short(proposal) else self._full
        begun[config_key(proposal.config)] = proposal
        return proposal

    def report(self, number: int, report: EpochReport) -> bool:
        """Never prunes: short trials are complete, and few are trained in full."""
        return False

    def tell(self, number: int, outcome: Outcome) -> None:
        """Records how a trial ended; the inner engine learns of short trials, as complete ones."""
        proposal = self._running.pop(number)
        key, is_short = config_key(proposal.config), self._is_short(proposal)
        if is_short:
            state = State.COMPLETE if outcome.state is State.SCREENED else outcome.state
            self._inner.tell(number, dataclasses.replace(outcome, state=state))
        if outcome.state is State.INTERRUPTED:
            del (self._screened if is_short else self._full)[key]
            return
        loss = objective_value(outcome, self._objective)
        if outcome.state in (State.COMPLETE, State.SCREENED) and loss is not None and math.isfinite(loss):
            (self._short_losses if is_short else self._full_losses)[key] = loss
            if is_short:
                self._short_numbers[key] = number

    def _is_short(self, proposal: Proposal) -> bool:
        # A first trial for which the time is short may have any number of epochs; it counts as the next longer kind.
        return proposal.short_epochs is not None and proposal.short_epochs <= self._short

    def _unscreened(self) -> Proposal | None:
        """Returns the short trial of a given configuration (baseline, recipe) that is trained in full alone."""
        missing = (proposal for key, proposal in self._full.items() if key not in self._screened)
        given = next(missing, None)
        return None if given is None else Proposal(config=given.config, short_epochs=self._short)

    def _due(self, can_end: CanEnd) -> Proposal | None:
        """Returns the next full trial if one is due, or if no short trial and a full one can follow; else None.

        Raises:
            NothingFits: Neither can end.
        """
        losses = self._full_losses or self._short_losses
        best = min(losses, key=losses.__getitem__, default=None)
        if best is None:
            return None
        config = self._screened[best].config if best in self._screened else self._full[best].config
        if not can_end(config, self._short + self._epochs):
            if (promoted := self._best_screened(self._promotion_bound(best), can_end)) is None:
                raise NothingFits
            return promoted
        least = max(FIRST_SCREENS, SCREENING_RATIO * self._epochs / self._short * len(self._full))
        if len(self._screened) < least:
            return None
        return self._best_screened(self._promotion_bound(best), can_end)

    def _promotion_bound(self, best: str) -> float:
        """Returns the short loss below which a configuration is trained in full.

        Args:
            best: Key of the best full trial, or of the best short one where none is full.
        """
        if not self._full_losses or best not in self._short_losses:
            return math.inf
        return promotion_bound(self._short_losses[best], list(self._short_losses.values()))

    def _best_screened(self, limit: float, can_end: CanEnd = always) -> Proposal | None:
        """Returns the full trial of the best screened configuration with a lower loss than a limit, or None."""
        for key in sorted(self._short_losses, key=self._short_losses.__getitem__):
            config = self._screened[key].config
            if self._short_losses[key] < limit and key not in self._full and can_end(config, self._epochs):
                return Proposal(config=config, engine_metadata={MUTATION_KEY: self._short_numbers[key]})
        return None

    def _new(self, number: int, can_end: CanEnd) -> Proposal:
        """Returns a short trial of what the inner engine proposes; in an exhausted space the next full trial.

        Raises:
            SpaceExhausted: Every configuration was trained in full.
            ProposalPending: A short trial that is running may be trained in full.
        """
        try:
            proposed = self._inner.ask(number)
        except SpaceExhausted:
            if (promoted := self._best_screened(math.inf, can_end)) is not None:
                return promoted
            if any(map(self._is_short, self._running.values())):
                raise ProposalPending from None
            raise
        return dataclasses.replace(proposed, short_epochs=self._short)
