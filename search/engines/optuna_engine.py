"""Optuna as an engine, by ask and tell on a study in memory; the ledger, not Optuna, is the record.

Each ask seeds its sampler from (study seed, trial number, attempt): Optuna's own seeds repeat their first draws when a
study is resumed. The study in memory is rebuilt from the ledger by replaying its trials.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, BruteForceSampler, RandomSampler
from optuna.trial import TrialState

from search import seeds
from search.engines.asha import RungPromotions, rungs
from search.engines.base import (
    CanEnd,
    Engine,
    EngineCapabilities,
    ProposalPending,
    SpaceExhausted,
    always,
    objective_value,
)
from search.engines.samplers import ASHA, OPTUNA_PRUNERS, OPTUNA_SAMPLERS, OptunaSampler
from search.errors import UserError, missing_extra, unknown_name
from search.optuna_domains import to_optuna_distribution
from search.trial import MEMORY_CAUSES, Config, EpochReport, Outcome, Proposal, State, config_key
from spaces.domains import Domain, Float
from spaces.space import Space

MAX_DRAWS = 30
"""Draws before a space counts as exhausted. In a finite space one more draw by brute force finds what is left."""
MAX_MODEL_DRAWS = 5
"""Of these, draws from the chosen sampler. The rest are random, since a model that has converged on one configuration
would propose it again and again."""
CACHED_SEARCH_SPACES = ("_search_space", "_group_decomposed_search_space", "_intersection_search_space")
"""Attributes in which Optuna 5.0's samplers keep the parameters that all trials so far share. They are copied to each
new sampler, which otherwise iterates over all trials: 65 ms an ask at 1,000 trials, where CMA-ES itself takes 3."""


ProposalKey = tuple[str, int | None]
"""A configuration's key, and the epochs of a short trial."""


@dataclass(slots=True)
class _OptunaTrial:
    """A configuration in training: one trial of Optuna, even if several trials of the study continue it."""

    trial: optuna.Trial
    proposal: Proposal
    epoch: int = 0


class OptunaEngine(Engine):
    """Optuna's samplers and pruners.

    Args:
        space: The space to propose from.
        sampler: A name in ``OPTUNA_SAMPLERS``.
        pruner: A name in ``OPTUNA_PRUNERS``.
        seed: The study's seed; 0 is a seed.
        epochs: Epochs of a full trial, for the rungs.
        objective: The metric to minimize; where a record lacks it, the error.
    """

    capabilities = EngineCapabilities(prunes=True, resumes=True)

    def __init__(
        self, space: Space, *, sampler: str, pruner: str, seed: int, epochs: int, objective: str = "error_percent"
    ) -> None:
        if pruner not in OPTUNA_PRUNERS:
            raise unknown_name("pruner", pruner, OPTUNA_PRUNERS)
        self._space, self._seed, self._objective = space, seed, objective
        self._sampler = _available_sampler(sampler, space)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # Hyperband chooses brackets by the study's name, so the name is fixed.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna_pruner = OPTUNA_PRUNERS[pruner](optuna.pruners, epochs)
        self._study = optuna.create_study(study_name="search", direction="minimize", pruner=optuna_pruner)
        self._previous_sampler: BaseSampler | None = None
        self._running: dict[int, _OptunaTrial] = {}
        self._stopped: dict[int, _OptunaTrial] = {}
        self._interrupted: dict[ProposalKey, _OptunaTrial] = {}
        self._seen_keys: set[ProposalKey] = set()
        self._asked: Counter[int] = Counter()  # by number, without given proposals
        self._is_exhausted = False
        self._promotions = RungPromotions(epochs) if pruner == ASHA else None
        self.rungs = rungs(epochs) if pruner == ASHA else ()

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        """Returns a stopped trial to continue, or a configuration not proposed before; see ``Engine.ask``."""
        if fixed is None:
            fixed = self._next_promotion()
        if fixed is not None:
            self._running[number] = self._resume(fixed) or self._enqueue(number, fixed)
            return fixed
        attempts = 0 if self._is_exhausted else MAX_DRAWS + (self._space.size() is not None)
        self._asked[number] += 1
        for attempt in range(attempts):
            trial, proposal = self._sample(number, attempt)
            if _key(proposal) not in self._seen_keys:
                self._running[number] = self._register(trial, proposal)
                return proposal
            self._tell(trial, state=TrialState.FAIL)
        self._is_exhausted = True
        if self._promotions is not None and self._running:
            raise ProposalPending  # a stopped trial may be due once a running one reaches a rung
        raise SpaceExhausted

    def report(self, number: int, report: EpochReport) -> bool:
        """Records what is minimized after an epoch; see ``Engine.report``."""
        run, value = self._running[number], report.metrics.get(self._objective, report.error_percent)
        if value is None or report.epoch <= run.epoch:
            return False
        run.epoch = report.epoch
        run.trial.report(value, report.epoch)
        if self._promotions is not None:
            self._promotions.record_error(run.trial.number, report.epoch, value)
        return run.trial.should_prune()

    def tell(self, number: int, outcome: Outcome) -> None:
        """Records how a trial ended; a failed trial has no value.

        Optuna ignores failures. One for want of memory says that larger configurations fail too, so it is told as a
        pruned trial, which TPE ranks below the complete ones.
        """
        run, value = self._running.pop(number), self._value(outcome)
        if outcome.state is State.INTERRUPTED:
            self._interrupted[_key(run.proposal)] = run
        elif value is not None and math.isfinite(value):
            self._tell(run.trial, value, TrialState.COMPLETE)
        elif outcome.cause in MEMORY_CAUSES:
            self._tell(run.trial, state=TrialState.PRUNED)
        elif outcome.state is not State.PRUNED or not outcome.history:
            self._tell(run.trial, state=TrialState.FAIL)
        elif self._promotions is not None and self._promotions.mark_stopped(run.trial.number):
            self._stopped[number] = run
        else:
            self._tell(run.trial, state=TrialState.PRUNED)

    def may_resume(self, number: int) -> bool:
        """Returns whether the trial was stopped at a rung; it continues when it is among the best there."""
        return number in self._stopped

    def _value(self, outcome: Outcome) -> float | None:
        """Returns what to minimize; None unless the trial is complete."""
        return objective_value(outcome, self._objective) if outcome.state is State.COMPLETE else None

    def _next_promotion(self) -> Proposal | None:
        """Returns the proposal to continue a stopped trial, or None."""
        promoted = None if self._promotions is None else self._promotions.next_trial()
        stopped = ((number, run) for number, run in self._stopped.items() if run.trial.number == promoted)
        return next((Proposal(config=run.proposal.config, parent=number) for number, run in stopped), None)

    def _resume(self, fixed: Proposal) -> _OptunaTrial | None:
        """Returns the interrupted or stopped run that a proposal continues, or None."""
        if (run := self._interrupted.pop(_key(fixed), None)) is not None:
            return run
        if fixed.parent is None or (run := self._stopped.pop(fixed.parent, None)) is None:
            return None
        if self._promotions is not None:
            self._promotions.mark_resumed(run.trial.number)
        return run

    def _enqueue(self, number: int, proposal: Proposal) -> _OptunaTrial:
        """Enqueues a configuration in the study, so that samplers learn from it."""
        self._study.enqueue_trial(self._parameters(proposal))
        trial, _ = self._sample(number, 0, use_random=not self._sampler.stateful)
        return self._register(trial, proposal)

    def _parameters(self, proposal: Proposal) -> dict[str, Any]:
        """Returns a proposal as parameters in Optuna."""
        return dict(proposal.config)

    def _register(self, trial: optuna.Trial, proposal: Proposal) -> _OptunaTrial:
        self._seen_keys.add(_key(proposal))
        return _OptunaTrial(trial, proposal)

    def _sample(self, number: int, attempt: int, *, use_random: bool = False) -> tuple[optuna.Trial, Proposal]:
        """Draws a configuration, parents first; skips the parameters whose condition does not hold."""
        earlier = (MAX_DRAWS + 1) * max(0, self._asked[number] - 1)  # where the last proposal of a number was refused
        seed = seeds.proposal_seed(self._seed, number, earlier + attempt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.sampler = self._make_sampler(seed, attempt, use_random=use_random)
            trial = self._study.ask()
            if self._sampler.stateful:
                _ = trial.relative_params  # Optuna asks the sampler only when drawing; an enqueued trial draws nothing
            values: dict[str, object] = {}
            for name, domain in self._space.parameters.items():
                # Without the float noise of Optuna's steps, which conditions would not match.
                if domain.when is None or domain.when.holds(self._space.active(values)):
                    values[name] = suggest(trial, name, domain)
        return trial, self._make_proposal(trial, self._space.active(values))

    def _make_proposal(self, trial: optuna.Trial, config: Config) -> Proposal:
        """Returns the proposal of a drawn configuration."""
        return Proposal(config=config)

    def _make_sampler(self, seed: int, attempt: int, *, use_random: bool) -> BaseSampler:
        """Returns the sampler of a draw: the chosen one, later a random one, at last an exhaustive one."""
        if attempt == MAX_DRAWS:
            return BruteForceSampler(seed=seed)
        if use_random or (attempt >= MAX_MODEL_DRAWS and not self._sampler.needs_finite_space):
            return RandomSampler(seed=seed)
        fresh: BaseSampler = self._sampler.make(optuna.samplers, seed, self._seed, len(self._stopped))
        for name in CACHED_SEARCH_SPACES:
            if hasattr(self._previous_sampler, name):
                setattr(fresh, name, getattr(self._previous_sampler, name))
        self._previous_sampler = fresh
        return fresh

    def _tell(self, trial: optuna.Trial, value: float | None = None, state: TrialState | None = None) -> None:
        if not self._sampler.stateful or isinstance(self._study.sampler, BruteForceSampler):
            # Brute force calls Study.stop after its last trial, which Optuna refuses outside optimize.
            self._study.sampler = RandomSampler(seed=0)
        self._study.tell(trial, value, state)


def _key(proposal: Proposal) -> ProposalKey:
    """Returns what is equal for the same training."""
    return (config_key(proposal.config), proposal.short_epochs)


def _available_sampler(name: str, space: Space) -> OptunaSampler:
    """Returns the sampler.

    Raises:
        UserError: It is unknown, its extra is missing, or it cannot search the space.
    """
    if name not in OPTUNA_SAMPLERS:
        raise unknown_name("sampler", name, OPTUNA_SAMPLERS)
    sampler = OPTUNA_SAMPLERS[name]
    if sampler.module and importlib.util.find_spec(sampler.module) is None:
        raise missing_extra(f"Sampler {name!r}", sampler.extra)
    continuous = [name for name, domain in space.parameters.items() if domain.values() is None]
    if sampler.needs_finite_space and continuous:
        first, domain = continuous[0], space.parameters[continuous[0]]
        assert isinstance(domain, Float)  # the others are finite
        raise UserError(
            f"Sampler {name!r} needs finitely many values of every parameter. Received: a continuum for "
            f"{', '.join(continuous)}.",
            hint=f"Fix them, such as --fix {first}={domain.baseline}, or list values, such as "
            f"--range {first}={domain.low},{domain.baseline}.",
        )
    return sampler


def suggest(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    """Returns the value that Optuna suggests for a parameter."""
    match to_optuna_distribution(domain):
        case CategoricalDistribution(choices=options):
            return trial.suggest_categorical(name, options)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high) if low == high:
            return trial.suggest_float(name, low, high, step=1.0)  # brute force refuses a float without a step
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
    raise AssertionError(domain)
