"""Narrowing: a space with some parameters fixed and some ranges cut, as ``--fix`` and ``--range`` ask for.

A fixed parameter is a domain of one value, which is then its baseline. A cut range must hold the baseline, since the
baseline runs first in every study. Called by the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from spaces.domains import Choice, Domain, Float, Int, Value
from spaces.errors import SpaceError, unknown_name
from spaces.space import Space


def narrow(space: Space, *, fix: Mapping[str, Value], ranges: Mapping[str, str]) -> Space:
    """Returns the space with some parameters fixed and some ranges cut.

    Parameters that can no longer count, and recipes that no longer lie inside, are left out.

    Args:
        space: To be narrowed.
        fix: Parameter names to values, or to texts of values.
        ranges: Parameter names to ``low:high``, for choices to ``a,b`` or ``a|b``.

    Raises:
        SpaceError: A name is unknown or in both, a text cannot be read, a value lies outside its domain, a range leaves
            out the baseline, or a parameter that was named can no longer count.
    """
    both = sorted(set(fix) & set(ranges))
    if both:
        raise SpaceError(f"A parameter is either fixed or given a range. Received: both for {', '.join(both)}.")
    changes = {name: _fixed(name, _domain(space, name), value) for name, value in fix.items()}
    changes |= {name: _cut(name, _domain(space, name), str(text)) for name, text in ranges.items()}
    narrowed = space.narrow(changes)
    for name in changes:
        when = space.parameters[name].when
        if name not in narrowed.parameters and when is not None:
            raise SpaceError(
                f"{name} counts only when {when.describe()}, which the other changes rule out. "
                f"Leave {name} out, or change {when.parameter}."
            )
    return narrowed


def _domain(space: Space, name: str) -> Domain:
    if name not in space.parameters:
        raise unknown_name(f"Space {space.name!r} has no such parameter.", name, space.parameters)
    return space.parameters[name]


def _fixed(name: str, domain: Domain, value: Value) -> Domain:
    """Returns the domain of one value, which is its baseline."""
    only = _parsed(name, domain, value)
    if isinstance(domain, Choice):
        return dataclasses.replace(domain, options=(only,), baseline=only)
    return dataclasses.replace(domain, low=only, high=only, baseline=only)


def _cut(name: str, domain: Domain, text: str) -> Domain:
    """Returns the domain cut to a range, or to some of its options; the baseline must lie inside."""
    cut = _cut_choice(name, domain, text) if isinstance(domain, Choice) else _cut_range(name, domain, text)
    baseline: Any = domain.baseline
    if not cut.contains(baseline):
        raise SpaceError(
            f"The baseline of {name} is {baseline}, and must lie in its range. Received: {name}={text}. "
            f"Widen the range, or fix {name} to move the baseline."
        )
    return dataclasses.replace(cut, baseline=baseline)


def _cut_choice(name: str, domain: Choice, text: str) -> Choice:
    options = tuple(_parsed(name, domain, part.strip()) for part in text.replace("|", ",").split(","))
    if len(set(options)) != len(options):
        raise SpaceError(f"Name each option of {name} once. Received: {name}={text}.")
    return dataclasses.replace(domain, options=options, baseline=options[0])


def _cut_range(name: str, domain: Int | Float, text: str) -> Int | Float:
    low_text, colon, high_text = (part.strip() for part in text.partition(":"))
    if not colon:
        raise SpaceError(f"A range of {name} looks like {name}={domain.low}:{domain.high}. Received: {name}={text}.")
    low, high = _parsed(name, domain, low_text), _parsed(name, domain, high_text)
    if low > high:
        raise SpaceError(f"A range goes from low to high. Received: {name}={text}.")
    return dataclasses.replace(domain, low=low, high=high, baseline=low)


def _parsed(name: str, domain: Domain, value: Value) -> Any:  # noqa: ANN401 - of the domain's own type
    """Returns a value of the domain, read from its text where it is one."""
    read = _read(domain, value) if isinstance(value, str) else value
    if not domain.contains(read):
        raise SpaceError(f"{name} takes {domain.describe()}. Received: {name}={value}.")
    return domain.canonical(read) if isinstance(domain, Float) else read


def _read(domain: Domain, text: str) -> Any:  # noqa: ANN401 - of the domain's own type, or the text
    """Returns what a text stands for in a domain; the text itself where it stands for nothing."""
    if isinstance(domain, Choice):
        spelled = {str(option): option for option in domain.options}
        return spelled.get(text, spelled.get(text.capitalize(), text))  # "true" for True
    try:
        return int(text) if isinstance(domain, Int) else float(text)
    except ValueError:
        return text
