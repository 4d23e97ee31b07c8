"""A linear model of the losses so far, which chooses among candidate mutations by Thompson sampling.

Each parameter contributes its value on its scale, the square of it, and an indicator for each category; a parameter
that is not active contributes nothing. A draw from the posterior ranks the candidates, so that well-known effects are
used and unknown ones are tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from .mutation import to_share

MIN_TRAININGS = 12
"""Trainings from which the model is used."""
MAX_TRAININGS = 1000
"""Latest trainings that it is fitted to."""

Parameters = Mapping[str, Any]


def best_candidate(
    candidates: Sequence[Parameters],
    trainings: Sequence[tuple[Parameters, float]],
    distributions: Mapping[str, BaseDistribution],
    generator: np.random.Generator,
) -> int:
    """Returns the index of the candidate with the least loss in a draw from the posterior.

    Args:
        candidates: Parameters, one or more.
        trainings: Parameters and finite losses, oldest first.
        distributions: Of every parameter that may occur.
        generator: Of the random numbers.
    """
    # These take a second, which short studies need not spend.
    from sklearn.linear_model import BayesianRidge
    from threadpoolctl import threadpool_limits

    latest = trainings[-MAX_TRAININGS:]
    losses = np.array([loss for _, loss in latest])
    features = np.array([_features(parameters, distributions) for parameters, _ in latest])
    with threadpool_limits(1):  # small matrices, on a machine whose cores are mostly busy with trainings
        model = BayesianRidge().fit(features, losses - np.median(losses))
        effects = generator.multivariate_normal(model.coef_, model.sigma_, check_valid="ignore", method="eigh")
    drawn = [float(_features(candidate, distributions) @ effects) for candidate in candidates]
    return int(np.argmin(drawn))


def _features(parameters: Parameters, distributions: Mapping[str, BaseDistribution]) -> np.ndarray:
    """Returns the features of a configuration, (features,)."""
    features: list[float] = []
    for name, distribution in distributions.items():
        if isinstance(distribution, CategoricalDistribution):
            value = parameters.get(name)
            features += [float(name in parameters and value == option) for option in distribution.choices]
        elif isinstance(distribution, IntDistribution | FloatDistribution):
            share = to_share(parameters[name], distribution) - 0.5 if name in parameters else 0.0
            features += [share, share * share, float(name in parameters)]
    return np.array(features)
