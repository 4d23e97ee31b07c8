"""Limits of a search: which configurations may be proposed, by a measure of each that is known before it is trained.

Called by ``search.session.plan``, and by ``search.engines.limited``, which keeps an engine within them.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from search.data.dataset import DatasetInfo
from search.errors import UserError
from search.trial import Config
from spaces.hypermodels import HypermodelBuilder
from spaces.hypermodels.counting import ParameterCounter
from spaces.narrow import Measure, narrowed, narrowest
from spaces.space import Recipe, Space
from spaces.workload import try_count

NARROWED = "narrowed"
"""Word in the names of recipes that were made smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most that a measure of a configuration may be.

    Args:
        measure: The measure, 0 or more.
        most: The most, more than 0.
        leeway: Factor of it from which on a configuration is clearly outside; a predicted measure is not certain.
    """

    measure: Measure
    most: float
    leeway: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Bounds of the configurations that are proposed.

    Args:
        space: The space.
        bounds: The bounds, one or more.
    """

    space: Space
    bounds: tuple[Bound, ...]

    def allows(self, config: Config) -> bool:
        """Returns whether a configuration is within every bound."""
        return all(bound.measure(config) <= bound.most for bound in self.bounds)

    def excludes(self, config: Config) -> bool:
        """Returns whether a configuration is clearly outside a bound."""
        return any(bound.measure(config) > bound.leeway * bound.most for bound in self.bounds)

    def narrowed(self, config: Config) -> Config | None:
        """Returns a configuration within every bound near a given one; None if none is found."""
        return narrowed(self.space, config, self._share, 1.0)

    def least(self) -> Config:
        """Returns the configuration that is found to take the least share of the bounds, from the baseline."""
        return narrowest(self.space, self.space.baseline, self._share)

    def _share(self, config: Config) -> float:
        return max(bound.measure(config) / bound.most for bound in self.bounds)


def parameter_counter(space: Space, dataset: DatasetInfo) -> Measure | None:
    """Returns what counts the trainable parameters of a configuration; None where the space cannot be counted.

    It counts infinitely many where a configuration's network cannot be counted. A model of Keras Tuner is built to
    count it, in a process of its own.
    """
    workload, shape, classes = space.workload, dataset.image_shape, dataset.classes
    if isinstance(space.build, HypermodelBuilder):
        return ParameterCounter(space.build.path, shape, classes)
    if workload is None:
        return None

    def count(config: Config) -> float:
        counted = try_count(workload, config, shape, classes)
        return math.inf if counted is None else counted.parameters

    return count


def parameter_limit(space: Space, counter: Measure, most: int) -> Limit:
    """Returns the limit of the trainable parameters."""
    return Limit(space=space, bounds=(Bound(measure=counter, most=most),))


def limited_space(space: Space, counter: Measure | None, most: int) -> Space:
    """Returns a space whose recipes, and a copy of its baseline, have at most so many parameters.

    The baseline itself remains, for comparison. Recipes that equal an earlier one or the baseline are left out.

    Args:
        space: The space.
        counter: As ``parameter_counter`` returns it.
        most: Most trainable parameters.

    Raises:
        UserError: The parameters cannot be counted, or no configuration has so few.
    """
    if counter is None:
        raise UserError(
            f"The space {space.name} does not count the parameters of its networks before they are built. "
            f"Received: --max-parameters {most}.",
            hint="Give it a workload function (docs/spaces.md), or leave --max-parameters out.",
        )
    limit = parameter_limit(space, counter, most)
    if limit.narrowed(space.baseline) is None:
        least = counter(limit.least())
        known = "none could be built" if math.isinf(least) else f"the smallest has {least:,.0f}"
        raise UserError(
            f"No network of the space {space.name} was found with so few parameters; {known}. "
            f"Received: --max-parameters {most}.",
            hint="Raise it, or widen a range, such as --range NAME=LOW:HIGH.",
        )
    return _with_narrowed_recipes(limit)


def _with_narrowed_recipes(limit: Limit) -> Space:
    space = limit.space
    configs = {name: space.recipe(name) for name in space.recipes}
    if not limit.allows(space.baseline):
        configs["baseline"] = space.baseline
    recipes: dict[str, Recipe] = {}
    known: list[Config] = [space.baseline]
    for name, config in configs.items():
        smaller = limit.narrowed(config)
        if smaller is None or smaller in known:
            continue
        known.append(smaller)
        is_same = smaller == config
        recipes[name if is_same else f"{name}, {NARROWED}"] = (
            space.recipes[name] if is_same else _narrowed_recipe(limit, name, smaller)
        )
    return dataclasses.replace(space, recipes=recipes)


def _narrowed_recipe(limit: Limit, name: str, config: Config) -> Recipe:
    baseline = limit.space.baseline
    source = limit.space.recipes[name].source if name in limit.space.recipes else "the baseline of the space"
    return Recipe(
        values={parameter: value for parameter, value in config.items() if baseline.get(parameter) != value},
        doc=f"{name}, narrowed to {limit.bounds[0].measure(config):,.0f} trainable parameters.",
        source=f"{source}; narrowed for the limit, and not measured",
    )
