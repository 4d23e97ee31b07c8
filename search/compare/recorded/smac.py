"""SMAC with a prior around the best given configuration (piBO) as a rival (extra ``bench``).

A random forest and expected improvement, times a prior that fades as trials are added. It trains in full. Parameters
that are not active are searched and ignored.

Sources: Lindauer et al., "SMAC3", JMLR 23 (2022); Hvarfner et al., "piBO: Augmenting Acquisition Functions with User
Beliefs for Bayesian Optimization", ICLR 2022.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

from search.compare.recorded.rivals import MAX_DRAWS, Rival
from search.engines.base import CanEnd, ProposalPending, SpaceExhausted
from search.engines.hub.samplers.screened_mutation.mutation import from_share, to_share
from search.errors import missing_extra
from search.optuna_domains import to_optuna_distribution
from search.trial import Config, Outcome, Proposal, State, config_key
from spaces.domains import Choice, Domain
from spaces.space import Space

PRIOR_DEVIATION = 0.2
"""Standard deviation of a number's prior, as a share of its range; the length of our own sampler's steps."""
PRIOR_WEIGHT = 0.5
"""Prior probability of the given option of a choice; the other options share the rest."""
PRIOR_DECAY = 10.0
"""Trials after which the prior's exponent is 1 and falls: a tenth of the trials, as piBO advises, for 100 of them."""
TRIALS = 10_000
"""More than a search has; SMAC asks for a number."""


class SmacPibo(Rival):
    """SMAC's facade for hyperparameters, told the baseline and the recipes.

    Args:
        space: The space to propose from.
        seed: The study's seed.
        epochs: Epochs of a full trial.

    Raises:
        UserError: SMAC is not installed.
    """

    def __init__(self, space: Space, seed: int, epochs: int) -> None:
        super().__init__(space, seed, epochs)
        try:
            self._smac = importlib.import_module("smac")
            self._spaces = importlib.import_module("ConfigSpace")
        except ImportError:
            raise missing_extra("The rival SMAC", "bench") from None
        self._facade: Any = None
        self._folder = tempfile.TemporaryDirectory()  # SMAC writes its scenario there
        self._suggested: dict[int, Any] = {}  # SMAC's trials, by ours

    def tell(self, number: int, outcome: Outcome) -> None:
        """Records the calibrated loss of a trial, and tells SMAC of its own."""
        super().tell(number, outcome)
        if (suggested := self._suggested.pop(number, None)) is not None:
            self._tell_smac(suggested, outcome.calibrated_loss if outcome.state is State.COMPLETE else None)

    def _propose(self, number: int, can_end: CanEnd) -> Proposal:
        if self._facade is None:
            if not self._full:
                raise ProposalPending
            self._facade = self._make_facade()
        for _ in range(MAX_DRAWS):
            try:
                suggested = self._facade.ask()
            except StopIteration:
                raise SpaceExhausted from None
            config = self._config(suggested.config)
            if (key := config_key(config)) not in self._seen:
                self._suggested[number] = suggested
                return Proposal(config=config)
            known = self._full.get(key)
            self._tell_smac(suggested, known[0] if known else None)
        raise SpaceExhausted

    def _tell_smac(self, suggested: Any, loss: float | None) -> None:
        status = self._smac.runhistory.StatusType
        value = self._smac.runhistory.TrialValue(
            cost=float("inf") if loss is None else loss, status=status.CRASHED if loss is None else status.SUCCESS
        )
        self._facade.tell(suggested, value, save=False)

    def _make_facade(self) -> Any:
        given = [config for _, config in sorted(self._full.values(), key=lambda entry: entry[0])]
        names = {
            name: domain
            for name, domain in self._space.parameters.items()
            if not to_optuna_distribution(domain).single()
        }
        space = self._spaces.ConfigurationSpace(seed=self._seed)
        space.add([self._parameter(name, domain, given[0]) for name, domain in names.items()])
        facade = self._smac.HyperparameterOptimizationFacade
        scenario = self._smac.Scenario(
            space, deterministic=True, n_trials=TRIALS, seed=self._seed, output_directory=Path(self._folder.name)
        )
        first = [
            self._spaces.Configuration(
                space, values={name: _to_smac(_value(config, name, d), d) for name, d in names.items()}
            )
            for config in given
        ]
        return facade(
            scenario,
            lambda config, seed=0: 0.0,  # never called
            initial_design=facade.get_initial_design(scenario, n_configs=0, additional_configs=first),
            acquisition_function=self._smac.acquisition.function.PriorAcquisitionFunction(
                facade.get_acquisition_function(scenario), decay_beta=PRIOR_DECAY
            ),
            config_selector=facade.get_config_selector(scenario, retrain_after=1),
            logging_level=False,
            overwrite=True,
        )

    def _parameter(self, name: str, domain: Domain, given: Config) -> Any:
        """Returns a parameter with its prior; a number is given as its place in its range, from 0 to 1."""
        value = _to_smac(_value(given, name, domain), domain)
        if isinstance(domain, Choice):
            others = (1 - PRIOR_WEIGHT) / (len(domain.options) - 1)
            options = list(range(len(domain.options)))
            weights = [PRIOR_WEIGHT if option == value else others for option in options]
            return self._spaces.CategoricalHyperparameter(name, options, weights=weights, default_value=value)
        return self._spaces.NormalFloatHyperparameter(
            name, mu=value, sigma=PRIOR_DEVIATION, lower=0.0, upper=1.0, default_value=value
        )

    def _config(self, suggested: Any) -> dict[str, Any]:
        values = dict(suggested)
        return self._space.active(
            {
                name: _from_smac(values[name], domain) if name in values else domain.baseline
                for name, domain in self._space.parameters.items()
            }
        )


def _value(config: Config, name: str, domain: Domain) -> Any:
    """Returns a configuration's value of a parameter; the baseline's if it is not active."""
    return config.get(name, domain.baseline)


def _to_smac(value: Any, domain: Domain) -> Any:
    """Returns the index of a choice's option, or the place of a number in its range."""
    if isinstance(domain, Choice):
        return domain.options.index(value)
    return to_share(value, _distribution(domain))


def _from_smac(value: Any, domain: Domain) -> Any:
    if isinstance(domain, Choice):
        return domain.options[int(value)]
    return from_share(float(value), _distribution(domain))


def _distribution(domain: Domain) -> Any:
    return to_optuna_distribution(domain)
