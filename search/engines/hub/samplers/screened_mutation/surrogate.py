"""A linear model of the losses' ranks so far, which chooses among candidate mutations by Thompson sampling.

Each parameter contributes its value on its scale, the square of it, and an indicator for each category; a parameter
that is not active contributes nothing. A draw from the posterior ranks the candidates, so that well-known effects are
used and unknown ones are tried.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from .history import Training
from .mutation import bounds

MIN_TRAININGS = 12
"""Trainings from which the model is used."""
MAX_TRAININGS = 1000
"""Latest trainings that it is fitted to."""

Parameters = Mapping[str, Any]


class Surrogate:
    """The model; features of trainings are computed once."""

    def __init__(self) -> None:
        self._encoder = _Encoder({})

    def best_candidate(
        self,
        candidates: Sequence[Parameters],
        trainings: Sequence[Training],
        distributions: Mapping[str, BaseDistribution],
        generator: np.random.Generator,
    ) -> int:
        """Returns the index of the candidate with the least loss in a draw from the posterior.

        Args:
            candidates: Parameters, one or more.
            trainings: Those with a finite loss, oldest first.
            distributions: Of every parameter that may occur.
            generator: Of the random numbers.
        """
        from scipy import stats
        from sklearn.linear_model import BayesianRidge  # takes a second, which short studies need not spend

        if distributions != self._encoder.distributions:
            self._encoder = _Encoder(distributions)
        encoder, latest = self._encoder, trainings[-MAX_TRAININGS:]
        # Normal scores: a few trainings that fail to learn would otherwise decide the fit.
        ranks = stats.rankdata([training.loss for training in latest])
        scores = stats.norm.ppf((ranks - 0.5) / len(latest))
        features = np.array([encoder.training_row(training) for training in latest])
        with _threads().limit(limits=1):  # small matrices, on a machine whose cores are mostly busy with trainings
            model = BayesianRidge().fit(features, scores)
            effects = generator.multivariate_normal(model.coef_, model.sigma_, check_valid="ignore", method="eigh")
        drawn = [float(encoder.row(candidate) @ effects) for candidate in candidates]
        return int(np.argmin(drawn))


class _Encoder:
    """Returns parameters as features.

    Args:
        distributions: Of the parameters.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(distributions)
        self._rows: dict[int, tuple[Training, np.ndarray]] = {}
        self._choices: list[tuple[str, tuple[Any, ...]]] = []
        self._numbers: list[tuple[str, bool, float, float]] = []  # name, whether logarithmic, least value, width
        for name, distribution in distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                self._choices.append((name, distribution.choices))
            elif isinstance(distribution, IntDistribution | FloatDistribution):
                low, high = bounds(distribution)
                self._numbers.append((name, distribution.log, low, high - low))

    def training_row(self, training: Training) -> np.ndarray:
        """Returns the features of a training, (features,)."""
        known = self._rows.get(training.trial.number)
        if known is None or known[0] is not training:
            known = self._rows[training.trial.number] = (training, self.row(training.params))
        return known[1]

    def row(self, parameters: Parameters) -> np.ndarray:
        """Returns the features of a configuration, (features,)."""
        features: list[float] = []
        for name, options in self._choices:
            value = parameters.get(name)
            features += [float(name in parameters and value == option) for option in options]
        for name, is_log, low, width in self._numbers:
            if name in parameters:
                share = ((math.log(parameters[name]) if is_log else parameters[name]) - low) / width - 0.5
                features += (share, share * share, 1.0)
            else:
                features += (0.0, 0.0, 0.0)
        return np.array(features)


@functools.cache
def _threads() -> Any:
    """Returns what limits the threads of linear algebra; finding its libraries takes longer than a fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
