"""Sparse mutations of a configuration, as the prototype in ``rivals`` and ``benchmarks/record.py`` draw them."""

from __future__ import annotations

from typing import Any

import numpy as np

from search.engines.hub.samplers.screened_mutation.mutation import mutated, uniform
from search.optuna_domains import to_optuna_distribution
from search.trial import Config
from spaces.space import Space

UNIFORM_SHARE = 0.1
"""Share of changed values that are drawn from the whole range."""


def mutant(space: Space, config: Config, changes: int, generator: np.random.Generator) -> dict[str, Any]:
    """Returns a configuration that differs from another in a few of its active parameters.

    Parameters that become active take their baseline values.

    Args:
        space: The space.
        config: The other configuration.
        changes: How many parameters are changed, at most all of them.
        generator: Of the random numbers.
    """
    names = [name for name in config if not to_optuna_distribution(space.parameters[name]).single()]
    values = dict(config)
    for index in generator.choice(len(names), size=min(changes, len(names)), replace=False):
        name, distribution = names[index], to_optuna_distribution(space.parameters[names[index]])
        is_uniform = generator.random() < UNIFORM_SHARE
        values[name] = (
            uniform(distribution, generator) if is_uniform else mutated(values[name], distribution, generator)
        )
    return space.baseline_with(values)
