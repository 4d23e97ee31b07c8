"""Whether a value that was read from a file holds what its class declares: frozen dataclasses of JSON's types.

Python does not look at annotations: a file in which a figure is a text would be read, and break whatever computes with
it. Called by ``search.records.study_file``.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
TypeCheck = Callable[[Any], bool]
SCALAR_TYPES = frozenset({bool, int, float, str, type(None)})
"""JSON's values that hold no others; a whole number will do for any number."""


def validate(value: T) -> T:
    """Returns the value; fields that are not compared, and what its parts hold in turn, are not looked at.

    Raises:
        ValueError: A field holds something of another type than is declared.
    """
    for name, fits in _field_checks(type(value)):  # type: ignore[arg-type]
        if not fits(getattr(value, name)):
            raise ValueError(f"{name}={getattr(value, name)!r} in {type(value).__name__}")
    return value


@cache
def _field_checks(kind: type[Any]) -> tuple[tuple[str, TypeCheck], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, _type_check(hints[field.name])) for field in fields(kind) if field.compare)


def _type_check(hint: Any) -> TypeCheck:
    """Returns what says whether something is of a declared type."""
    arguments, origin = get_args(hint), get_origin(hint)
    is_union = origin in (Union, types.UnionType)
    if (scalars := frozenset(arguments if is_union else (hint,))) <= SCALAR_TYPES:
        allowed = scalars | {int} if float in scalars else scalars
        return lambda value: type(value) in allowed  # exactly: a bool is an int to isinstance
    if is_union:
        alternatives = [_type_check(one) for one in arguments]
        return lambda value: any(fits(value) for fits in alternatives)
    if origin is tuple:
        item_check = _type_check(arguments[0])
        return lambda value: isinstance(value, tuple) and all(map(item_check, value))
    if origin is not None and issubclass(origin, Mapping):
        key, item = map(_type_check, arguments)
        return lambda value: isinstance(value, Mapping) and all(key(one) and item(value[one]) for one in value)
    if hint is Any:
        return lambda _: True
    return lambda value: isinstance(value, hint)
