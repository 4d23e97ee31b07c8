"""The samplers and pruners of each engine, by name. A new sampler or pruner is an entry in one of these tables.

Imports no library, so that names can be listed and completed at once: each factory takes the library's module as its
first argument. Read by ``registry`` and the engines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search.engines.asha import REDUCTION_FACTOR, first_rung
from search.engines.base import START_UP_TRIALS

NSGA2_POPULATION_SIZE = 10
"""With Optuna's default of 50, a search of tens of trials would consist of random draws."""
ASHA = "asha"
"""The pruner whose stopped trials may continue later (``search.engines.asha``); others stop a trial for good."""
SCREENING = "screening"
"""Stands for a pruner: short trials first, the best of them in full (``search.engines.screening``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptunaSampler:
    """A sampler of Optuna.

    Args:
        make: Makes it from the module ``optuna.samplers``, the seed of one draw, the study's seed, and the number of
            trials stopped at a rung.
        module: Module that it needs besides Optuna's own dependencies.
        extra: Extra that installs that module.
        stateful: It stores data with each trial that it proposes (a generation, a place in a sequence), so it
            must also be called if the configuration is given.
        needs_finite_space: It needs every domain to be finite.
        screens: It is this project's own, which trains briefly first and is made by ``screened_engine``.
    """

    make: Callable[[Any, int, int, int], Any]
    module: str = ""
    extra: str = ""
    stateful: bool = False
    needs_finite_space: bool = False
    screens: bool = False


OPTUNA_SAMPLERS: Mapping[str, OptunaSampler] = {
    # Sparse mutation of the best configuration, screened by short trials; made by ``screened_engine``.
    "mutation": OptunaSampler(
        make=lambda samplers, seed, study_seed, stopped_trials: samplers.RandomSampler(seed=seed), screens=True
    ),
    # Tree-structured Parzen estimator. group=True: without it one trial without a conditional parameter (the baseline
    # has many inactive) takes that parameter out of the joint model for all trials (optuna#5299). Optuna
    # considers stopped trials as running; here they count as start-up trials.
    "tpe": OptunaSampler(
        make=lambda samplers, seed, study_seed, stopped_trials: samplers.TPESampler(
            seed=seed,
            n_startup_trials=max(0, START_UP_TRIALS - stopped_trials),
            multivariate=True,
            group=True,
            constant_liar=True,
        )
    ),
    # Gaussian process.
    "gp": OptunaSampler(
        make=lambda samplers, seed, study_seed, stopped_trials: samplers.GPSampler(
            seed=seed, n_startup_trials=START_UP_TRIALS, warn_independent_sampling=False
        ),
        module="torch",
        extra="gp",
    ),
    # Covariance matrix adaptation; choices at random.
    "cmaes": OptunaSampler(
        make=lambda samplers, seed, study_seed, stopped_trials: samplers.CmaEsSampler(
            seed=seed, n_startup_trials=START_UP_TRIALS, warn_independent_sampling=False
        ),
        module="cmaes",
        extra="cmaes",
        stateful=True,
    ),
    "random": OptunaSampler(make=lambda samplers, seed, study_seed, stopped_trials: samplers.RandomSampler(seed=seed)),
    # Scrambled Sobol sequence of the study's seed, in which each draw takes the next place; choices at random.
    "qmc": OptunaSampler(
        make=lambda samplers, seed, study_seed, stopped_trials: samplers.QMCSampler(
            seed=study_seed,
            scramble=True,
            independent_sampler=samplers.RandomSampler(seed=seed),
            warn_independent_sampling=False,
            warn_asynchronous_seeding=False,
        ),
        stateful=True,
    ),
    # Every configuration once, in random order.
    "grid": OptunaSampler(
        make=lambda samplers, seed, study_seed, stopped_trials: samplers.BruteForceSampler(seed=seed),
        needs_finite_space=True,
    ),
    # Elitist genetic algorithm.
    "nsga2": OptunaSampler(
        make=lambda samplers, seed, study_seed, stopped_trials: samplers.NSGAIISampler(
            seed=seed, population_size=NSGA2_POPULATION_SIZE
        ),
        stateful=True,
    ),
}
"""Optuna's samplers by name, the default first."""

OPTUNA_PRUNERS: Mapping[str, Callable[[Any, int], Any]] = {
    ASHA: lambda pruners, epochs: pruners.SuccessiveHalvingPruner(
        min_resource=first_rung(epochs), reduction_factor=REDUCTION_FACTOR, min_early_stopping_rate=0
    ),
    "median": lambda pruners, epochs: pruners.MedianPruner(
        n_startup_trials=START_UP_TRIALS, n_warmup_steps=first_rung(epochs)
    ),
    "hyperband": lambda pruners, epochs: pruners.HyperbandPruner(
        min_resource=first_rung(epochs), max_resource=epochs, reduction_factor=REDUCTION_FACTOR
    ),
    "wilcoxon": lambda pruners, epochs: pruners.WilcoxonPruner(n_startup_steps=first_rung(epochs)),
    "none": lambda pruners, epochs: pruners.NopPruner(),
}
"""Optuna's pruners by name, the default first; each is made from ``optuna.pruners`` and the epochs of a full trial."""

KERAS_TUNER_SAMPLERS: Mapping[str, Callable[[Any, Any, int], Any]] = {
    # Gaussian process, lower confidence bound.
    "bayesian": lambda oracles, hyperparameters, epochs: oracles.BayesianOracle(
        max_trials=None, num_initial_points=START_UP_TRIALS, hyperparameters=hyperparameters, **oracles.OPTIONS
    ),
    # Random draws, most of them trained for a few epochs; the best continue. Zero iterations are infinitely many: the
    # study's own budget ends the search.
    "hyperband": lambda oracles, hyperparameters, epochs: oracles.HyperbandOracle(
        max_epochs=epochs, hyperband_iterations=0, hyperparameters=hyperparameters, **oracles.OPTIONS
    ),
    "random": lambda oracles, hyperparameters, epochs: oracles.RandomSearchOracle(
        max_trials=None, hyperparameters=hyperparameters, **oracles.OPTIONS
    ),
    # Every configuration once, in order; ten values of a continuum.
    "grid": lambda oracles, hyperparameters, epochs: oracles.GridOracle(
        hyperparameters=hyperparameters, **oracles.OPTIONS
    ),
}
"""Keras Tuner's oracles by name, the default first; each is made from ``search.engines.keras_tuner_oracles``, the space
as Keras Tuner declares it, and the epochs of a full trial."""
