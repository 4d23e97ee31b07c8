"""Space: an ordered, immutable map from parameter name to domain, with a baseline, recipes and a model builder.

A configuration is a plain dict of the active parameters. A parameter whose condition does not hold is absent, so that
configurations which train the same model are equal.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from spaces import domains
from spaces.domains import AnyNonzero, Condition, Domain, Float, Value
from spaces.workload import WorkloadFunction

Builder = Callable[[Any, Mapping[str, Any], int], Any]
"""``build(images, config, classes)``: from a Keras tensor (batch, height, width, channels) in [0, 1], once augmented,
to class probabilities (batch, classes). The config may hold more parameters than the space."""


ADAPTED = "adapted"
"""Word in the names of recipes that lost values which a changed space lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A known-good configuration, tried after the baseline.

    Args:
        values: Parameters that differ from the baseline.
        doc: What it adds, one line.
        source: Where it was found to be good.
    """

    values: Mapping[str, Value]
    doc: str
    source: str

    def __post_init__(self) -> None:
        """Keeps a read-only copy of the values."""
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def to_json(self) -> dict[str, Any]:
        """Returns the recipe as a plain dict."""
        return {"values": dict(self.values), "doc": self.doc, "source": self.source}


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The configurations that a search may propose.

    Args:
        name: Such as "cnn".
        parameters: Parameter names, each a Python identifier, to domains; a condition names an earlier parameter.
        doc: What it holds, one line.
        recipes: Known-good configurations by name, the most promising first.
        build: Makes the model; None in a space read from JSON.
        workload: Counts the model's operations, from which the seconds of a trial are predicted; None if it is not
            declared, and in a space read from JSON.
    """

    name: str
    parameters: Mapping[str, Domain]
    doc: str = ""
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    build: Builder | None = field(default=None, compare=False)
    workload: WorkloadFunction | None = field(default=None, compare=False)
    declared: Mapping[str, Domain] = field(init=False, repr=False, compare=False)
    """The parameters as they were given: also those that no searched value of an earlier parameter makes active."""

    def __post_init__(self) -> None:
        """Keeps read-only copies; raises ValueError if conditions or recipes do not fit the parameters."""
        object.__setattr__(self, "declared", MappingProxyType(dict(self.parameters)))
        object.__setattr__(self, "parameters", MappingProxyType(_reachable(self.parameters)))
        object.__setattr__(self, "recipes", MappingProxyType(dict(self.recipes)))
        if not self.parameters:
            raise ValueError(f"A space needs parameters. Received: none in space {self.name!r}.")
        earlier: dict[str, Domain] = {}
        for name, domain in self.parameters.items():
            if not name.isidentifier():
                raise ValueError(f"A parameter's name must be a Python identifier. Received: {name!r}.")
            _check_condition(name, domain, earlier)
            earlier[name] = domain
        for name, recipe in self.recipes.items():
            problems = self._recipe_problems(recipe)
            if problems:
                raise ValueError(f"Recipe {name!r} does not lie in space {self.name!r}: {'; '.join(problems)}.")

    @property
    def baseline(self) -> dict[str, Value]:
        """The baseline configuration: the active parameters at their baseline values."""
        return self.baseline_with({})

    def recipe(self, name: str) -> dict[str, Value]:
        """Returns a recipe's configuration: the baseline with the recipe's values."""
        return self.baseline_with(self.recipes[name].values)

    def active(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """Returns the active parameters in the space's order, without float noise."""
        config: dict[str, Value] = {}
        for name, domain in self.parameters.items():
            if name in values and (domain.when is None or domain.when.holds(config)):
                config[name] = _canonical(domain, values[name])
        return config

    def problems(self, config: Mapping[str, Any]) -> list[str]:
        """Returns the reasons why a configuration lies outside the space; empty if it lies inside."""
        messages = [f"unknown parameter {name!r}" for name in config if name not in self.parameters]
        for name, domain in self.parameters.items():
            if domain.when is not None and not domain.when.holds(config):
                if name in config:
                    messages.append(f"{name} is active only when {domain.when.describe()}")
            elif name not in config:
                messages.append(f"{name} is missing")
            elif not domain.contains(config[name]):
                messages.append(f"{name}={config[name]!r} lies outside {domain.describe()}")
        return messages

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Returns whether a configuration lies in the space: exactly the active parameters, each inside its domain."""
        return not self.problems(config)

    def sample(self, generator: random.Random) -> dict[str, Value]:
        """Draws a configuration, each domain uniformly, on a log scale if it has one."""
        return self.active({name: domain.sample(generator) for name, domain in self.parameters.items()})

    def size(self) -> int | None:
        """Returns an upper bound on the number of configurations, or None if a domain is a continuum."""
        size = 1
        for domain in self.parameters.values():
            values = domain.values()
            if values is None:
                return None
            size *= len(values)
        return size

    def restrict(self, changes: Mapping[str, Domain]) -> Space:
        """Returns the space with some domains replaced.

        Conditions lose the values that their parent lost. Parameters whose condition can no longer hold are left out. A
        recipe loses the values that its parameters lost, and is named so; it is left out if that is half of its values
        or more, or if it equals the baseline or an earlier recipe.
        """
        parameters: dict[str, Domain] = {}
        for name, domain in {**self.declared, **changes}.items():
            reachable = _with_reachable_condition(domain, parameters)
            if reachable is not None:
                parameters[name] = reachable
        restricted = dataclasses.replace(self, parameters=parameters, recipes={})
        return dataclasses.replace(restricted, recipes=restricted._distinct_recipes(self.recipes))

    def to_json(self) -> dict[str, Any]:
        """Returns the space as a plain dict, without its model builder."""
        return {
            "name": self.name,
            "doc": self.doc,
            "parameters": {name: domains.to_json(domain) for name, domain in self.parameters.items()},
            "recipes": {name: recipe.to_json() for name, recipe in self.recipes.items()},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, build: Builder | None = None) -> Space:
        """Returns the space that ``to_json`` described."""
        return cls(
            name=document["name"],
            doc=document["doc"],
            parameters={name: domains.from_json(domain) for name, domain in document["parameters"].items()},
            recipes={name: Recipe(**recipe) for name, recipe in document["recipes"].items()},
            build=build,
        )

    def baseline_with(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """Returns the baseline with other values; those of parameters that the space lacks are ignored."""
        baseline = {name: domain.baseline for name, domain in self.parameters.items()}
        return self.active({**baseline, **values})

    def _distinct_recipes(self, recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
        """Returns the recipes, as far as this space has their values, that differ from its baseline and each other."""
        kept: dict[str, Recipe] = {}
        earlier_configs = [self.baseline]
        for name, recipe in recipes.items():
            adapted = self._adapted(recipe)
            config = self.baseline_with(adapted.values)
            if 2 * len(adapted.values) > len(recipe.values) and config not in earlier_configs:
                kept[name if adapted == recipe else f"{name}, {ADAPTED}"] = adapted
                earlier_configs.append(config)
        return kept

    def _adapted(self, recipe: Recipe) -> Recipe:
        """Returns a recipe without the values that this space lacks and without those that are then inactive."""
        values = {
            name: value
            for name, value in recipe.values.items()
            if name in self.parameters and self.parameters[name].contains(value)
        }
        active = self.baseline_with(values)
        return dataclasses.replace(recipe, values={name: value for name, value in values.items() if name in active})

    def _recipe_problems(self, recipe: Recipe) -> list[str]:
        config = self.baseline_with(recipe.values)
        unused = [f"{name} is unknown or inactive" for name in recipe.values if name not in config]
        return self.problems(config) + unused


def _check_condition(name: str, domain: Domain, earlier: Mapping[str, Domain]) -> None:
    when = domain.when
    if when is None:
        return
    if missing := [parent for parent in when.parents if parent not in earlier]:
        raise ValueError(f"The condition of {name!r} must name an earlier parameter. Received: {missing[0]!r}.")
    if isinstance(when, AnyNonzero):
        return
    parent = earlier[when.parameter]
    if not when.values or not all(parent.contains(value) for value in when.values):
        raise ValueError(
            f"The condition of {name!r} must name values of {when.parameter}: {parent.describe()}. "
            f"Received: values={when.values!r}."
        )


def _reachable(parameters: Mapping[str, Domain]) -> dict[str, Domain]:
    """Returns the parameters without those that no value that is searched makes active."""
    reachable: dict[str, Domain] = {}
    for name, domain in parameters.items():
        when = domain.when
        found: Domain | None = domain
        is_open = isinstance(when, Condition) and when.beyond and (when.parameter in reachable or not when.values)
        if is_open or isinstance(when, AnyNonzero):
            found = _with_reachable_condition(domain, reachable)
        if found is not None:
            reachable[name] = found
    return reachable


def _with_reachable_condition(domain: Domain, earlier: Mapping[str, Domain]) -> Domain | None:
    """Returns the domain with its condition reduced to what can be, or None if it cannot hold."""
    if domain.when is None:
        return domain
    when = domain.when.reduced(earlier)
    return None if when is None else dataclasses.replace(domain, when=when)


def _canonical(domain: Domain, value: Any) -> Any:
    return domain.canonical(value) if isinstance(domain, Float) and domain.contains(value) else value
