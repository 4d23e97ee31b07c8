"""Mutations of one parameter's value. Called by the sampler."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

STEP = 0.2
"""Standard deviation of a step, as a share of the parameter's range on its scale."""
MAX_DRAWS = 100
"""Draws for a step that changes the value."""


def mutated(value: Any, distribution: BaseDistribution, generator: np.random.Generator) -> Any:
    """Returns another value of a distribution, near a given one where values have an order.

    Args:
        value: A value that the distribution contains.
        distribution: It has more than one value.
        generator: Of the random numbers.
    """
    if isinstance(distribution, CategoricalDistribution):
        others = [option for option in distribution.choices if option != value]
        return others[generator.integers(len(others))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    for _ in range(MAX_DRAWS):
        share = to_share(value, distribution) + STEP * generator.standard_normal()
        drawn = from_share(1.0 - abs(1.0 - abs(share)), distribution)  # reflected at the ends
        if drawn != value:
            return drawn
    return uniform(distribution, generator)


def uniform(distribution: BaseDistribution, generator: np.random.Generator) -> Any:
    """Returns a value drawn uniformly from a distribution, on a logarithmic scale if it has one."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[generator.integers(len(distribution.choices))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return from_share(generator.random(), distribution)


def bounds(distribution: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """Returns the ends of a distribution on its scale; those of an integer lie half a step outside."""
    low, high = float(distribution.low), float(distribution.high)
    if distribution.step is not None and not distribution.log:
        low, high = low - distribution.step / 2, high + distribution.step / 2
    elif isinstance(distribution, IntDistribution):
        low, high = low - 0.5, high + 0.5
    return (math.log(low), math.log(high)) if distribution.log else (low, high)


def to_share(value: float, distribution: IntDistribution | FloatDistribution) -> float:
    """Returns where a value lies in a distribution's range, on its scale, from 0 to 1."""
    low, high = bounds(distribution)
    return ((math.log(value) if distribution.log else value) - low) / (high - low)


def from_share(share: float, distribution: IntDistribution | FloatDistribution) -> Any:
    """Returns the value that lies at a share of a distribution's range, on its scale; the nearest one it contains."""
    low, high = bounds(distribution)
    value = low + min(max(share, 0.0), 1.0) * (high - low)
    value = math.exp(value) if distribution.log else value
    if distribution.step is not None and not distribution.log:
        steps = round((value - distribution.low) / distribution.step)
        # Without the noise of the last digit: an enqueued trial has none, and both must give the same proposals.
        value = float(f"{distribution.low + steps * distribution.step:.15g}")
    value = min(max(value, distribution.low), distribution.high)
    return round(value) if isinstance(distribution, IntDistribution) else value
