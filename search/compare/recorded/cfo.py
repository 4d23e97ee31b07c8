"""FLAML's CFO as a rival: a frugal local search from the best given configuration (extra ``bench``).

It moves all parameters at once, and trains in full. Parameters that are not active are searched and ignored.

Source: Wu, Wang and Huang, "Frugal Optimization for Cost-related Hyperparameters", AAAI 2021.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from search.compare.recorded.rivals import MAX_DRAWS, Rival
from search.engines.base import CanEnd, ProposalPending, SpaceExhausted
from search.errors import missing_extra
from search.trial import Config, Outcome, Proposal, State, config_key
from spaces.domains import Choice, Domain, Int
from spaces.space import Space


class FlamlCfo(Rival):
    """FLAML's CFO, told the baseline and the recipes.

    Args:
        space: The space to propose from.
        seed: The study's seed.
        epochs: Epochs of a full trial.

    Raises:
        UserError: FLAML is not installed.
    """

    def __init__(self, space: Space, seed: int, epochs: int) -> None:
        super().__init__(space, seed, epochs)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # FLAML warns that its other parts are not installed
                self._flaml = importlib.import_module("flaml.tune")
                self._cfo_class = importlib.import_module("flaml.tune.searcher.blendsearch").CFO
        except ImportError:
            raise missing_extra("The rival CFO", "bench") from None
        self._cfo: Any = None
        self._suggested: dict[int, tuple[str, dict[str, Any]]] = {}  # name and values in CFO, by the trial's number

    def tell(self, number: int, outcome: Outcome) -> None:
        """Records the calibrated loss of a trial, and tells CFO of its own."""
        super().tell(number, outcome)
        if (suggested := self._suggested.pop(number, None)) is not None:
            self._tell_cfo(*suggested, outcome.calibrated_loss if outcome.state is State.COMPLETE else None)

    def _propose(self, number: int, can_end: CanEnd) -> Proposal:
        if self._cfo is None:
            if not self._full:
                raise ProposalPending
            self._cfo = self._make_cfo()
        for draw in range(MAX_DRAWS):
            name = f"{number}-{draw}"
            if (values := self._cfo.suggest(name)) is None:
                raise ProposalPending if self._running else SpaceExhausted
            config = self._space.active({key: _plain(value) for key, value in values.items()})
            if (key := config_key(config)) not in self._seen:
                self._suggested[number] = (name, values)
                return Proposal(config=config)
            known = self._full.get(key)
            self._tell_cfo(name, values, known[0] if known else None)
        raise SpaceExhausted

    def _tell_cfo(self, name: str, values: dict[str, Any], loss: float | None) -> None:
        result = None if loss is None else {"loss": loss, "config": values}
        self._cfo.on_trial_complete(name, result, error=loss is None)

    def _make_cfo(self) -> Any:
        given = sorted(self._full.values(), key=lambda entry: entry[0])
        return self._cfo_class(
            metric="loss",
            mode="min",
            space={name: self._domain(domain) for name, domain in self._space.parameters.items()},
            points_to_evaluate=[self._complete(config) for _, config in given],
            evaluated_rewards=[loss for loss, _ in given],
            seed=self._seed,
        )

    def _complete(self, config: Config) -> dict[str, Any]:
        return {name: config.get(name, domain.baseline) for name, domain in self._space.parameters.items()}

    def _domain(self, domain: Domain) -> Any:
        """Returns a domain in FLAML's terms; its upper bounds of integers are exclusive."""
        if isinstance(domain, Choice):
            return self._flaml.choice(list(domain.options))
        if isinstance(domain, Int):
            if domain.log:
                return self._flaml.lograndint(domain.low, domain.high + 1)
            return self._flaml.qrandint(domain.low, domain.high + domain.step, domain.step)
        if domain.log:
            return self._flaml.loguniform(domain.low, domain.high)
        if domain.step is not None:
            return self._flaml.quniform(domain.low, domain.high, domain.step)
        return self._flaml.uniform(domain.low, domain.high)


def _plain(value: Any) -> Any:
    """Returns a value of NumPy as Python's."""
    return value.item() if hasattr(value, "item") else value
