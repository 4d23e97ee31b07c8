"""Restricts a space: fixes parameters and narrows ranges, for ``--fix`` and ``--range``.

A fixed parameter is a domain of one value, which is then its baseline. A narrowed range must hold the baseline, since
the baseline runs first in every study. Called by the command line and the session's plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from spaces.domains import Choice, Domain, Float, Int, Value
from spaces.errors import SpaceError, name_hint
from spaces.space import Space


def restrict(space: Space, *, fix: Mapping[str, Value], ranges: Mapping[str, str]) -> Space:
    """Returns the space with some parameters fixed and some ranges narrowed.

    Parameters that can no longer be active and recipes that no longer lie inside are left out.

    Args:
        space: The space.
        fix: Parameter names to values, or to texts of values.
        ranges: Parameter names to ``low:high``, for choices to ``a,b`` or ``a|b``.

    Raises:
        SpaceError: A name is unknown or in both, a text cannot be read, a value lies outside its domain, a range
            excludes the baseline, or a named parameter can no longer be active.
    """
    conflicts = sorted(set(fix) & set(ranges))
    if conflicts:
        raise SpaceError(f"A parameter is either fixed or has a range. Received: both for {', '.join(conflicts)}.")
    changes = {name: _fixed_domain(name, _find_domain(space, name), value) for name, value in fix.items()}
    changes |= {name: _restricted_domain(name, _find_domain(space, name), str(text)) for name, text in ranges.items()}
    restricted = space.restrict(changes)
    for name in changes:
        when = space.parameters[name].when
        if name not in restricted.parameters and when is not None:
            raise SpaceError(
                f"{name} is active only when {when.describe()}, which the other changes exclude. "
                f"Leave {name} out, or change {when.parameter}."
            )
    return restricted


def _find_domain(space: Space, name: str) -> Domain:
    if name not in space.parameters:
        raise SpaceError(
            f"Space {space.name!r} has no such parameter. Received: {name!r}. {name_hint(name, list(space.parameters))}"
        )
    return space.parameters[name]


def _fixed_domain(name: str, domain: Domain, value: Value) -> Domain:
    """Returns the domain of one value, which is also its baseline."""
    fixed_value = _parse_value(name, domain, value)
    if isinstance(domain, Choice):
        return dataclasses.replace(domain, options=(fixed_value,), baseline=fixed_value)
    return dataclasses.replace(domain, low=fixed_value, high=fixed_value, baseline=fixed_value)


def _restricted_domain(name: str, domain: Domain, text: str) -> Domain:
    """Returns the domain narrowed to a range, or to some of its options; the baseline must lie inside."""
    restricted = (
        _restricted_choice(name, domain, text) if isinstance(domain, Choice) else _restricted_range(name, domain, text)
    )
    baseline: Any = domain.baseline
    if not restricted.contains(baseline):
        raise SpaceError(
            f"The baseline of {name} is {baseline}, and must lie in its range. Received: {name}={text}. "
            f"Widen the range, or fix {name} to move the baseline."
        )
    return dataclasses.replace(restricted, baseline=baseline)


def _restricted_choice(name: str, domain: Choice, text: str) -> Choice:
    options = tuple(_parse_value(name, domain, part.strip()) for part in text.replace("|", ",").split(","))
    if len(set(options)) != len(options):
        raise SpaceError(f"Name each option of {name} once. Received: {name}={text}.")
    return dataclasses.replace(domain, options=options, baseline=options[0])


def _restricted_range(name: str, domain: Int | Float, text: str) -> Int | Float:
    low_text, colon, high_text = (part.strip() for part in text.partition(":"))
    if not colon:
        raise SpaceError(f"A range of {name} looks like {name}={domain.low}:{domain.high}. Received: {name}={text}.")
    low, high = _parse_value(name, domain, low_text), _parse_value(name, domain, high_text)
    if low > high:
        raise SpaceError(f"A range goes from low to high. Received: {name}={text}.")
    return dataclasses.replace(domain, low=low, high=high, baseline=low)


def _parse_value(name: str, domain: Domain, value: Value) -> Any:
    """Returns a value of the domain; a string is parsed."""
    read = _parse_text(domain, value) if isinstance(value, str) else value
    if not domain.contains(read):
        raise SpaceError(f"{name} takes {domain.describe()}. Received: {name}={value}.")
    return domain.canonical(read) if isinstance(domain, Float) else read


def _parse_text(domain: Domain, text: str) -> Any:
    """Returns the value that a text stands for in a domain, or the text itself if it stands for none."""
    if isinstance(domain, Choice):
        spelled = {str(option): option for option in domain.options}
        return spelled.get(text, spelled.get(text.capitalize(), text))  # "true" for True
    try:
        return int(text) if isinstance(domain, Int) else float(text)
    except ValueError:
        return text
