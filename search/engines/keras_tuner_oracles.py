"""Keras Tuner's oracles with their faults fixed. The only file that imports Keras Tuner.

Called by ``search.engines.samplers``, which makes the oracles, and by ``KerasTunerEngine``, which calls them.

Source: Keras Tuner 1.4.8, ``keras_tuner/src/engine/oracle.py`` and ``keras_tuner/src/tuners``.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import sklearn
import threadpoolctl
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from search.trial import Config, Proposal, config_key

__all__ = [
    "OPTIONS",
    "BayesianOracle",
    "GridOracle",
    "HyperParameters",
    "HyperbandOracle",
    "KerasTunerTrial",
    "RandomSearchOracle",
    "TrialStatus",
    "UntriedConfigs",
]


@contextlib.contextmanager
def _suppressed_stderr() -> Iterator[None]:
    """Hides what TensorFlow, imported by Keras Tuner, prints before its log level can be set."""
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
    from keras_tuner.engine.trial import Trial as KerasTunerTrial
    from keras_tuner.engine.trial import TrialStatus
    from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, RandomSearchOracle

OPTIONS: Mapping[str, Any] = {
    "objective": keras_tuner.Objective("error_percent", "min"),
    "seed": 1,  # replaced at each ask
    "tune_new_entries": False,
    "allow_new_entries": False,
}
ITERATION, BRACKET, ROUND = "iteration", "bracket", "round"
"""Keys of a Hyperband proposal's metadata, by which its place is restored. Recorded, so they stay as they are."""
_BLAS_CONTROLLER = threadpoolctl.ThreadpoolController()


class UntriedConfigs:
    """The configurations that were not tried, in the order of Keras Tuner's grid search, the baseline first.

    The grid search's own ``populate_space`` is not used: it stops at once after a reload (keras-tuner#1055), and lets
    parallel workers wait.

    Args:
        hyperparameters: The space.
        baseline: Its baseline configuration.
        to_config: Returns the configuration of some values.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        baseline: Config,
        to_config: Callable[[Mapping[str, Any]], Config] = lambda values: values,
    ) -> None:
        self._to_config = to_config
        self._baseline, self._grid = baseline, GridSearchOracle(hyperparameters=hyperparameters)
        self._current: dict[str, Any] | None = None
        self._is_exhausted = False

    def next(self, seen_keys: set[str]) -> dict[str, Any] | None:
        """Returns the next configuration whose key is not among those seen, or None at the end."""
        while not self._is_exhausted:
            is_first = self._current is None
            self._current = dict(self._baseline) if is_first else self._grid._get_next_combination(self._current)
            self._is_exhausted = self._current is None
            if self._current is not None and config_key(self._to_config(self._current)) not in seen_keys:
                return dict(self._current)
        return None


class GridOracle(GridSearchOracle):  # type: ignore[misc]
    """Proposes no random values, so that the engine takes the next of ``UntriedConfigs``."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns the next combination."""
        values = self._random_values()
        return {"status": TrialStatus.RUNNING if values else TrialStatus.STOPPED, "values": values}

    def _random_values(self) -> dict[str, Any] | None:
        return None


class _Indicator(HyperParameter):  # type: ignore[misc]
    """One option of an unordered choice as a coordinate of the Gaussian process: 1 where it is chosen, else 0.

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


STARTS = 1_000
"""Random points at which the confidence bound is predicted."""
DESCENTS = 5
"""How many of them, the best, are descended from."""


class BayesianOracle(BayesianOptimizationOracle):  # type: ignore[misc]
    """Keras Tuner's Gaussian process with three faults fixed.

    Keras Tuner places the options of a choice on a line in the order of their declaration (keras-tuner#287), so that
    the middle one lies between its neighbours. Here three or more options have a coordinate each, the largest of which
    counts. And Keras Tuner predicts the results of running trials by the model of its last proposal, or by none; here
    the model is fitted first. Keras Tuner descends from 50 random points, which takes seconds a proposal, most of a
    minute in a space of 29 parameters; here from the best few of more points, which are predicted at once.
    """

    trials: dict[str, Any]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns random values at first, then those with the lowest confidence bound."""
        if sum(trial.status == TrialStatus.COMPLETED for trial in self.trials.values()) < self.num_initial_points:
            response: dict[str, Any] = self._random_populate_space()
            return response
        # It predicts one point at a time, thousands of times: checking each would be half of the work.
        # Its matrices are so small that BLAS threads wait for each other, even more next to busy workers.
        unchecked = sklearn.config_context(assume_finite=True, skip_parameter_validation=True)
        with unchecked, _BLAS_CONTROLLER.limit(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of the kernel's one length scale
            x, y = self._vectorize_trials()
            self.gpr.fit(x, np.nan_to_num(y, posinf=0, neginf=0))
            return {"status": TrialStatus.RUNNING, "values": self._vector_to_values(self._lowest_point())}

    def _lowest_point(self) -> np.ndarray:
        """Returns the point of the unit cube with the lowest confidence bound found."""
        bounds = self._get_hp_bounds()
        starts = self._random_state.uniform(bounds[:, 0], bounds[:, 1], size=(STARTS, len(bounds)))
        best = starts[np.argsort(self._confidence_bound(starts), kind="stable")[:DESCENTS]]

        def bound(point: np.ndarray) -> float:
            return float(self._confidence_bound(point[None])[0])

        descents = [minimize(bound, start, bounds=bounds, method="L-BFGS-B") for start in best]
        return np.asarray(min(descents, key=lambda descent: descent.fun).x)

    def _confidence_bound(self, points: np.ndarray) -> np.ndarray:
        mean, deviation = self.gpr.predict(points, return_std=True)
        return np.asarray(mean - self.beta * deviation)

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
    is_unordered = isinstance(declared, keras_tuner.engine.hyperparameters.Choice) and not declared.ordered
    if not is_unordered or len(declared.values) < 3:
        return [declared]
    return [_Indicator(declared, option) for option in declared.values]


class HyperbandOracle(keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Keras Tuner's Hyperband with brackets that can be rebuilt from recorded trials.

    A failed trial keeps its place in a round, as the last of it. So does a place for which the space has no
    configuration left. If a failed trial would be promoted, its place in the next round counts as failed too. Keras
    Tuner itself never fills the rounds after a round with many failures.

    Source: Li et al., "Hyperband", JMLR 18 (2018).
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns a new configuration for the first round of a bracket, or one to continue in a later round."""
        while True:
            response: dict[str, Any] = super().populate_space(trial_id)
            if response["status"] == TrialStatus.RUNNING:
                parent = response["values"].get("tuner/trial_id")
                if parent is None or math.isfinite(self.trials[parent].score):
                    return response
                self._fill_as_failed(self._find_place(trial_id)[2])
            else:
                unfilled = next(bracket for bracket in self._brackets if self._unfilled_count(bracket))
                if not unfilled["rounds"][0]:  # the space is exhausted, and a new bracket would be empty
                    return response
                for _ in range(self._unfilled_count(unfilled)):
                    unfilled["rounds"][0].append(place := {"past_id": None, "id": trial_id})
                    self._fill_as_failed(place)

    def make_proposal(self, number: int, config: Config) -> Proposal:
        """Returns the proposal that ``populate_space`` just decided on.

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
                ITERATION: bracket["iteration"],
                BRACKET: bracket["bracket_num"],
                ROUND: round_number,
                "initial_epoch": initial_epoch,
                "epochs": target_epoch,
            },
        )

    def restore_place(self, number: int, proposal: Proposal) -> None:
        """Restores the place of a recorded trial; a proposal of the caller has none."""
        metadata = proposal.engine_metadata
        if BRACKET not in metadata:
            return
        while (self._current_iteration, -self._current_bracket) < (metadata[ITERATION], -metadata[BRACKET]):
            self._increment_bracket_num()
            self._start_new_bracket()
        parent = None if proposal.parent is None else str(proposal.parent)
        for bracket in self._brackets:
            if (bracket["iteration"], bracket["bracket_num"]) == (metadata[ITERATION], metadata[BRACKET]):
                bracket["rounds"][metadata[ROUND]].append({"past_id": parent, "id": str(number)})

    def remove_place(self, number: int) -> None:
        """Removes an interrupted trial from its round; it is proposed again under another number."""
        for bracket in self._brackets:
            for places in bracket["rounds"]:
                places[:] = [place for place in places if place["id"] != str(number)]

    def may_promote(self, number: int) -> bool:
        """Returns whether a trial may still be promoted: it was not, and its next round has places."""
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
        """Fills a place with a trial that failed without having run."""
        failed = KerasTunerTrial(hyperparameters=self.hyperparameters, status=TrialStatus.COMPLETED)
        failed.score = math.inf
        place["id"] = failed.trial_id
        self.trials[failed.trial_id] = failed
