"""Keras Tuner as an engine: only its oracles are used.

An oracle proposes by ``populate_space``, and learns from the status and score that are set in its trials. Its
``create_trial`` and ``end_trial`` are not used: they write files, hold locks after an exception, print tables, retry,
and end after three failures. The oracle keeps no file: it is rebuilt from the ledger by replaying the trials.

Each ``ask`` seeds the oracle from (study seed, trial number): to the oracle a seed of 0 means no seed, and its draws
after a reload depend on the number of earlier calls.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from search import seeds
from search.engines import keras_tuner_oracles
from search.engines.base import (
    CanEnd,
    Engine,
    EngineCapabilities,
    ProposalPending,
    SpaceExhausted,
    always,
    objective_value,
)
from search.engines.keras_tuner_oracles import (
    BayesianOracle,
    HyperbandOracle,
    HyperParameters,
    KerasTunerTrial,
    TrialStatus,
    UntriedConfigs,
)
from search.engines.samplers import KERAS_TUNER_SAMPLERS
from search.errors import unknown_name
from search.trial import Config, EpochReport, Outcome, Proposal, State, config_key
from spaces.domains import AnyNonzero, Choice, Condition, Domain, Float, Int
from spaces.space import Space

MAX_RANDOM_DRAWS = 10
"""Draws of the oracle for an untried configuration; it tells values apart that do nothing."""


class KerasTunerEngine(Engine):
    """Keras Tuner's oracles.

    Args:
        space: The space to propose from.
        sampler: A name in ``KERAS_TUNER_SAMPLERS``.
        seed: The study's seed; 0 is a seed.
        epochs: Epochs of a full trial, for Hyperband's rounds.
        objective: The metric to minimize; where a record lacks it, the error.
    """

    def __init__(self, space: Space, *, sampler: str, seed: int, epochs: int, objective: str = "error_percent") -> None:
        if sampler not in KERAS_TUNER_SAMPLERS:
            raise unknown_name("sampler of keras-tuner", sampler, KERAS_TUNER_SAMPLERS)
        self._space, self._seed, self._objective = space, seed, objective
        self._oracle = KERAS_TUNER_SAMPLERS[sampler](keras_tuner_oracles, to_hyperparameters(space), epochs)
        self._oracle._random_values = self._untried_values
        self._hyperband = self._oracle if isinstance(self._oracle, HyperbandOracle) else None
        self._untried = UntriedConfigs(to_hyperparameters(space), self._to_values(space.baseline), self._to_config)
        self._seen_keys: set[str] = set()
        self._asked: Counter[int] = Counter()  # by number, without given proposals
        self.capabilities = EngineCapabilities(
            prunes=False, pauses=self._hyperband is not None, seeded=sampler != "grid"
        )

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        """Returns a configuration not proposed before, or a trial to continue; see ``Engine.ask``."""
        if fixed is not None:
            if self._hyperband is not None:
                self._hyperband.restore_place(number, fixed)
            self._register_running(number, fixed.config)
            return fixed
        self._reseed(number)
        response = self._oracle.populate_space(str(number))
        if response["status"] == TrialStatus.IDLE:
            raise ProposalPending
        if response["status"] == TrialStatus.STOPPED:
            raise SpaceExhausted
        config = self._to_config(response["values"])
        if self._hyperband is not None:
            proposal = self._hyperband.make_proposal(number, config)
        elif config_key(config) not in self._seen_keys:
            proposal = Proposal(config=config)
        else:  # a Gaussian process that has converged repeats itself
            if (untried := self._untried_values()) is None:
                raise SpaceExhausted
            proposal = Proposal(config=self._to_config(untried))
        self._register_running(number, proposal.config)
        return proposal

    def report(self, number: int, report: EpochReport) -> bool:
        """Never prunes: Keras Tuner cannot."""
        return False

    def tell(self, number: int, outcome: Outcome) -> None:
        """Records how a trial ended: its last metric, not its least, is its score."""
        trial = self._oracle.ongoing_trials.pop(str(number))
        if outcome.state is State.INTERRUPTED:
            del self._oracle.trials[trial.trial_id]
            if self._hyperband is not None:
                self._hyperband.remove_place(number)
            return
        is_scored = outcome.state in (State.COMPLETE, State.PAUSED)
        score = objective_value(outcome, self._objective) if is_scored else None
        if score is not None and math.isfinite(score):
            trial.status, trial.score = TrialStatus.COMPLETED, score
        elif self._hyperband is not None:
            trial.status, trial.score = TrialStatus.COMPLETED, math.inf  # it keeps its place in the round, as the last
        else:
            trial.status = TrialStatus.FAILED

    def may_resume(self, number: int) -> bool:
        """Returns whether the trial may still be promoted to the next round."""
        return self._hyperband is not None and self._hyperband.may_promote(number)

    def _register_running(self, number: int, config: Config) -> None:
        """Adds a trial to the oracle as a running one."""
        values = copy.copy(self._oracle.hyperparameters)  # all trials share the declaration, which never changes
        values.values = self._to_values(config)
        trial = KerasTunerTrial(hyperparameters=values, trial_id=str(number), status=TrialStatus.RUNNING)
        self._oracle.trials[trial.trial_id] = self._oracle.ongoing_trials[trial.trial_id] = trial
        self._oracle._record_values(trial)
        self._seen_keys.add(config_key(config))

    def _reseed(self, number: int) -> None:
        """Sets the oracle's seed; another one where the proposal of a number was refused, or it would come again."""
        self._oracle._seed_state = seeds.proposal_seed(self._seed, number, self._asked[number])
        self._asked[number] += 1
        if isinstance(self._oracle, BayesianOracle):
            self._oracle._random_state = np.random.RandomState(self._oracle._seed_state)

    def _untried_values(self) -> dict[str, Any] | None:
        """Returns random values, or an untried configuration once they collide too often; None at the end."""
        for _ in range(MAX_RANDOM_DRAWS):
            values: dict[str, Any] | None = type(self._oracle)._random_values(self._oracle)
            if values is None:
                break
            if config_key(self._to_config(values)) not in self._seen_keys:
                return values
        return self._untried.next(self._seen_keys)

    def _to_values(self, config: Config) -> dict[str, Any]:
        """Returns a configuration with the baseline's value of each parameter that is active for Keras Tuner alone."""
        undeclared = {
            name: domain.baseline
            for name, domain in self._space.parameters.items()
            if isinstance(domain.when, AnyNonzero)
        }
        return {**undeclared, **config}

    def _to_config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values as a configuration of the space, in plain types."""
        domains = self._space.parameters
        return self._space.active({name: _clamped(domains[name], values[name]) for name in values if name in domains})


def to_hyperparameters(space: Space) -> HyperParameters:
    """Returns the space as Keras Tuner declares it: the same configurations, and the baseline as the defaults.

    - One value: ``Fixed``. A choice of two truth values: ``Boolean``. Other choices: unordered ``Choice``.
    - A stepped float: ordered ``Choice`` of its values. Keras Tuner's own steps can end short of the top by rounding
      (0 to 0.6 by 0.05), and contain float noise that no condition would recognize.
    - A condition: a scope inside the scopes of its parent. One on several parameters cannot be declared; the engine
      leaves its parameter out of the configurations in which it is not active.
    """
    declared = HyperParameters()
    for name, domain in space.parameters.items():
        with contextlib.ExitStack() as scopes:
            for when in _condition_chain(space, domain):
                scopes.enter_context(declared.conditional_scope(when.parameter, list(when.values)))
            _declare(declared, name, domain)
    return declared


def _condition_chain(space: Space, domain: Domain) -> list[Condition]:
    """Returns the conditions of a domain and its parents, the outermost first."""
    if not isinstance(domain.when, Condition):
        return []
    return [*_condition_chain(space, space.parameters[domain.when.parameter]), domain.when]


def _declare(declared: HyperParameters, name: str, domain: Domain) -> None:
    values = domain.values()
    if values is not None and len(values) == 1:
        declared.Fixed(name, values[0])
        return
    match domain:
        case Choice(options=(bool(), bool())):
            declared.Boolean(name, default=domain.baseline)
        case Choice():
            declared.Choice(name, list(domain.options), ordered=False, default=domain.baseline)
        case Int(log=True):
            declared.Int(name, domain.low, domain.high, sampling="log", default=domain.baseline)
        case Int():
            declared.Int(name, domain.low, domain.high, step=domain.step, default=domain.baseline)
        case Float(step=None):
            sampling = "log" if domain.log else "linear"
            declared.Float(name, domain.low, domain.high, sampling=sampling, default=float(domain.baseline))
        case Float():
            declared.Choice(name, list(values or ()), ordered=True, default=domain.canonical(domain.baseline))


def _clamped(domain: Domain, value: Any) -> Any:
    """Returns a value in its domain's type and range; at the end of a scale Keras Tuner's value lies just beyond."""
    match domain:
        case Int():
            return min(max(int(value), domain.low), domain.high)
        case Float():
            return min(max(float(value), domain.low), domain.high)
        case Choice():
            return value
