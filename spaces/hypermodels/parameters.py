"""Keras Tuner's hyperparameters as domains of this project, and configurations as Keras Tuner's hyperparameters.

A parameter's name is made of Keras Tuner's by a fixed rule, so that a worker finds the value without the space. Imports
Keras Tuner; used where Keras is imported.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Any

import keras_tuner

from spaces.domains import DECIMALS, Choice, Domain, Float, Int, Value
from spaces.hypermodels.target import BATCH_SIZE
from spaces.training import AUGMENTATION_PARAMETERS

RESERVED_NAMES = frozenset({*AUGMENTATION_PARAMETERS, "clean_epochs", "schedule", "label_smoothing"})
"""Training parameters that the trainer would apply to a model of any space."""
SCOPE_MARK = "__"
"""Precedes the number of a further parameter of the same name in another scope."""


def parameter_name(hyperparameter: Any) -> str:
    """Returns the name of a hyperparameter as a Python identifier."""
    name = re.sub(r"_+", "_", re.sub(r"\W", "_", hyperparameter.name))
    if not name.isidentifier() or keyword.iskeyword(name):
        name = f"p_{name}"
    is_batch_size = name == BATCH_SIZE and all(isinstance(value, int) for value in _bounds(hyperparameter))
    return f"model_{name}" if name in RESERVED_NAMES or (name == BATCH_SIZE and not is_batch_size) else name


class ConfiguredParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """Hyperparameters with the values of a configuration; those that it lacks have their defaults.

    Args:
        config: Of the space that was discovered.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._config = {name.partition(SCOPE_MARK)[0]: value for name, value in config.items()}

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        name = parameter_name(hyperparameter)
        if name in self._config and hyperparameter.name not in self.values and self.is_active(hyperparameter):
            self.values[hyperparameter.name] = self._config[name]
        return super()._register(hyperparameter, overwrite)


class TracedParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """Hyperparameters that keep which of them a build uses.

    Args:
        given: Values by Keras Tuner's names.

    Attributes:
        active: The hyperparameters that the build uses, by key, in order.
        dormant: Those whose scope is not active, by key.
    """

    def __init__(self, given: Mapping[str, Value]) -> None:
        super().__init__()
        self.values.update(given)
        self.active: dict[str, Any] = {}
        self.dormant: dict[str, Any] = {}

    def _retrieve(self, hp: Any) -> Any:
        value = super()._retrieve(hp)
        (self.active if self.is_active(hp) else self.dormant)[hyperparameter_key(hp)] = hp
        return value


def hyperparameter_key(hyperparameter: Any) -> str:
    """Returns what tells hyperparameters apart: their names and scopes."""
    conditions = [(each.name, tuple(each.values)) for each in hyperparameter.conditions]
    return f"{hyperparameter.name} {conditions}"


def to_domain(hyperparameter: Any) -> Domain:
    """Returns the values of a hyperparameter; its default is the baseline, or the value that is nearest to it.

    Int and Float keep range, step and logarithmic scale. On a logarithmic scale with steps they become a choice of
    their values. Of a range that is no whole number of steps long, the rest above the last step is left out.
    """
    kind = type(hyperparameter).__name__
    if kind == "Fixed":
        return Choice((hyperparameter.value,), hyperparameter.value)
    if kind == "Boolean":
        return Choice((False, True), bool(hyperparameter.default))
    if kind == "Choice":
        return Choice(tuple(dict.fromkeys(hyperparameter.values)), hyperparameter.default)
    return _numeric_domain(hyperparameter, int if kind == "Int" else float)


def _numeric_domain(hyperparameter: Any, number: type[int] | type[float]) -> Domain:
    low, high = number(hyperparameter.min_value), number(hyperparameter.max_value)
    default, step, is_log = hyperparameter.default, hyperparameter.step, hyperparameter.sampling != "linear"
    if low == high:
        return Choice((low,), low)
    if step is not None and is_log:
        return _choice_near(sorted({number(value) for value in hyperparameter.values}), default)
    is_log = hyperparameter.sampling == "log"
    if number is int:
        step = int(step or 1)
        high = low + (high - low) // step * step
        baseline = min(max(low + round((default - low) / step) * step, low), high)
        return Int(int(low), int(high), int(baseline), step=step, log=is_log)
    if step is None:
        return Float(low, high, float(default), log=is_log)
    if round(step, DECIMALS) != step:
        return _choice_near([float(value) for value in hyperparameter.values], default)
    count = int((high - low) / step + 1e-9)
    index = min(max(round((default - low) / step), 0), count)
    return Float(low, low + count * step, round(low + index * step, DECIMALS), step=step)


def _choice_near(values: list[Any], default: float) -> Choice:
    return Choice(tuple(values), min(values, key=lambda value: abs(value - default)))


def _bounds(hyperparameter: Any) -> list[Any]:
    kind = type(hyperparameter).__name__
    if kind == "Choice":
        return list(hyperparameter.values)
    if kind == "Fixed":
        return [hyperparameter.value]
    return [hyperparameter.min_value, hyperparameter.max_value] if kind in ("Int", "Float") else [None]
