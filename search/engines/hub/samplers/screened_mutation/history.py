"""What a study's trials say: which were trained at which fidelity, and how they compare. Called by the sampler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A trial at one fidelity.

    Args:
        trial: The trial.
        params: Its parameters without the fidelity.
        loss: Its value, to be minimized; infinite if it failed, and None while it runs.
    """

    trial: FrozenTrial
    params: Mapping[str, Any]
    loss: float | None

    @property
    def key(self) -> frozenset[tuple[str, Any]]:
        """Equal for equal parameters."""
        return frozenset(self.params.items())


class History:
    """The trainings of a study.

    Args:
        trials: All trials of the study.
        fidelity: Name of the parameter that sets the fidelity; None if every training is full.
        short: The fidelity of a short training.
        full: That of a full training.
        sign: 1 to minimize the values, -1 to maximize them.
    """

    def __init__(
        self, trials: Iterable[FrozenTrial], *, fidelity: str | None, short: Any, full: Any, sign: float = 1.0
    ) -> None:
        self.full: dict[frozenset[tuple[str, Any]], Training] = {}
        self.short: dict[frozenset[tuple[str, Any]], Training] = {}
        for trial in trials:
            value = full if fidelity is None else trial.params.get(fidelity)
            if value not in (short, full) or not trial.params:
                continue
            params = {name: setting for name, setting in trial.params.items() if name != fidelity}
            training = Training(trial=trial, params=params, loss=_loss(trial, sign))
            trainings = self.full if value == full else self.short
            earlier = trainings.get(training.key)
            if earlier is None or earlier.loss == math.inf:  # a failure may have been repeated
                trainings[training.key] = training

    def incumbent(self) -> Training | None:
        """Returns the best full training; a running one, the first, while none has ended; None if there is none."""
        ended = [training for training in self.full.values() if _is_scored(training)]
        return _best(ended) or next((training for training in self.full.values() if training.loss is None), None)

    def best_short(self) -> Training | None:
        """Returns the best short training; None if none has ended."""
        return _best(_scored(self.short))

    def screened(self) -> list[Training]:
        """Returns the short trainings that have a finite loss and were not trained in full, the best first."""
        return sorted((one for one in _scored(self.short) if one.key not in self.full), key=_order)

    def improvements(self, incumbent: Training) -> list[Training]:
        """Returns those of ``screened`` that beat the incumbent's short training."""
        reference = self.short.get(incumbent.key)
        bound = math.inf if reference is None or reference.loss is None else reference.loss
        return [training for training in self.screened() if training.loss is not None and training.loss < bound]

    def scored(self, *, short: bool) -> list[tuple[Mapping[str, Any], float]]:
        """Returns parameters and losses of the short or the full trainings that have a finite loss, oldest first."""
        trainings = sorted((self.short if short else self.full).values(), key=lambda training: training.trial.number)
        return [(one.params, one.loss) for one in trainings if one.loss is not None and math.isfinite(one.loss)]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Returns the distribution of every parameter that occurred, the latest one."""
        trainings = [*self.full.values(), *self.short.values()]
        return {
            name: distribution
            for training in sorted(trainings, key=lambda training: training.trial.number)
            for name, distribution in training.trial.distributions.items()
            if name in training.params and not distribution.single()
        }

    def best_with(self, name: str) -> Training | None:
        """Returns the best training that has a parameter, a full one before a short one."""
        for trainings in (self.full, self.short):
            if (best := _best(training for training in _scored(trainings) if name in training.params)) is not None:
                return best
        return None


def _scored(trainings: Mapping[Any, Training]) -> Iterator[Training]:
    return filter(_is_scored, trainings.values())


def _is_scored(training: Training) -> bool:
    return training.loss is not None and math.isfinite(training.loss)


def _best(trainings: Iterable[Training]) -> Training | None:
    return min(trainings, key=_order, default=None)


def _order(training: Training) -> tuple[float, int]:
    return (math.inf if training.loss is None else training.loss, training.trial.number)


def _loss(trial: FrozenTrial, sign: float) -> float | None:
    if not trial.state.is_finished():
        return None
    if trial.state is not TrialState.COMPLETE or trial.value is None or math.isnan(trial.value):
        return math.inf
    return sign * trial.value
