"""Restricts a space for ``--fix``, ``--range`` and ``--tune``: fixes parameters, changes ranges, tunes some alone.

A fixed parameter is a domain of one value, which is then its baseline. Values and ranges may lie beyond the range that
is searched by default, where the domain declares so. A baseline outside a range moves to its nearest value. Called by
the command line, the session's plan and the reproduction.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from spaces.domains import AnyNonzero, Choice, Condition, Domain, Float, Int, Value, widest
from spaces.errors import SpaceError, name_hint
from spaces.space import Space

LEARNING_RATE = "learning_rate"
"""Name by which the learning rate of any optimizer can be fixed, given a range, or tuned."""


def restrict(
    space: Space,
    *,
    fix: Mapping[str, Value],
    ranges: Mapping[str, Any],
    tune: Iterable[str] = (),
    at: Mapping[str, Value] | None = None,
) -> Space:
    """Returns the space with some parameters fixed and some ranges changed.

    Parameters that can no longer be active are left out; for recipes see ``Space.restrict``. Of an optimizer that has
    a learning rate of its own, such as ``learning_rate_sgd``, ``learning_rate`` means that one where no other optimizer
    is left.

    Args:
        space: The space.
        fix: Parameter names to values, or to texts of values.
        ranges: Parameter names to ``low:high``, or to a list of values as ``a,b`` or ``a|b``.
        tune: The only parameters that vary; all others are fixed. Empty for all. Those with a range are among them.
        at: A configuration whose values are the baseline and those of fixed parameters; None for the space's baseline.

    Raises:
        SpaceError: A name is unknown or in both, a text cannot be read, a value cannot be had, or a named parameter can
            no longer be active.
    """
    if at is not None:
        space = _at(space, at)
    fix, ranges, tune = _with_own_rates(space, fix, ranges, tune)
    for one, other, what in ((fix, ranges, "has a range"), (fix, tune, "is tuned")):
        if conflicts := sorted(set(one) & set(other)):
            raise SpaceError(f"A parameter is either fixed or {what}. Received: both for {', '.join(conflicts)}.")
    changes = {name: _fixed_domain(name, _find_domain(space, name), value) for name, value in fix.items()}
    changes |= {name: _restricted_domain(name, _find_domain(space, name), text) for name, text in ranges.items()}
    restricted = space.restrict(changes)
    for name in (*changes, *tune):
        domain = _find_domain(space, name)
        does_nothing = name in fix and changes[name].baseline == domain.baseline
        if name not in restricted.parameters and domain.when is not None and not does_nothing:
            raise SpaceError(
                f"{name} is active only when {domain.when.describe()}, which the other changes exclude. "
                f"Leave {name} out, or change {' or '.join(domain.when.parents)}."
            )
    if not tune:
        return restricted
    varied = {*tune, *ranges}
    others = {name: domain for name, domain in restricted.parameters.items() if name not in varied}
    tuned = restricted.restrict({name: _fixed_domain(name, domain, domain.baseline) for name, domain in others.items()})
    for name in tune:
        if name not in tuned.parameters and (when := restricted.parameters[name].when) is not None:
            parent = when.parents[0]
            domain = restricted.parameters[parent]
            last = domain.options[-1] if isinstance(domain, Choice) else domain.high
            value = when.values[0] if isinstance(when, Condition) else last
            raise SpaceError(
                f"{name} is active only when {when.describe()}, and {parent} stays at "
                f"{others[parent].baseline}. Fix it to another value, such as --fix {parent}={value}, or tune it too."
            )
    return tuned


def widest_space(space: Space) -> Space:
    """Returns the space of all configurations that options can make of a space."""
    return space.restrict({name: _any_step(domain) for name, domain in space.declared.items()})


def without_parameters(space: Space, names: Collection[str]) -> Space:
    """Returns the space as it was before it had some parameters, without the recipes that set them."""
    parameters = {name: domain for name, domain in space.declared.items() if name not in names}
    for name, domain in parameters.items():
        if isinstance(domain.when, AnyNonzero):
            left = tuple(parent for parent in domain.when.parameters if parent not in names)
            parameters[name] = dataclasses.replace(domain, when=AnyNonzero(parameters=left))
    recipes = {name: recipe for name, recipe in space.recipes.items() if not set(names) & recipe.values.keys()}
    return dataclasses.replace(space, parameters=parameters, recipes=recipes)


def _at(space: Space, config: Mapping[str, Value]) -> Space:
    """Returns the space with the values of a configuration as its baseline; ranges that lack them hold them too.

    Raises:
        SpaceError: The configuration has values that the space cannot have.
    """
    changes: dict[str, Domain] = {}
    for name, given in config.items():
        domain = _find_domain(space, name)
        value: Any = _parse_value(name, domain, given)
        if isinstance(domain, Choice):
            options = domain.options if value in domain.options else (*domain.options, value)
            changes[name] = dataclasses.replace(domain, options=options, baseline=value)
        elif domain.contains(value):
            changes[name] = dataclasses.replace(domain, baseline=value)
        else:
            step: Any = domain.step if widest(domain).contains(value) else 1 if isinstance(domain, Int) else None
            low, high = min(domain.low, value), max(domain.high, value)
            changes[name] = dataclasses.replace(domain, low=low, high=high, baseline=value, step=step)
    return dataclasses.replace(space, parameters={**space.declared, **changes}, recipes={})


def _with_own_rates(
    space: Space, fix: Mapping[str, Value], ranges: Mapping[str, Any], tune: Iterable[str]
) -> tuple[dict[str, Value], dict[str, Any], list[str]]:
    """Returns the changes with ``learning_rate`` as the name of the rate that the remaining optimizers have."""
    fix, ranges, tune = dict(fix), dict(ranges), list(dict.fromkeys(tune))
    rates = [name for name in space.declared if name.startswith(f"{LEARNING_RATE}_")]
    rate = space.declared.get(LEARNING_RATE)
    if rate is None or not isinstance(rate.when, Condition) or not rates:
        return fix, ranges, tune
    parent = rate.when.parameter
    changes = {}
    if parent in fix:
        changes[parent] = _fixed_domain(parent, _find_domain(space, parent), fix[parent])
    elif parent in ranges:
        changes[parent] = _restricted_domain(parent, _find_domain(space, parent), ranges[parent])
    elif tune and parent not in tune:
        domain = _find_domain(space, parent)
        changes[parent] = _fixed_domain(parent, domain, domain.baseline)
    active = space.restrict(changes).parameters
    left = [name for name in rates if name in active]
    if LEARNING_RATE not in active and len(left) == 1:
        for given in (fix, ranges):
            if LEARNING_RATE in given:
                given[left[0]] = given.pop(LEARNING_RATE)
        tune = [left[0] if name == LEARNING_RATE else name for name in tune]
    elif LEARNING_RATE not in active and left and (LEARNING_RATE in fix or LEARNING_RATE in ranges):
        raise SpaceError(
            f"Each of the remaining optimizers has a learning rate of its own. Received: {LEARNING_RATE}. "
            f"Name {' or '.join(left)}."
        )
    elif LEARNING_RATE in tune:
        tune = [name for name in tune if name != LEARNING_RATE or name in active]
        tune += [name for name in left if name not in (*tune, *fix)]
    return fix, ranges, list(dict.fromkeys(tune))


def _find_domain(space: Space, name: str) -> Domain:
    if name not in space.declared:
        raise SpaceError(
            f"Space {space.name!r} has no such parameter. Received: {name!r}. {name_hint(name, list(space.parameters))}"
        )
    return space.declared[name]


def _fixed_domain(name: str, domain: Domain, value: Value) -> Domain:
    """Returns the domain of one value, which is also its baseline."""
    fixed_value: Any = _parse_value(name, domain, value)
    if isinstance(domain, Choice):
        return dataclasses.replace(domain, options=(fixed_value,), baseline=fixed_value)
    if not widest(domain).contains(fixed_value):  # it lies between two steps
        step: Any = 1 if isinstance(domain, Int) else None
        return dataclasses.replace(domain, low=fixed_value, high=fixed_value, baseline=fixed_value, step=step)
    return dataclasses.replace(domain, low=fixed_value, high=fixed_value, baseline=fixed_value)


def _restricted_domain(name: str, domain: Domain, given: Any) -> Domain:
    """Returns the domain of a range or of a list of values; a baseline outside moves to the nearest value."""
    text = (
        given
        if isinstance(given, str)
        else ",".join(map(str, given))
        if isinstance(given, list | tuple)
        else str(given)
    )
    if isinstance(domain, Choice) or ":" not in text:
        return _listed_domain(name, domain, text)
    low_text, _, high_text = (part.strip() for part in text.partition(":"))
    low, high = (_parse_value(name, domain, part, on_step=True) for part in (low_text, high_text))
    if low > high:
        raise SpaceError(f"A range goes from low to high. Received: {name}={text}.")
    inside = dataclasses.replace(domain, low=low, high=high, baseline=low)
    baseline = min(max(domain.baseline, low), high)
    if not inside.contains(baseline):  # the nearest step
        baseline = low + round((baseline - low) / (domain.step or 1)) * (domain.step or 1)
    return dataclasses.replace(inside, baseline=baseline)


def _listed_domain(name: str, domain: Domain, text: str) -> Domain:
    """Returns the domain of some values; numbers become unordered options, and a single one is fixed."""
    values = tuple(_parse_value(name, domain, part.strip()) for part in text.replace("|", ",").split(","))
    if len(set(values)) != len(values):
        raise SpaceError(f"Name each value of {name} once. Received: {name}={text}.")
    if isinstance(domain, Choice):
        baseline = domain.baseline if domain.baseline in values else values[0]
        return dataclasses.replace(domain, options=values, baseline=baseline)
    if len(values) == 1:
        return _fixed_domain(name, domain, values[0])
    scale = math.log if domain.log else float
    nearest = min(values, key=lambda value: abs(scale(value) - scale(domain.baseline)))
    return Choice(values, nearest, when=domain.when, doc=domain.doc, unit=domain.unit, source=domain.source)


def _parse_value(name: str, domain: Domain, value: Value, *, on_step: bool = False) -> Any:
    """Returns a value that the domain can have; a string is parsed.

    Args:
        name: The parameter.
        domain: Its domain.
        value: The value.
        on_step: Whether the value must lie on a step.
    """
    wide = widest(domain)
    read = _parse_text(wide, value) if isinstance(value, str) else value
    if wide.contains(read):
        return wide.canonical(read) if isinstance(wide, Float) else read
    if not on_step and _any_step(domain).contains(read):
        return read
    raise SpaceError(f"{name} takes {wide.describe()}. Received: {name}={value}.")


def _any_step(domain: Domain) -> Domain:
    """Returns the domain of all values that can be fixed: those within its limits also lie between two steps."""
    wide = widest(domain)
    if isinstance(wide, Choice) or isinstance(domain, Choice) or domain.limits is None:
        return wide
    step: Any = 1 if isinstance(wide, Int) else None
    low: Any = wide.low
    return dataclasses.replace(wide, step=step, baseline=low)


def _parse_text(domain: Domain, text: str) -> Any:
    """Returns the value that a text stands for in a domain, or the text itself if it stands for none."""
    if isinstance(domain, Choice):
        spelled = {str(option): option for option in domain.options}
        return spelled.get(text, spelled.get(text.capitalize(), text))  # "true" for True
    try:
        return int(text) if isinstance(domain, Int) else float(text)
    except ValueError:
        return text
