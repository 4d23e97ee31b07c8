"""Narrows a configuration until a measure of it, such as its trainable parameters, is within a limit.

All sizes that raise the measure (filters, units) are multiplied by one common factor, as by the width multiplier of
Howard et al., arXiv:1704.04861, section 3.3. Where that is not enough, a single parameter is changed first: that which
lowers the measure least of those that suffice, or else the most. Pure Python, from counts alone. Called by
``search.engines.limits``.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from spaces.domains import Choice, Domain, Int, Value
from spaces.space import Space

Measure = Callable[[Mapping[str, Any]], float]
FACTORS = 1000
"""Steps of the common factor from 0 to 1."""
MAX_LISTED_VALUES = 8
"""Values of an integer that are all tried as single changes; of others the lowest and the highest are."""


def narrowed(space: Space, config: Mapping[str, Any], measure: Measure, most: float) -> dict[str, Value] | None:
    """Returns a configuration near a given one whose measure is within a limit; None if none is found.

    Args:
        space: The space.
        config: A configuration of the space; returned unchanged if it is within the limit.
        measure: The measure of a configuration; 0 or more.
        most: The limit.
    """
    wide = space.active(config)
    for wide in _simplified(space, config, measure, most):
        if measure(wide) <= most:
            return wide
        sizes = _sizes(space, wide, measure)
        if measure(_scaled(space, wide, sizes, 0.0)) <= most:
            break
    else:
        return None
    too_large = bisect.bisect_left(
        range(FACTORS), True, key=lambda step: measure(_scaled(space, wide, sizes, step / FACTORS)) > most
    )
    return _scaled(space, wide, sizes, (too_large - 1) / FACTORS)


def narrowest(space: Space, config: Mapping[str, Any], measure: Measure) -> dict[str, Value]:
    """Returns the configuration with the least measure that is found from a given one."""
    *_, wide = _simplified(space, config, measure, -math.inf)
    return _scaled(space, wide, _sizes(space, wide, measure), 0.0)


def _simplified(space: Space, config: Mapping[str, Any], measure: Measure, most: float) -> Iterator[dict[str, Value]]:
    """Yields a configuration, and it after each single change that lowers its measure at the smallest sizes."""
    wide = space.active(config)
    least = _least(space, wide, measure)
    while True:
        yield wide
        changes = list(_single_changes(space, wide))
        measures = [_least(space, change, measure) for change in changes]
        found = max((each for each in measures if each <= most), default=min(measures, default=least))
        if found >= least:
            return
        wide, least = changes[measures.index(found)], found


def _least(space: Space, config: Mapping[str, Any], measure: Measure) -> float:
    """Returns the measure of a configuration at its smallest sizes."""
    return measure(_scaled(space, config, _sizes(space, config, measure), 0.0))


def _single_changes(space: Space, config: Mapping[str, Any]) -> Iterator[dict[str, Value]]:
    for name in config:
        for value in _listed_values(space.parameters[name]):
            if value != config[name]:
                yield space.baseline_with({**config, name: value})


def _listed_values(domain: Domain) -> tuple[Value, ...]:
    if isinstance(domain, Choice):
        return domain.options
    if isinstance(domain, Int) and (domain.high - domain.low) // domain.step < MAX_LISTED_VALUES:
        return domain.values()
    return (domain.low, domain.high)


def _sizes(space: Space, config: Mapping[str, Any], measure: Measure) -> list[str]:
    """Returns the numeric parameters whose least value lowers the measure, without those that activate others."""
    parents = {name for domain in space.parameters.values() if domain.when is not None for name in domain.when.parents}
    present = measure(config)
    return [
        name
        for name in config
        if name not in parents
        and not isinstance(config[name], bool | str)
        and 0 <= (least := _at_most(space.parameters[name], 0.0)) < config[name]
        and measure({**config, name: least}) < present
    ]


def _scaled(space: Space, config: Mapping[str, Any], sizes: Collection[str], factor: float) -> dict[str, Value]:
    """Returns a configuration with some sizes times a factor, each rounded down to a value of its domain."""
    scaled = {name: _at_most(space.parameters[name], factor * config[name]) for name in sizes}
    return space.active({**config, **scaled})


def _at_most(domain: Domain, limit: float) -> Any:
    """Returns the largest value of a numeric domain up to a limit, or its least."""
    if isinstance(domain, Choice):
        options: list[Any] = list(domain.options)
        return max((option for option in options if option <= limit), default=min(options))
    low: Any = domain.low
    if limit <= low:
        return low
    step = domain.step
    value = low + int((limit - low) / step + 1e-9) * step if step else limit
    return value if isinstance(domain, Int) else domain.canonical(value)
