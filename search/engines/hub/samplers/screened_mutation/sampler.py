"""The sampler: sparse mutation of the incumbent with screening.

Every proposal changes a few parameters of a good configuration. At first it is trained briefly. The best of those that
beat the incumbent's own short training, or come close to it, are trained in full; the best full training is the
incumbent. A linear surrogate chooses among several mutations once there are enough short trainings.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .activity import Activity
from .history import History, Training, TrainingReader
from .mutation import mutated, uniform
from .surrogate import MAX_TRAININGS, MIN_TRAININGS, Surrogate

MAX_CHANGES = 3
"""Most parameters that a mutation changes; their number is uniform from 1.

In six searches of perceptrons (128 mutations of good configurations, trained briefly) 1, 2, 3, 4 and 5 changes lowered
the loss by 0.43, 0.47, 0.55, 0.26 and 0.00 % in the mean, where a mutation that raises it counts 0.
"""
UNIFORM_SHARE = 0.1
"""Share of mutations whose new values are drawn from the whole range, so that a bad start is left."""
CHAIN_SHARE = 0.3
"""Share of mutations of the best short training that beats the incumbent's, in place of mutations of the incumbent."""
SCREENING_RATIO = 1.5
"""What is spent on short trainings for each unit that is spent on full ones."""
CANDIDATES = 32
"""Mutations among which the surrogate chooses."""
UNGUIDED_SHARE = 0.15
"""Share of mutations that the surrogate does not choose."""
RANDOM_SCREENS = 5
"""Short trainings of random configurations before the first full one, in a study that begins without any."""
PARENT_KEY = "screened_mutation:parent"
"""System attribute of a proposed trial: the number of the trial that it is a mutation or a longer training of."""

FIXED_PARAMS_KEY = "fixed_params"
"""System attribute that Optuna gives to an enqueued trial."""

CanFinish = Callable[[Mapping[str, Any], Any], bool]


class NothingFits(Exception):  # noqa: N818 - the end of a search, not a failure
    """No training that is worth beginning can end in the time that is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to train next.

    Args:
        is_full: Whether to train in full.
        parent: The training whose parameters it takes; None to draw them all.
        changes: The values that differ from the parent's, by parameter.
    """

    is_full: bool
    parent: Training | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


class ScreenedMutationSampler(BaseSampler):
    """Sparse mutation of the incumbent, screened by short complete trainings.

    The objective asks for its fidelity (epochs, for instance) as a parameter, which this sampler sets to ``short`` or
    ``full``; a learning-rate schedule must run to its end in either. Configurations that are known to be good are
    enqueued in the study at the full fidelity, the best one last. Without a fidelity every trial counts as full.

    Args:
        fidelity: Name of the parameter that sets the fidelity; None for none.
        short: Its value for a short training.
        full: Its value for a full training.
        cost_ratio: Cost of a full training in short ones, 1 or more. None for ``full / short``.
        can_finish: Returns whether a training of some parameters and this much fidelity can end in the time that is
            left; None if time does not matter. A short training is begun only if a full one can follow it.
        seed: Of the random numbers; None to draw one.
    """

    def __init__(
        self,
        *,
        fidelity: str | None = None,
        short: Any = None,
        full: Any = None,
        cost_ratio: float | None = None,
        can_finish: CanFinish | None = None,
        seed: int | None = None,
    ) -> None:
        if fidelity is not None and (short is None or full is None):
            raise ValueError(f"A fidelity needs values for short and full. Received: short={short!r}, full={full!r}.")
        self._fidelity, self._short, self._full = fidelity, short, full
        self._cost_ratio = cost_ratio or (1.0 if fidelity is None else full / short)
        self._can_finish: CanFinish = can_finish or (lambda params, fidelity: True)
        self._generator = np.random.default_rng(seed)
        self._steps: dict[int, Step] = {}
        self._reader = TrainingReader(fidelity, full)
        self._surrogate = Surrogate()

    def with_seed(self, seed: int) -> ScreenedMutationSampler:
        """Returns this sampler with another seed; both share what they have read of finished trials."""
        other = copy.copy(self)
        other._generator, other._steps = np.random.default_rng(seed), {}
        return other

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns nothing: each parameter is set when the objective asks for it, so spaces may be conditional."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns nothing; see ``infer_relative_search_space``."""
        self._raise_error_if_multi_objective(study)
        return {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decides what the trial is.

        Raises:
            NothingFits: No training that is worth beginning can end in the time that is left.
        """
        if FIXED_PARAMS_KEY in trial.system_attrs or study._is_multi_objective():
            return  # the second is refused once a parameter is asked for
        self._steps[trial.number] = step = self._next_step(self._history(study))
        if step.parent is not None:
            study._storage.set_trial_system_attr(trial._trial_id, PARENT_KEY, step.parent.trial.number)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Returns the value of a parameter: the parent's, or another if it is one of those to change."""
        self._raise_error_if_multi_objective(study)
        step = self._steps.get(trial.number, Step(is_full=True))
        if param_name == self._fidelity:
            return self._full if step.is_full else self._short
        if step.parent is None:
            return uniform(param_distribution, self._generator)
        values: Mapping[str, Any] = {**step.parent.params, **step.changes}
        if param_name not in values:  # it is active for the first time in this line
            values = self._history(study).best_values()
        if param_name in values and _contains(param_distribution, values[param_name]):
            return values[param_name]
        return uniform(param_distribution, self._generator)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Forgets the trial's step."""
        self._steps.pop(trial.number, None)

    def reseed_rng(self) -> None:
        """Draws another seed, for a process that has a copy of this sampler."""
        self._generator = np.random.default_rng()

    def _history(self, study: Study) -> History:
        trials, is_maximized = study.get_trials(deepcopy=False), study.direction is StudyDirection.MAXIMIZE
        trainings = self._reader.read(trials, -1.0 if is_maximized else 1.0)
        return History(trainings, short=self._short, full=self._full)

    def _next_step(self, history: History) -> Step:
        incumbent = history.incumbent()
        if self._fidelity is None:
            return Step(is_full=True) if incumbent is None else self._mutation(history, incumbent, is_full=True)
        if incumbent is None:
            best = next(iter(history.screened()), None)
            is_ready = best is not None and history.short_count >= RANDOM_SCREENS
            return Step(is_full=is_ready, parent=best if is_ready else None)
        if incumbent.key not in history.short:
            return Step(is_full=False, parent=incumbent)  # its own short training, which the others are compared with
        improvements = history.improvements(incumbent)
        is_last_chance = not self._can_finish(incumbent.params, self._short + self._full)
        is_due = history.short_count >= SCREENING_RATIO * self._cost_ratio * len(history.full)
        if is_due or is_last_chance:
            promising = history.promising(incumbent)
            fitting = (one for one in promising if self._can_finish(one.params, self._full))
            if (promoted := next(fitting, None)) is not None:
                return Step(is_full=True, parent=promoted)
        if is_last_chance:
            raise NothingFits
        is_chained = bool(improvements) and self._generator.random() < CHAIN_SHARE
        return self._mutation(history, improvements[0] if is_chained else incumbent, is_full=False)

    def _mutation(self, history: History, parent: Training, *, is_full: bool) -> Step:
        """Returns a step that changes a few parameters of a training; the surrogate chooses among several."""
        trainings = history.scored(short=not is_full)
        if len(trainings) < MIN_TRAININGS or self._generator.random() < UNGUIDED_SHARE:
            return Step(is_full=is_full, parent=parent, changes=self._draw_changes(parent))
        candidates = [self._draw_changes(parent) for _ in range(CANDIDATES)]
        others = history.scored(short=is_full)
        activity = Activity([*trainings[-MAX_TRAININGS:], *others[-MAX_TRAININGS:]])
        defaults = history.best_values()
        whole = [activity.resolved({**parent.params, **each}, sorted(each), defaults) for each in candidates]
        chosen = self._surrogate.best_candidate(whole, trainings, history.distributions(), self._generator)
        return Step(is_full=is_full, parent=parent, changes=candidates[chosen])

    def _draw_changes(self, parent: Training) -> dict[str, Any]:
        """Returns new values of a few of a training's parameters."""
        generator, distributions = self._generator, parent.trial.distributions
        names = sorted(name for name in parent.params if not distributions[name].single())
        count = min(len(names), int(generator.integers(1, MAX_CHANGES + 1)))
        is_uniform = generator.random() < UNIFORM_SHARE
        changes = {}
        for name in generator.choice(names, size=count, replace=False).tolist() if names else ():
            value, distribution = parent.params[name], distributions[name]
            drawn = uniform(distribution, generator) if is_uniform else value
            changes[name] = mutated(value, distribution, generator) if drawn == value else drawn
        return changes


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):
        return False
