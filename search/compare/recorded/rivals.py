"""Simple searches beside the engines: an engine that does not beat them is not worth its code.

They are for comparisons only. All minimize the calibrated loss. ``contenders`` names them.
"""

from __future__ import annotations

import numpy as np

from search import seeds
from search.compare.recorded.mutants import mutant
from search.engines.base import (
    CanEnd,
    Engine,
    EngineCapabilities,
    NothingFits,
    ProposalPending,
    SpaceExhausted,
    always,
    short_epochs,
)
from search.trial import Config, EpochReport, Outcome, Proposal, State, config_key
from spaces.space import Space

MAX_CHANGES = 3
"""Most parameters that a mutation changes; their number is uniform from 1."""
GENERATION, PROMOTED = 10, 2
"""Mutants of a generation, and how many of them are trained in full."""
MAX_DRAWS = 100
"""Draws for a mutant that was not proposed before."""


class Rival(Engine):
    """Proposes nothing of its own, so a search with it is the baseline and the recipes.

    Args:
        space: The space to propose from.
        seed: The study's seed.
        epochs: Epochs of a full trial.
    """

    capabilities = EngineCapabilities(prunes=False, shares_seed=True)

    def __init__(self, space: Space, seed: int, epochs: int) -> None:
        self._space, self._seed, self._epochs = space, seed, epochs
        self._running: dict[int, Proposal] = {}
        self._given: set[str] = set()  # keys of the configurations that were given: baseline and recipes
        self._full: dict[str, tuple[float, Config]] = {}
        self._short: dict[str, tuple[float, Config]] = {}
        self._seen: set[str] = set()

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        """Returns a proposal; see ``Engine.ask``."""
        if fixed is not None:
            self._given.add(config_key(fixed.config))
        proposal = fixed or self._propose(number, can_end)
        self._running[number] = proposal
        self._seen.add(config_key(proposal.config))
        return proposal

    def report(self, number: int, report: EpochReport) -> bool:
        """Ignores an epoch."""
        return False

    def tell(self, number: int, outcome: Outcome) -> None:
        """Records the calibrated loss of a trial."""
        proposal = self._running.pop(number)
        loss, key = outcome.calibrated_loss, config_key(proposal.config)
        if outcome.state in (State.COMPLETE, State.SCREENED) and loss is not None:
            results = self._full if outcome.state is State.COMPLETE else self._short
            results[key] = (loss, proposal.config)

    def _propose(self, number: int, can_end: CanEnd) -> Proposal:
        raise SpaceExhausted

    def _mutant(self, number: int, parent: Config) -> Config:
        """Returns a mutant of a configuration that was not proposed before.

        Raises:
            SpaceExhausted: None was found.
        """
        generator = np.random.default_rng(seeds.proposal_seed(self._seed, number, 0))
        for _ in range(MAX_DRAWS):
            config = mutant(self._space, parent, int(generator.integers(1, MAX_CHANGES + 1)), generator)
            if config_key(config) not in self._seen:
                return config
        raise SpaceExhausted


class RandomMutation(Rival):
    """Mutants of the best given configuration, all of them trained in full."""

    def _propose(self, number: int, can_end: CanEnd) -> Proposal:
        given = [self._full[key] for key in self._full if key in self._given]
        if not given:
            raise ProposalPending
        return Proposal(config=self._mutant(number, min(given, key=_loss)[1]))


class Generations(Rival):
    """Generations of short trainings of mutants of the incumbent; the best two of each are trained in full.

    The incumbent is the best full training. Short trainings of recipes count in the first generation.
    """

    capabilities = EngineCapabilities(prunes=False, screens=True, shares_seed=True)

    def __init__(self, space: Space, seed: int, epochs: int) -> None:
        super().__init__(space, seed, epochs)
        self._screened = self._promoted = 0  # trainings of this generation that were proposed

    def _propose(self, number: int, can_end: CanEnd) -> Proposal:
        if not self._full or (self._promoted == PROMOTED and self._running):
            raise ProposalPending
        if self._promoted == PROMOTED:
            self._screened = self._promoted = 0
            self._short.clear()
        incumbent, short = min(self._full.values(), key=_loss)[1], short_epochs(self._epochs)
        if self._promoted == 0 and self._screened < GENERATION and can_end(incumbent, short + self._epochs):
            config = self._mutant(number, incumbent)
            self._screened += 1
            return Proposal(config=config, short_epochs=short)
        if self._promoted == 0 and any(proposal.short_epochs for proposal in self._running.values()):
            raise ProposalPending
        begun = {*self._full, *(config_key(proposal.config) for proposal in self._running.values())}
        candidates = sorted((self._short[key] for key in self._short if key not in begun), key=_loss)
        fitting = [config for _, config in candidates if can_end(config, self._epochs)]
        if not fitting:
            raise NothingFits
        self._promoted += 1
        return Proposal(config=fitting[0])


def _loss(entry: tuple[float, Config]) -> float:
    return entry[0]
