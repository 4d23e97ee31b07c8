"""Domains as Optuna's distributions. The Optuna engine proposes from them; the ledger records them."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search.trial import Config
from spaces.domains import Choice, Domain, Float, Int
from spaces.space import Space


def to_optuna_distribution(domain: Domain) -> BaseDistribution:
    """Returns the Optuna distribution over exactly the values of a domain."""
    match domain:
        case Int():
            return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
        case Float():
            return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
        case Choice():
            return CategoricalDistribution(domain.options)


def to_optuna_distributions(space: Space, config: Config) -> dict[str, BaseDistribution]:
    """Returns the distributions of a configuration's parameters; inactive ones have none."""
    return {name: to_optuna_distribution(space.parameters[name]) for name in config}
