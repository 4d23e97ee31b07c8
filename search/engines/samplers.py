"""Every sampler and pruner by engine: how it is made and what it needs. Adding one takes one entry here.

Light: the engine's library is imported when a sampler is made, so that names can be listed and completed without it.
Called by the registry and the engines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search.engines.asha import REDUCTION_FACTOR, first_rung
from search.engines.base import START_UP_TRIALS

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

HyperParameters = Any
"""A space as Keras Tuner declares it; Keras Tuner has no types."""
Oracle = Any
NSGA2_POPULATION_SIZE = 10
"""Optuna's default of 50 would be random draws throughout a search of tens of trials."""
ASHA = "asha"
"""The pruner whose stopped trials may go on later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptunaSampler:
    """A sampler of Optuna.

    Args:
        make: Makes it from the seed of one draw, the study's seed, and the number of trials stopped at a rung.
        module: Module it needs beside Optuna's own dependencies.
        extra: Extra that installs that module.
        stateful: It stores data with each trial it was asked for (a generation, a place in a sequence), so it must
            also be asked when the configuration is given.
        needs_finite_space: It needs every domain to be finite.
    """

    make: Callable[[int, int, int], BaseSampler]
    module: str = ""
    extra: str = ""
    stateful: bool = False
    needs_finite_space: bool = False


def _tpe(seed: int, study_seed: int, stopped_trials: int) -> BaseSampler:
    from optuna.samplers import TPESampler

    # group=True: without it one trial without a conditional parameter (the baseline has many inactive) takes that
    # parameter out of the joint model for all trials (optuna#5299). Stopped trials are running ones to Optuna; they
    # count as start-up trials all the same.
    start_up = max(0, START_UP_TRIALS - stopped_trials)
    return TPESampler(seed=seed, n_startup_trials=start_up, multivariate=True, group=True, constant_liar=True)


def _gp(seed: int, study_seed: int, stopped_trials: int) -> BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=START_UP_TRIALS, warn_independent_sampling=False)


def _cmaes(seed: int, study_seed: int, stopped_trials: int) -> BaseSampler:
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, n_startup_trials=START_UP_TRIALS, warn_independent_sampling=False)


def _random(seed: int, study_seed: int, stopped_trials: int) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _qmc(seed: int, study_seed: int, stopped_trials: int) -> BaseSampler:
    from optuna.samplers import QMCSampler, RandomSampler

    return QMCSampler(
        seed=study_seed,  # names the scrambled sequence, in which each draw takes the next place
        scramble=True,
        independent_sampler=RandomSampler(seed=seed),
        warn_independent_sampling=False,
        warn_asynchronous_seeding=False,
    )


def _grid(seed: int, study_seed: int, stopped_trials: int) -> BaseSampler:
    from optuna.samplers import BruteForceSampler

    return BruteForceSampler(seed=seed)


def _nsga2(seed: int, study_seed: int, stopped_trials: int) -> BaseSampler:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION_SIZE)


OPTUNA_SAMPLERS: Mapping[str, OptunaSampler] = {
    # Tree-structured Parzen estimator, multivariate, by groups of conditions.
    "tpe": OptunaSampler(make=_tpe),
    # Gaussian process.
    "gp": OptunaSampler(make=_gp, module="torch", extra="gp"),
    # Covariance matrix adaptation; choices at random.
    "cmaes": OptunaSampler(make=_cmaes, module="cmaes", extra="cmaes", stateful=True),
    "random": OptunaSampler(make=_random),
    # Scrambled Sobol sequence; choices at random.
    "qmc": OptunaSampler(make=_qmc, stateful=True),
    # Every configuration once, in random order.
    "grid": OptunaSampler(make=_grid, needs_finite_space=True),
    # Elitist genetic algorithm.
    "nsga2": OptunaSampler(make=_nsga2, stateful=True),
}
"""Optuna's samplers by name, the default first."""


def _asha(epochs: int) -> BasePruner:
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(
        min_resource=first_rung(epochs), reduction_factor=REDUCTION_FACTOR, min_early_stopping_rate=0
    )


def _median(epochs: int) -> BasePruner:
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=START_UP_TRIALS, n_warmup_steps=first_rung(epochs))


def _hyperband(epochs: int) -> BasePruner:
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(min_resource=first_rung(epochs), max_resource=epochs, reduction_factor=REDUCTION_FACTOR)


def _wilcoxon(epochs: int) -> BasePruner:
    from optuna.pruners import WilcoxonPruner

    return WilcoxonPruner(n_startup_steps=first_rung(epochs))


def _none(epochs: int) -> BasePruner:
    from optuna.pruners import NopPruner

    return NopPruner()


OPTUNA_PRUNERS: Mapping[str, Callable[[int], BasePruner]] = {
    ASHA: _asha,
    "median": _median,
    "hyperband": _hyperband,
    "wilcoxon": _wilcoxon,
    "none": _none,
}
"""Optuna's pruners by name, the default first; each is made for trials of a number of epochs."""


def _bayesian_oracle(hyperparameters: HyperParameters, epochs: int) -> Oracle:
    from search.engines.keras_tuner_oracles import ORACLE_OPTIONS, BayesianOracle

    return BayesianOracle(
        max_trials=None, num_initial_points=START_UP_TRIALS, hyperparameters=hyperparameters, **ORACLE_OPTIONS
    )


def _hyperband_oracle(hyperparameters: HyperParameters, epochs: int) -> Oracle:
    from search.engines.keras_tuner_oracles import ORACLE_OPTIONS, HyperbandOracle

    # Zero iterations are infinitely many: the study's own budget ends the search.
    return HyperbandOracle(max_epochs=epochs, hyperband_iterations=0, hyperparameters=hyperparameters, **ORACLE_OPTIONS)


def _random_oracle(hyperparameters: HyperParameters, epochs: int) -> Oracle:
    from search.engines.keras_tuner_oracles import ORACLE_OPTIONS, RandomSearchOracle

    return RandomSearchOracle(max_trials=None, hyperparameters=hyperparameters, **ORACLE_OPTIONS)


def _grid_oracle(hyperparameters: HyperParameters, epochs: int) -> Oracle:
    from search.engines.keras_tuner_oracles import ORACLE_OPTIONS, GridOracle

    return GridOracle(hyperparameters=hyperparameters, **ORACLE_OPTIONS)


KERAS_TUNER_SAMPLERS: Mapping[str, Callable[[HyperParameters, int], Oracle]] = {
    # Gaussian process, lower confidence bound.
    "bayesian": _bayesian_oracle,
    # Random draws, most of them trained for a few epochs; the best go on.
    "hyperband": _hyperband_oracle,
    "random": _random_oracle,
    # Every configuration once, in order; ten values of a continuum.
    "grid": _grid_oracle,
}
"""Keras Tuner's oracles by name, the default first; each is made from a space and the epochs of a full trial."""
