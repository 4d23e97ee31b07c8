"""Keras Tuner as an engine: its oracles propose, and nothing else of it is used.

An oracle is asked through ``populate_space`` and told by setting its trials' status and score. What its
``create_trial`` and ``end_trial`` do besides (files written in place, locks that an exception leaves held, tables on
the terminal, retries, an end after three failures) is the business of our executor, ledger and displays. The oracle
keeps no file: the ledger, in the study's folder, is its state, from which it is rebuilt by replaying the trials.

Every ask seeds the oracle from (study seed, trial number): its own seed of 0 means "any", and what it draws after a
reload depends on how often it was asked before.

    KerasTunerEngine    ask, tell
      hyperparameters   our space in Keras Tuner's words
      _Bayesian         reads unordered choices as indicators, and running trials by a fitted model
      _Hyperband        knows a recorded trial's place in its brackets, and lets no failed one starve them
      _Remaining        what a grid has left, in the order of Keras Tuner's grid search

Source: Keras Tuner 1.4.8, ``keras_tuner/src/engine/oracle.py`` and ``keras_tuner/src/tuners``.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import sklearn
import threadpoolctl
from sklearn.exceptions import ConvergenceWarning

from search import seeds
from search.engines.base import START_UP_TRIALS, Engine, EngineCapabilities, ProposalPending, SpaceExhausted
from search.errors import unknown_name
from search.trial import Config, EpochReport, Outcome, Proposal, State, config_key
from spaces.domains import Choice, Condition, Domain, Float, Int
from spaces.space import Space


@contextlib.contextmanager
def _suppressed_stderr() -> Iterator[None]:
    """Keeps away what TensorFlow, which Keras Tuner imports, prints before any setting of ours can reach it."""
    original = os.dup(2)
    with open(os.devnull, "wb") as devnull:  # noqa: PTH123 - a device, not a path
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)


with _suppressed_stderr():
    import keras_tuner
    from keras_tuner.engine.hyperparameters import HyperParameter, HyperParameters
    from keras_tuner.engine.trial import Trial, TrialStatus


_BLAS_CONTROLLER = threadpoolctl.ThreadpoolController()


class KerasTunerEngine(Engine):
    """Keras Tuner's oracles.

    Args:
        space: The space to propose from.
        sampler: A name in ``ORACLES``.
        seed: The study's seed; 0 is a seed.
        epochs: Epochs of a full trial, for Hyperband's rounds.
    """

    def __init__(self, space: Space, *, sampler: str, seed: int, epochs: int) -> None:
        if sampler not in ORACLES:
            raise unknown_name("sampler of keras-tuner", sampler, ORACLES)
        self.capabilities = EngineCapabilities(
            prunes=False,
            parallel=True,
            conditional=True,
            pauses=sampler == "hyperband",
            seeded=sampler != "grid",
        )
        self._space, self._seed, self._epochs = space, seed, epochs
        self._oracle = ORACLES[sampler](to_hyperparameters(space), epochs)
        self._oracle._random_values = self._untried_values
        self._untried = _UntriedConfigs(space)
        self._seen_keys: set[str] = set()

    def ask(self, number: int, *, fixed: Proposal | None = None) -> Proposal:
        """Returns a configuration not proposed before, or one to go on with; see ``Engine.ask``."""
        if fixed is not None:
            if isinstance(self._oracle, _Hyperband) and "bracket" in fixed.engine_metadata:
                self._oracle.restore_place(number, fixed)
            self._register_running(number, fixed.config)
            return fixed
        self._reseed(number)
        response = self._oracle.populate_space(str(number))
        if response["status"] == TrialStatus.IDLE:
            raise ProposalPending
        if response["status"] == TrialStatus.STOPPED:
            raise SpaceExhausted
        config = self._to_config(response["values"])
        proposal = self._oracle.make_proposal(number, config) if isinstance(self._oracle, _Hyperband) else None
        if (
            proposal is None and config_key(config) in self._seen_keys
        ):  # a Gaussian process that has settled repeats itself
            if (other := self._untried_values()) is None:
                raise SpaceExhausted
            config = self._to_config(other)
        self._register_running(number, config)
        return proposal or Proposal(config=config)

    def report(self, number: int, report: EpochReport) -> bool:
        """Never prunes: Keras Tuner has no way to."""
        return False

    def tell(self, number: int, outcome: Outcome) -> None:
        """Notes how a trial ended: its last error, not its least, is its score."""
        trial = self._oracle.ongoing_trials.pop(str(number))
        if outcome.state is State.INTERRUPTED:
            del self._oracle.trials[trial.trial_id]
            if isinstance(self._oracle, _Hyperband):
                self._oracle.remove_place(number)
            return
        has_error = outcome.state in (State.COMPLETE, State.PAUSED) and outcome.error_percent is not None
        if has_error and math.isfinite(outcome.error_percent or 0.0):
            trial.status, trial.score = TrialStatus.COMPLETED, outcome.error_percent
        elif isinstance(self._oracle, _Hyperband):
            trial.status, trial.score = TrialStatus.COMPLETED, math.inf  # it holds its place in the round, as the last
        else:
            trial.status = TrialStatus.FAILED

    def may_resume(self, number: int) -> bool:
        """Says whether the trial's round is still undecided."""
        return isinstance(self._oracle, _Hyperband) and self._oracle.may_promote(number)

    def _register_running(self, number: int, config: Config) -> None:
        """Makes a trial known to the oracle as one that runs."""
        values = copy.copy(self._oracle.hyperparameters)  # all trials share the declaration, which nobody changes
        values.values = dict(config)
        trial = Trial(hyperparameters=values, trial_id=str(number), status=TrialStatus.RUNNING)
        self._oracle.trials[trial.trial_id] = self._oracle.ongoing_trials[trial.trial_id] = trial
        self._oracle._record_values(trial)
        self._seen_keys.add(config_key(config))

    def _reseed(self, number: int) -> None:
        self._oracle._seed_state = seeds.proposal_seed(self._seed, number, 0)
        if isinstance(self._oracle, _Bayesian):
            self._oracle._random_state = np.random.RandomState(self._oracle._seed_state)

    def _untried_values(self) -> dict[str, Any] | None:
        """Returns random values; what is left, where they collide with earlier ones too often; None at the end."""
        values: dict[str, Any] | None = type(self._oracle)._random_values(self._oracle)
        return self._untried.next(self._seen_keys) if values is None else values

    def _to_config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values as a configuration of the space, in plain types."""
        domains = self._space.parameters
        return self._space.active({name: _clamped(domains[name], values[name]) for name in values if name in domains})


def to_hyperparameters(space: Space) -> HyperParameters:
    """Returns the space in Keras Tuner's words: the same configurations, and the baseline as the defaults.

    - One value: ``Fixed``. A choice of two truth values: ``Boolean``; other choices: ``Choice``, without an order.
    - A stepped float: ``Choice`` of its values, in order. Keras Tuner's own steps end short of the top where rounding
      has it so (0 to 0.6 by 0.05), and carry noise that no condition would recognize.
    - A condition: a scope inside the scopes of its parent.
    """
    declared = HyperParameters()
    for name, domain in space.parameters.items():
        with contextlib.ExitStack() as scopes:
            for when in _condition_chain(space, domain):
                scopes.enter_context(declared.conditional_scope(when.parameter, list(when.values)))
            _declare(declared, name, domain)
    return declared


def _condition_chain(space: Space, domain: Domain) -> list[Condition]:
    """Returns the conditions that a domain stands under, the outermost first."""
    if domain.when is None:
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
    """Returns a value in its domain's type; at the very end of a scale Keras Tuner's own lies just beyond."""
    match domain:
        case Int():
            return min(max(int(value), domain.low), domain.high)
        case Float():
            return min(max(float(value), domain.low), domain.high)
        case Choice():
            return value


class _UntriedConfigs:
    """The configurations that were not tried, in the order of Keras Tuner's grid search, from the defaults on.

    Its ``populate_space`` is not used: it stops at once after a reload (keras-tuner#1055), and has parallel workers
    wait.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._grid = keras_tuner.oracles.GridSearchOracle(hyperparameters=to_hyperparameters(space))
        self._current: dict[str, Any] | None = None
        self._is_exhausted = False

    def next(self, seen: set[str]) -> dict[str, Any] | None:
        """Returns the next configuration that was not seen, or None where there is none."""
        while not self._is_exhausted:
            first = self._current is None
            self._current = dict(self._space.baseline) if first else self._grid._get_next_combination(self._current)
            self._is_exhausted = self._current is None
            if self._current is not None and config_key(self._current) not in seen:
                return dict(self._current)
        return None


class _Grid(keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
    """Proposes what is left and nothing at random; see ``_Remaining``."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns the next combination."""
        values = self._random_values()
        return {"status": TrialStatus.RUNNING if values else TrialStatus.STOPPED, "values": values}

    def _random_values(self) -> dict[str, Any] | None:
        return None


class _Indicator(HyperParameter):  # type: ignore[misc]
    """One option of an unordered choice, as Keras Tuner's Gaussian process is to see it: 1 where it is chosen, else 0.

    Args:
        choice: The choice.
        option: The option.
    """

    def __init__(self, choice: HyperParameter, option: object) -> None:
        super().__init__(choice.name, default=choice.default, conditions=choice.conditions)
        self._option = option

    def value_to_prob(self, value: object) -> float:
        """Returns the coordinate of a value of the choice."""
        return float(value == self._option)


class _Bayesian(keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """Keras Tuner's Gaussian process, with two faults of it mended.

    It places the options of a choice on a line in the order of their declaration (keras-tuner#287), so that the middle
    one lies between its neighbours; here three options and more have a coordinate each, the largest of which counts.
    And it guesses how running trials will end by the model of its last proposal, or by none.
    """

    trials: dict[str, Any]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns random values at first, then those with the lowest confidence bound."""
        # It predicts one point at a time, tens of thousands of times: checks of each would be half of the work.
        # And its matrices are so small that threads of BLAS wait for each other, the more so beside busy workers.
        unchecked = sklearn.config_context(assume_finite=True, skip_parameter_validation=True)
        with unchecked, _BLAS_CONTROLLER.limit(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of the kernel's one length; says nothing to a user
            response: dict[str, Any] = super().populate_space(trial_id)
        return response

    def _nonfixed_space(self) -> list[Any]:
        return [part for declared in super()._nonfixed_space() for part in _coordinates(declared)]

    def _vector_to_values(self, vector: np.ndarray) -> dict[str, Any]:
        coordinates, collapsed = iter(vector), []
        for declared in super()._nonfixed_space():
            own = [next(coordinates) for _ in _coordinates(declared)]
            collapsed.append(own[0] if len(own) == 1 else declared.value_to_prob(declared.values[int(np.argmax(own))]))
        values: dict[str, Any] = super()._vector_to_values(collapsed)
        return values

    def _vectorize_trials(self) -> tuple[np.ndarray, np.ndarray]:
        if self.ongoing_trials:
            all_trials = self.trials
            self.trials = {name: trial for name, trial in all_trials.items() if trial.status != TrialStatus.RUNNING}
            self.gpr.fit(*super()._vectorize_trials())
            self.trials = all_trials
        vectors: tuple[np.ndarray, np.ndarray] = super()._vectorize_trials()
        return vectors


def _coordinates(declared: HyperParameter) -> list[HyperParameter]:
    """Returns the coordinates of a parameter: itself, or an indicator for each of three or more unordered options."""
    unordered = isinstance(declared, keras_tuner.engine.hyperparameters.Choice) and not declared.ordered
    if not unordered or len(declared.values) < 3:
        return [declared]
    return [_Indicator(declared, option) for option in declared.values]


class _Hyperband(keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Keras Tuner's Hyperband, whose brackets can be made again from recorded trials.

    A failed trial holds its place in a round as the last of it, and so does a place that the space has no configuration
    left for; where such a one would be promoted, its place in the next round counts as failed too. Left to itself,
    Keras Tuner never fills the rounds after a round with many failures.

    Source: Li et al., "Hyperband", JMLR 18 (2018).
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns a new configuration for the first round of a bracket, or one to go on with in a later round."""
        while True:
            response: dict[str, Any] = super().populate_space(trial_id)
            if response["status"] == TrialStatus.RUNNING:
                parent = response["values"].get("tuner/trial_id")
                if parent is None or math.isfinite(self.trials[parent].score):
                    return response
                self._fill_as_failed(self._find_place(trial_id)[2])
            else:
                unfilled = next(bracket for bracket in self._brackets if self._unfilled_count(bracket))
                if not unfilled["rounds"][0]:  # the space is used up, and a new bracket would be empty
                    return response
                for _ in range(self._unfilled_count(unfilled)):
                    unfilled["rounds"][0].append(place := {"past_id": None, "id": trial_id})
                    self._fill_as_failed(place)

    def make_proposal(self, number: int, config: Config) -> Proposal:
        """Returns what ``populate_space`` just decided of a trial.

        The bracket is looked up: Keras Tuner labels a trial with the bracket begun last, whichever it belongs to.
        """
        bracket, round_number, place = self._find_place(str(number))
        target_epoch = self._get_epochs(bracket["bracket_num"], round_number)
        initial_epoch = self._get_epochs(bracket["bracket_num"], round_number - 1) if round_number else 0
        return Proposal(
            config=config,
            target_epoch=target_epoch if target_epoch < self.max_epochs else None,
            parent=None if place["past_id"] is None else int(place["past_id"]),
            engine_metadata={
                "iteration": bracket["iteration"],
                "bracket": bracket["bracket_num"],
                "round": round_number,
                "initial_epoch": initial_epoch,
                "epochs": target_epoch,
            },
        )

    def restore_place(self, number: int, proposal: Proposal) -> None:
        """Gives a recorded trial its place again."""
        bracket_key = (proposal.engine_metadata["iteration"], proposal.engine_metadata["bracket"])
        while (self._current_iteration, -self._current_bracket) < (bracket_key[0], -bracket_key[1]):
            self._increment_bracket_num()
            self._start_new_bracket()
        parent = None if proposal.parent is None else str(proposal.parent)
        for bracket in self._brackets:
            if (bracket["iteration"], bracket["bracket_num"]) == bracket_key:
                bracket["rounds"][proposal.engine_metadata["round"]].append({"past_id": parent, "id": str(number)})

    def remove_place(self, number: int) -> None:
        """Takes an interrupted trial out of its round; it comes back under another number."""
        for bracket in self._brackets:
            for places in bracket["rounds"]:
                places[:] = [place for place in places if place["id"] != str(number)]

    def may_promote(self, number: int) -> bool:
        """Says whether a trial may still be promoted: it was not, and its next round has places."""
        for bracket in self._brackets:
            for round_number, places in enumerate(bracket["rounds"][:-1]):
                if any(place["id"] == str(number) for place in places):
                    following = bracket["rounds"][round_number + 1]
                    size = self._get_size(bracket["bracket_num"], round_number + 1)
                    return len(following) < size and all(place["past_id"] != str(number) for place in following)
        return False

    def _start_new_bracket(self) -> None:
        super()._start_new_bracket()
        self._brackets[-1]["iteration"] = self._current_iteration

    def _find_place(self, trial_id: str) -> tuple[dict[str, Any], int, dict[str, Any]]:
        """Returns a trial's bracket, round and place."""
        return next(
            (bracket, round_number, place)
            for bracket in self._brackets
            for round_number, places in enumerate(bracket["rounds"])
            for place in places
            if place["id"] == trial_id
        )

    def _unfilled_count(self, bracket: Mapping[str, Any]) -> int:
        return int(self._get_size(bracket["bracket_num"], 0)) - len(bracket["rounds"][0])

    def _fill_as_failed(self, place: dict[str, Any]) -> None:
        """Fills a place with a trial that failed without having been run."""
        failed = Trial(hyperparameters=self.hyperparameters, status=TrialStatus.COMPLETED)
        failed.score = math.inf
        place["id"] = failed.trial_id
        self.trials[failed.trial_id] = failed


def _objective() -> Any:
    return keras_tuner.Objective("error_percent", "min")


# The seed is replaced at each ask. With infinitely many sweeps, the study's own budget ends Hyperband.
_ORACLE_OPTIONS: Mapping[str, Any] = {"seed": 1, "tune_new_entries": False, "allow_new_entries": False}
ORACLES: Mapping[str, Callable[[HyperParameters, int], Any]] = {
    "bayesian": lambda space, _: _Bayesian(
        _objective(), max_trials=None, num_initial_points=START_UP_TRIALS, hyperparameters=space, **_ORACLE_OPTIONS
    ),
    "hyperband": lambda space, epochs: _Hyperband(
        _objective(), max_epochs=epochs, hyperband_iterations=0, hyperparameters=space, **_ORACLE_OPTIONS
    ),
    "random": lambda space, _: keras_tuner.oracles.RandomSearchOracle(
        _objective(), max_trials=None, hyperparameters=space, **_ORACLE_OPTIONS
    ),
    "grid": lambda space, _: _Grid(_objective(), hyperparameters=space, **_ORACLE_OPTIONS),
}
"""Oracles by the sampler's name, each made from a space and the epochs of a full trial."""
