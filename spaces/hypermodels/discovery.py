"""Discovers the parameters of a Keras Tuner model by building it, in a process of its own.

As Keras Tuner does, the model is built at the defaults, then with the values that activate its conditional scopes,
until no new one appears. Beyond that, each parameter's values are tried: a parameter that is used at some of them only,
such as the width of a third layer, becomes conditional, with or without a scope. Run by ``spaces.hypermodels.space``::

    python -m spaces.hypermodels.discovery FILE RESULT     writes a JSON document: the space, or an error
"""

from __future__ import annotations

import ast
import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras

from spaces.domains import Activation, Choice, Condition, Domain, Int, Value
from spaces.errors import SpaceError
from spaces.hypermodels.builder import output_problem
from spaces.hypermodels.parameters import (
    SCOPE_MARK,
    TracedParameters,
    parameter_name,
    to_domain,
)
from spaces.hypermodels.source import Build, Hypermodel, error_location, find_hypermodel
from spaces.hypermodels.target import BATCH_SIZE
from spaces.space import Space
from spaces.training import TRAINING

DATA_SHAPES = (((28, 28, 1), 10), ((32, 32, 3), 10), ((224, 224, 3), 10))
"""Image shapes and numbers of classes with which a builder that takes them is tried, in order."""
MAX_TRIED_VALUES = 64
"""Values of an integer parameter that are all tried if the parameters in use depend on it."""
MAX_BUILDS = 300
"""Builds after which no further values are tried; a limit in seconds would find other conditions on a slow machine."""


@dataclass(slots=True, kw_only=True)
class _Found:
    """A hyperparameter that a build used.

    Args:
        hyperparameter: Keras Tuner's.
        context: Values by Keras Tuner's names with which the build used it.
        parent: Key of the parameter that it depends on.
        values: Values of the parent at which it is used.
        failures: Errors of builds at its values, all others at their defaults.
    """

    hyperparameter: Any
    context: Mapping[str, Value]
    parent: str | None = None
    values: tuple[Value, ...] = ()
    failures: dict[Value, str] = field(default_factory=dict)

    def failure(self) -> list[str]:
        """Returns a sentence on the first value with which the model fails, or nothing."""
        return [f"At {value} the model of the defaults fails: {error}." for value, error in self.failures.items()][:1]


@dataclass(slots=True, kw_only=True)
class _Explorer:
    """Builds the model at chosen values and keeps what was found.

    Args:
        build: Makes the model.
        path: The file, for the lines of its errors.
        found: The hyperparameters by key, parents first.
        dormant: Hyperparameters of scopes that no build has activated, by key.
    """

    build: Callable[[TracedParameters], Any]
    path: Path
    found: dict[str, _Found] = field(default_factory=dict)
    dormant: dict[str, Any] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)
    _errors: dict[tuple[tuple[str, Value], ...], str] = field(default_factory=dict)
    _used_at: dict[tuple[tuple[str, Value], ...], set[str] | None] = field(default_factory=dict)

    def explore(self) -> None:
        """Builds at the defaults, then tries the values of each hyperparameter, found ones included."""
        self._used({}, is_default=True)
        waiting = list(self.found)
        while waiting:
            for key in waiting:
                self._tried.add(key)
                if len(self._used_at) < MAX_BUILDS:
                    self._try_values(key)
            waiting = [key for key in self.found if key not in self._tried] or self._activate_dormant()

    def failures(self) -> list[str]:
        """Returns a sentence for each hyperparameter with a value with which the model fails."""
        return [f"{each.hyperparameter.name}: {text}" for each in self.found.values() for text in each.failure()]

    def _try_values(self, key: str) -> None:
        """Finds which hyperparameters are used at which values of one of them."""
        own = self.found[key]
        name, default = own.hyperparameter.name, _default(own)
        used: dict[Value, set[str] | None] = {default: self._used(own.context)}
        for value in self._first_values(own.hyperparameter):
            if value not in used:
                used[value] = self._used({**own.context, name: value})
        if len({frozenset(keys) if keys is not None else None for keys in used.values()}) == 1:
            return
        for value in _all_values(own.hyperparameter):
            if value not in used:
                used[value] = self._used({**own.context, name: value})
        own.failures = {
            value: self._errors[tuple({**own.context, name: value}.items())]
            for value, keys in used.items()
            if keys is None
        }
        values = to_domain(own.hyperparameter).values() or ()
        if not all(value in used for value in values):
            return
        order = list(self.found)
        built = [keys for keys in used.values() if keys is not None]
        for other in order[order.index(key) + 1 :]:
            if any(other in keys for keys in built) and not all(other in keys for keys in built):
                at = [value for value in values if (keys := used[value]) is None or other in keys]
                self.found[other].parent, self.found[other].values = key, tuple(at)

    def _first_values(self, hyperparameter: Any) -> list[Value]:
        """Returns the values of a choice, or the bounds of a range, and values that scopes name."""
        domain = to_domain(hyperparameter)
        values = list(domain.options) if isinstance(domain, Choice) else [domain.high, domain.low]
        named = [
            value
            for dormant in self.dormant.values()
            for condition in dormant.conditions
            if condition.name == hyperparameter.name
            for value in condition.values
            if domain.contains(value)
        ]
        return values + named

    def _activate_dormant(self) -> list[str]:
        """Builds with the values that activate the scopes of hyperparameters not found yet; returns the found ones."""
        for key, hyperparameter in list(self.dormant.items()):
            if key not in self.found:
                self._used({each.name: each.values[0] for each in hyperparameter.conditions})
                del self.dormant[key]
                if key in self.found:
                    inner = hyperparameter.conditions[-1]
                    parents = [one for one, each in self.found.items() if each.hyperparameter.name == inner.name]
                    self.found[key].parent, self.found[key].values = parents[0], tuple(inner.values)
        return [key for key in self.found if key not in self._tried]

    def _used(self, values: Mapping[str, Value], *, is_default: bool = False) -> set[str] | None:
        """Returns the keys of the hyperparameters that a build uses; None if it fails at other than the defaults."""
        point = tuple(values.items())
        if point in self._used_at:
            return self._used_at[point]
        self._used_at[point] = None
        traced = TracedParameters(values)
        try:
            self.build(traced)
        except Exception as error:
            if is_default:
                raise
            self._errors[point] = error_location(error, self.path)
            return None  # values that do not fit together, such as more pooling than pixels
        for key, hyperparameter in traced.active.items():
            self.found.setdefault(key, _Found(hyperparameter=hyperparameter, context=dict(values)))
        self.dormant |= {key: each for key, each in traced.dormant.items() if key not in self.found}
        self._used_at[point] = set(traced.active)
        return self._used_at[point]


def _default(found: _Found) -> Value:
    value: Value = found.context.get(found.hyperparameter.name, found.hyperparameter.default)
    return value


def _all_values(hyperparameter: Any) -> Sequence[Value]:
    values = to_domain(hyperparameter).values() or ()
    return values if len(values) <= MAX_TRIED_VALUES else ()


def to_parameters(found: Mapping[str, _Found]) -> dict[str, Domain]:
    """Returns the parameters of a space, parents first.

    Raises:
        SpaceError: Two hyperparameters cannot be told apart.
    """
    names: dict[str, str] = {}
    parameters: dict[str, Domain] = {}
    originals: dict[str, str] = {}
    for key, each in found.items():
        base = parameter_name(each.hyperparameter)
        if originals.setdefault(base, each.hyperparameter.name) != each.hyperparameter.name:
            raise SpaceError(
                f"Two parameters have the same name as Python identifiers, {base}. "
                f"Received: {originals[base]!r} and {each.hyperparameter.name!r}. Rename one."
            )
        when = _condition(each, names, parameters)
        domain = replace(to_domain(each.hyperparameter), when=when, doc=_describe(each, base))
        same = [name for name in parameters if name.partition(SCOPE_MARK)[0] == base]
        equal = [name for name in same if replace(parameters[name], when=None) == replace(domain, when=None)]
        if equal:
            names[key] = equal[0]
            parameters[equal[0]] = replace(domain, when=_union(parameters[equal[0]].when, when))
            continue
        if any(not _are_exclusive(parameters[name].when, when) for name in same):
            raise SpaceError(
                f"The parameter {each.hyperparameter.name!r} has other values in another scope, and both may be "
                "active. Give them names of their own."
            )
        names[key] = f"{base}{SCOPE_MARK}{len(same) + 1}" if same else base
        parameters[names[key]] = domain
    return parameters


def _describe(found: _Found, name: str) -> str:
    """Returns the name in the file where it differs, and the value at which the model first failed to build."""
    original = found.hyperparameter.name
    parts = [] if name == original else [f"{original!r} of the file."]
    return " ".join([*parts, *found.failure()])


def _condition(found: _Found, names: Mapping[str, str], parameters: Mapping[str, Domain]) -> Condition | None:
    if found.parent is None or found.parent not in names:
        return None
    parent = parameters[names[found.parent]]
    values = tuple(value for value in found.values if parent.contains(value))
    is_always = values and set(values) == set(parent.values() or ())
    return None if is_always or not values else Condition(parameter=names[found.parent], values=values)


def _union(one: Activation | None, other: Activation | None) -> Condition | None:
    if not isinstance(one, Condition) or not isinstance(other, Condition) or one.parameter != other.parameter:
        return None
    return Condition(parameter=one.parameter, values=tuple(dict.fromkeys((*one.values, *other.values))))


def _are_exclusive(one: Activation | None, other: Activation | None) -> bool:
    if not isinstance(one, Condition) or not isinstance(other, Condition) or one.parameter != other.parameter:
        return False
    return not set(one.values) & set(other.values)


def discover(path: Path) -> dict[str, Any]:
    """Returns the space of a file and what its models take and return, as a plain dict.

    Raises:
        SpaceError: The file or its model cannot be used.
    """
    hypermodel = find_hypermodel(path)
    assert hypermodel is not None, "the caller found a model builder"
    found = hypermodel.run()
    takes_data = hypermodel.takes_data(found)
    refusal: SpaceError | None = None
    for image_shape, classes in DATA_SHAPES if takes_data else DATA_SHAPES[:1]:
        build = hypermodel.bind(found, image_shape, classes)
        model: list[Any] = []
        try:
            explorer = _explore(build, found, model, path)
        except Exception as error:  # noqa: BLE001 - a user's builder may raise anything
            refusal = refusal or SpaceError(f"{hypermodel.name} fails: {error_location(error, path)} ({path})")
            continue
        break
    else:
        assert refusal is not None
        raise refusal
    parameters = to_parameters(explorer.found)
    if problem := output_problem(model[0]):
        raise SpaceError(f"The model of {hypermodel.name} cannot be used: {problem} ({path})")
    if not model[0].compiled:
        parameters |= {name: domain for name, domain in TRAINING.items() if name not in parameters}
    elif BATCH_SIZE not in parameters:
        parameters[BATCH_SIZE] = _batch_size(hypermodel)
    doc = f"Keras Tuner's {hypermodel.name}, as its file builds it"
    fit = _unused_fit(hypermodel, found)
    space = Space(name=path.stem, parameters=parameters, doc=f"{doc}. {fit}" if fit else doc)
    notices = [*([fit] if fit else []), *explorer.failures()]
    return {"space": space.to_json(), "notices": notices, **({} if takes_data else _shapes(model[0]))}


def _batch_size(hypermodel: Hypermodel) -> Domain:
    """Returns the batch sizes that the file searches outside its builder, else the one that it gives."""
    traced, call = TracedParameters({}), hypermodel.batch_size_call
    if call is not None:
        with contextlib.suppress(Exception):  # an argument that is not a literal, or is none of Keras Tuner's
            method = getattr(traced, call.func.attr if isinstance(call.func, ast.Attribute) else "")
            method(
                *map(ast.literal_eval, call.args),
                **{keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg},
            )
    for hyperparameter in traced.active.values():
        if parameter_name(hyperparameter) == BATCH_SIZE:
            return replace(to_domain(hyperparameter), doc="Images an optimizer step, as the file searches it.")
    size = hypermodel.batch_size
    return Int(size, size, size, doc="Images an optimizer step, as the file sets it.")


def _unused_fit(hypermodel: Hypermodel, found: object) -> str:
    """Returns a sentence if the file's HyperModel has a ``fit`` of its own, which does not run here; else empty."""
    fit = getattr(found, "fit", None)
    if fit is None or fit.__module__.partition(".")[0] == "keras_tuner":
        return ""
    return (
        f"The fit method of {hypermodel.name} is not used, but for batch_size: what it does to the images, and what "
        "else it searches, is left out."
    )


def _explore(build: Build, found: object, models: list[Any], path: Path) -> _Explorer:
    """Returns what was found; puts the model of the defaults into a list."""

    def build_model(parameters: TracedParameters) -> None:
        keras.utils.clear_session(free_memory=False)
        if hasattr(found, "declare_hyperparameters") and not isinstance(found, type):
            found.declare_hyperparameters(parameters)
        model = build(parameters)
        if not models:
            if not isinstance(model, keras.Model):
                raise TypeError(f"A builder returns a keras.Model. Received: {type(model).__name__}.")
            models.append(model)

    explorer = _Explorer(build=build_model, path=path)
    explorer.explore()
    return explorer


def _shapes(model: Any) -> dict[str, Any]:
    """Returns the shape of an image that a model takes, and the number of its outputs, as far as it has them."""
    if not getattr(model, "inputs", None):
        return {}
    return {"input_shape": list(model.inputs[0].shape[1:]), "outputs": model.outputs[0].shape[-1]}


def main(file: str, result: str) -> None:
    """Writes the space of a file, or why there is none."""
    try:
        document: dict[str, Any] = discover(Path(file))
    except SpaceError as error:
        document = {"error": str(error)}
    Path(result).write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
