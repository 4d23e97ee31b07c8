"""Space: an ordered, immutable map from parameter name to domain, with a baseline, recipes and a model builder.

A configuration is a plain dict holding the active parameters only: a parameter whose condition does not hold is absent.
Two configurations that would train the same model are therefore the same dict.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from spaces.domains import DOMAINS, Choice, Domain, Float, Int, Value, When

Builder = Callable[[Any, Mapping[str, Any], int], Any]
"""``build(images, config, classes)``: Keras tensor (batch, height, width, channels) in [0, 1] to class probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A configuration known to be good, tried after the baseline.

    Args:
        values: Parameters that differ from the baseline.
        doc: What it adds, one line.
        source: Who found it to be good.
    """

    values: Mapping[str, Value]
    doc: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The configurations that a search may propose.

    Args:
        name: Such as "cnn".
        doc: What it holds, one line.
        parameters: Parameter names to domains; a condition names an earlier parameter.
        recipes: Known-good configurations by name.
        build: Makes the model; None in a space that was read back from JSON.
    """

    name: str
    parameters: Mapping[str, Domain]
    doc: str = ""
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    build: Builder | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        object.__setattr__(self, "recipes", MappingProxyType(dict(self.recipes)))
        if not self.parameters:
            raise ValueError(f"A space needs parameters. Received: none in space {self.name!r}.")
        earlier: dict[str, Domain] = {}
        for name, domain in self.parameters.items():
            if domain.when is not None:
                parent = earlier.get(domain.when.parameter)
                if parent is None:
                    raise ValueError(f"The condition of {name!r} names no earlier parameter: {domain.when.parameter!r}.")
                if not any(parent.contains(value) for value in domain.when.values):
                    raise ValueError(f"The condition of {name!r} can never hold: {domain.when}.")
            earlier[name] = domain
        for name in self.recipes:
            self.recipe(name)

    @property
    def baseline(self) -> dict[str, Value]:
        """The tutorial's configuration: the active parameters at their baseline values."""
        return self.active({name: domain.baseline for name, domain in self.parameters.items()})

    def recipe(self, name: str) -> dict[str, Value]:
        """Returns a recipe's configuration: the baseline with the recipe's values.

        Raises:
            ValueError: The recipe does not lie in the space (it may have been narrowed).
        """
        values = {key: domain.baseline for key, domain in self.parameters.items()}
        config = self.active({**values, **self.recipes[name].values})
        problems = [*self.problems(config), *sorted(set(self.recipes[name].values) - set(config))]
        if problems:
            raise ValueError(f"Recipe {name!r} does not lie in space {self.name!r}: {'; '.join(problems)}.")
        return config

    def active(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """Drops the parameters whose condition does not hold, in the space's order, and rounds off float noise."""
        config: dict[str, Value] = {}
        for name, domain in self.parameters.items():
            if name in values and (domain.when is None or domain.when.holds(config)):
                value = values[name]
                config[name] = round(float(value), 12) if isinstance(domain, Float) and domain.step else value
        return config

    def problems(self, config: Mapping[str, Any]) -> list[str]:
        """Says what keeps a configuration outside the space; empty when it lies inside."""
        found = [f"unknown parameter {name!r}" for name in config if name not in self.parameters]
        for name, domain in self.parameters.items():
            is_active = domain.when is None or domain.when.holds(config)
            if is_active and name not in config:
                found.append(f"{name} is missing")
            elif not is_active and name in config:
                found.append(f"{name} counts only when {domain.when.parameter} is {_either(domain.when)}")  # type: ignore[union-attr]
            elif is_active and not domain.contains(config[name]):
                found.append(f"{name}={config[name]!r} lies outside {domain.describe()}")
        return found

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Says whether the configuration lies in the space: every active parameter inside its domain, no other."""
        return not self.problems(config)

    def sample(self, generator: random.Random) -> dict[str, Value]:
        """Draws a configuration, each domain uniformly (on a log scale where it says so)."""
        return self.active({name: _draw(domain, generator) for name, domain in self.parameters.items()})

    def size(self) -> int | None:
        """Returns an upper bound on the number of configurations, or None when a continuum is among the domains."""
        counts = [domain.values() for domain in self.parameters.values()]
        return None if any(values is None for values in counts) else math.prod(len(values or ()) for values in counts)

    def narrow(self, changes: Mapping[str, Domain]) -> Space:
        """Returns the space with some domains replaced, without the recipes that no longer lie inside."""
        narrowed = dataclasses.replace(self, parameters={**self.parameters, **changes}, recipes={})
        kept = {name: recipe for name, recipe in self.recipes.items() if _fits(narrowed, recipe)}
        return dataclasses.replace(narrowed, recipes=kept)

    def to_json(self) -> dict[str, Any]:
        """Returns the space as a plain dict, without its model builder."""
        return {
            "name": self.name,
            "doc": self.doc,
            "parameters": {name: _domain_to_json(domain) for name, domain in self.parameters.items()},
            "recipes": {
                name: {"values": dict(recipe.values), "doc": recipe.doc, "source": recipe.source}
                for name, recipe in self.recipes.items()
            },
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, build: Builder | None = None) -> Space:
        """Returns the space that ``to_json`` described."""
        return cls(
            name=document["name"],
            doc=document["doc"],
            parameters={name: _domain_from_json(domain) for name, domain in document["parameters"].items()},
            recipes={name: Recipe(**recipe) for name, recipe in document["recipes"].items()},
            build=build,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.parameters)))


def _either(when: When) -> str:
    return " or ".join(str(value) for value in when.values)


def _fits(space: Space, recipe: Recipe) -> bool:
    try:
        dataclasses.replace(space, recipes={"candidate": recipe})
    except ValueError:
        return False
    return True


def _draw(domain: Domain, generator: random.Random) -> Value:
    values = domain.values()
    if domain.low == domain.high if not isinstance(domain, Choice) else False:
        return domain.baseline
    if values is not None and not (isinstance(domain, Int) and domain.log):
        return generator.choice(values)
    assert isinstance(domain, Int | Float)
    if not domain.log:
        return generator.uniform(domain.low, domain.high)
    drawn = math.exp(generator.uniform(math.log(domain.low), math.log(domain.high)))
    clipped = min(max(drawn, domain.low), domain.high)
    return round(clipped) if isinstance(domain, Int) else clipped


def _domain_to_json(domain: Domain) -> dict[str, Any]:
    kind = next(kind for kind, cls in DOMAINS.items() if isinstance(domain, cls))
    return {"kind": kind, **dataclasses.asdict(domain)}


def _domain_from_json(document: Mapping[str, Any]) -> Domain:
    fields = {key: value for key, value in document.items() if key != "kind"}
    if fields.get("when"):
        when = fields["when"]
        fields["when"] = When(parameter=when["parameter"], values=tuple(when["values"]))
    if "options" in fields:
        fields["options"] = tuple(fields["options"])
    return DOMAINS[document["kind"]](**fields)
