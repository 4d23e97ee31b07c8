"""What a study's trials say: which were trained at which fidelity, and how they compare. Called by the sampler."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

Key = frozenset[tuple[str, Any]]
PROMOTION_MARGIN = 0.25
"""Where the bound for a full training lies between the incumbent's short training, at 0, and the median one, at 1.

In six searches of perceptrons (17 configurations trained at both lengths, losses relative to those of the recipe they
began with), short losses up to 1.05 led to full losses of 0.84 to 1.03, those of 1.18 and more to 1.25 and more. The
median short loss was about 1.15.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A trial at one fidelity.

    Args:
        trial: The trial.
        fidelity: Its fidelity; None without fidelities.
        params: Its parameters without the fidelity.
        key: Equal for equal parameters.
        distributions: Of those parameters that have more than one value.
        loss: Its value, to be minimized; infinite if it failed, and None while it runs.
    """

    trial: FrozenTrial
    fidelity: Any
    params: Mapping[str, Any]
    key: Key
    distributions: Mapping[str, BaseDistribution]
    loss: float | None


class TrainingReader:
    """Reads trials as trainings; a finished trial is read once.

    Args:
        fidelity: Name of the parameter that sets the fidelity; None if every training is full.
        full: The fidelity of a full training.
    """

    def __init__(self, fidelity: str | None, full: Any) -> None:
        self._fidelity, self._full = fidelity, full
        self._known: dict[int, tuple[FrozenTrial, float, Training]] = {}  # trial, sign and training by number

    def read(self, trials: Iterable[FrozenTrial], sign: float) -> Iterator[Training]:
        """Yields the trials that have parameters.

        Args:
            trials: Of a study.
            sign: 1 to minimize their values, -1 to maximize them.
        """
        for trial in trials:
            known = self._known.get(trial.number)
            if known is not None and known[0] is trial and known[1] == sign:
                yield known[2]
            elif trial.params:
                training = self._read(trial, sign)
                if trial.state.is_finished():
                    self._known[trial.number] = (trial, sign, training)
                yield training

    def _read(self, trial: FrozenTrial, sign: float) -> Training:
        params = {name: setting for name, setting in trial.params.items() if name != self._fidelity}
        return Training(
            trial=trial,
            fidelity=self._full if self._fidelity is None else trial.params.get(self._fidelity),
            params=params,
            key=frozenset(params.items()),
            distributions={
                name: trial.distributions[name] for name in params if not trial.distributions[name].single()
            },
            loss=_loss(trial, sign),
        )


class History:
    """The trainings of a study.

    Args:
        trainings: All of them, in the order of their trials' numbers.
        short: The fidelity of a short training.
        full: That of a full training.
    """

    def __init__(self, trainings: Iterable[Training], *, short: Any, full: Any) -> None:
        self.full: dict[Key, Training] = {}
        self.short: dict[Key, Training] = {}
        for training in trainings:
            if training.fidelity not in (short, full):
                continue
            alike = self.full if training.fidelity == full else self.short
            earlier = alike.get(training.key)
            if earlier is None or earlier.loss == math.inf:  # a failure may have been repeated
                alike[training.key] = training

    def incumbent(self) -> Training | None:
        """Returns the best full training; None if there is none.

        While at most one has ended, that is the latest one that runs, unless its short training was worse: until its
        end only changes of the worse one could be screened.
        """
        scored = list(_scored(self.full))
        best = _best(scored)
        latest = next((training for training in reversed(self.full.values()) if training.loss is None), None)
        if latest is None or len(scored) > 1:
            return best
        short_loss = self._short_loss(latest)
        is_worse = best is not None and math.isfinite(short_loss) and short_loss > self._short_loss(best)
        return best if is_worse else latest

    @property
    def short_count(self) -> int:
        """Number of short trainings that run or were scored; a failure takes little time, and a refusal none."""
        return sum(training.loss is None or math.isfinite(training.loss) for training in self.short.values())

    def screened(self) -> list[Training]:
        """Returns the short trainings that have a finite loss and were not trained in full, the best first."""
        return sorted((one for one in _scored(self.short) if one.key not in self.full), key=_order)

    def improvements(self, incumbent: Training) -> list[Training]:
        """Returns those of ``screened`` that beat the incumbent's short training."""
        return self._screened_below(self._short_loss(incumbent))

    def promising(self, incumbent: Training) -> list[Training]:
        """Returns those of ``screened`` that beat the incumbent's short training or come close to it."""
        losses = [training.loss for training in _scored(self.short) if training.loss is not None]
        return self._screened_below(promotion_bound(self._short_loss(incumbent), losses))

    def _short_loss(self, incumbent: Training) -> float:
        reference = self.short.get(incumbent.key)
        return math.inf if reference is None or reference.loss is None else reference.loss

    def _screened_below(self, bound: float) -> list[Training]:
        return [training for training in self.screened() if training.loss is not None and training.loss < bound]

    def scored(self, *, short: bool) -> list[Training]:
        """Returns the short or the full trainings that have a finite loss, oldest first."""
        return sorted(_scored(self.short if short else self.full), key=_number)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Returns the distribution of every parameter that occurred with more than one value, the latest one."""
        found: dict[str, BaseDistribution] = {}
        for training in sorted([*self.full.values(), *self.short.values()], key=_number):
            found.update(training.distributions)
        return found

    def best_values(self) -> dict[str, Any]:
        """Returns the value of each parameter in the best training that has it, in a short one before a full one.

        The full ones with a parameter may be poor, such as the start that is to be improved; short ones are more.
        """
        values: dict[str, Any] = {}
        for trainings in (self.short, self.full):
            for training in sorted(_scored(trainings), key=_order):
                values = {**training.params, **values}
        return values


def promotion_bound(reference: float, losses: Sequence[float]) -> float:
    """Returns the loss below which a short training is promising enough for a full one.

    It lies a quarter of the way from the short training of the best full one to the median short training: the order of
    short trainings is not certain.

    Args:
        reference: Loss of the short training of the best full one; infinite if that failed.
        losses: Finite losses of the short trainings, this one included.
    """
    if math.isinf(reference):
        return reference
    return reference + PROMOTION_MARGIN * max(0.0, statistics.median(losses) - reference)


def _scored(trainings: Mapping[Any, Training]) -> Iterator[Training]:
    return filter(_is_scored, trainings.values())


def _is_scored(training: Training) -> bool:
    return training.loss is not None and math.isfinite(training.loss)


def _best(trainings: Iterable[Training]) -> Training | None:
    return min(trainings, key=_order, default=None)


def _number(training: Training) -> int:
    return training.trial.number


def _order(training: Training) -> tuple[float, int]:
    return (math.inf if training.loss is None else training.loss, training.trial.number)


def _loss(trial: FrozenTrial, sign: float) -> float | None:
    if not trial.state.is_finished():
        return None
    if trial.state is not TrialState.COMPLETE or trial.value is None or math.isnan(trial.value):
        return math.inf
    return sign * trial.value
