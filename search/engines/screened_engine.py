"""This project's own sampler as an engine: sparse mutation, screened by short trials.

``search.engines.hub.samplers.screened_mutation`` chooses, on Optuna's study in memory as the other samplers do. What it
minimizes is the calibrated cross-entropy on the validation images.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.samplers import BaseSampler

from search.engines import base
from search.engines.base import CanEnd, EngineCapabilities, always, objective_value, short_epochs
from search.engines.hub.samplers.screened_mutation import PARENT_KEY, NothingFits, ScreenedMutationSampler
from search.engines.optuna_engine import MAX_DRAWS, OptunaEngine
from search.trial import MUTATION_KEY, Config, Outcome, Proposal, State
from spaces.space import Space

EPOCHS = "epochs of the schedule"
"""Optuna's parameter that holds a trial's epochs; no parameter of a space has this name, since it is no identifier."""


class ScreenedEngine(OptunaEngine):
    """Sparse mutation of the incumbent, screened by short trials.

    Args:
        space: The space to propose from.
        sampler: Its name in ``OPTUNA_SAMPLERS``.
        seed: The study's seed; 0 is a seed.
        epochs: Epochs of a full trial.
        objective: The metric to minimize; where a record lacks it, the error.
    """

    capabilities = EngineCapabilities(prunes=False, screens=True, shares_seed=True)

    def __init__(
        self, space: Space, *, sampler: str, seed: int, epochs: int, objective: str = "calibrated_loss"
    ) -> None:
        super().__init__(space, sampler=sampler, pruner="none", seed=seed, epochs=epochs, objective=objective)
        self._epochs, self._short = epochs, short_epochs(epochs)
        self._can_end: CanEnd = always
        self._mutation_sampler = ScreenedMutationSampler(
            fidelity=EPOCHS if self._short < epochs else None,
            short=self._short,
            full=epochs,
            can_finish=lambda params, epochs: self._can_end(space.active(params), epochs),
        )
        self._numbers: dict[int, int] = {}  # of the study's trials, by Optuna's numbers

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        """Returns a mutation to screen, or one to train in full; see ``Engine.ask``."""
        self._can_end = can_end
        try:
            proposal = super().ask(number, fixed=fixed)
        except NothingFits:
            raise base.NothingFits from None
        self._numbers[self._running[number].trial.number] = number
        return proposal

    def _value(self, outcome: Outcome) -> float | None:
        """Returns the calibrated cross-entropy, or the error where a record lacks it; None unless complete."""
        if outcome.state not in (State.COMPLETE, State.SCREENED):
            return None
        return objective_value(outcome, self._objective)

    def _parameters(self, proposal: Proposal) -> dict[str, Any]:
        # A first trial for which the time is short may have any number of epochs; it counts as the next longer kind.
        is_short = proposal.short_epochs is not None and proposal.short_epochs <= self._short
        return {**super()._parameters(proposal), EPOCHS: self._short if is_short else self._epochs}

    def _make_proposal(self, trial: optuna.Trial, config: Config) -> Proposal:
        epochs = trial.suggest_categorical(EPOCHS, sorted({self._short, self._epochs}))
        parent = self._study.get_trials(deepcopy=False)[trial.number].system_attrs.get(PARENT_KEY)
        metadata = {} if parent is None else {MUTATION_KEY: self._numbers[parent]}
        return Proposal(config=config, short_epochs=epochs if epochs < self._epochs else None, engine_metadata=metadata)

    def _make_sampler(self, seed: int, attempt: int, *, use_random: bool) -> BaseSampler:
        if use_random or attempt == MAX_DRAWS:
            return super()._make_sampler(seed, attempt, use_random=use_random)
        return self._mutation_sampler.with_seed(seed)
