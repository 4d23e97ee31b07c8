"""Kinds of options: the types of values that each takes, and its parser. Called by ``search.session.settings``."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.data.read_options import parse_share
from search.session.quantities import parse_count, parse_duration, parse_number, parse_size


def _parse_pairs(value: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name).replace("-", "_"): item for name, item in value.items()}


def _split_texts(value: str | Sequence[Any]) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    return tuple(part.strip() for text in texts for part in str(text).split(","))


def _split_names(value: str | Sequence[Any]) -> tuple[str, ...]:
    return tuple(name.replace("-", "_") for name in _split_texts(value) if name)


def _unchanged(value: Any) -> Any:
    return value


KINDS: Mapping[str, tuple[tuple[type, ...], str, Callable[[Any], Any]]] = {
    "str": ((str,), "str", _unchanged),
    "path": ((str,), "a path", os.path.expanduser),
    "int": ((int,), "int", _unchanged),
    "bool": ((bool,), "bool", _unchanged),
    "duration": (
        (str, int, float),
        "seconds or a duration",
        lambda value: parse_duration(value) if isinstance(value, str) else value,
    ),
    "number": ((str, int, float), "a number", parse_number),
    "size": ((str,), "a size such as '4GiB'", parse_size),
    "count": ((str, int), "a number such as 60k", lambda value: parse_count(str(value))),
    "share": (
        (str, float),
        "a share such as 0.15",
        lambda value: parse_share(value) if isinstance(value, str) else value,
    ),
    "pairs": ((Mapping,), "pairs", _parse_pairs),
    "goals": ((str, list, tuple), "goals such as 'error<0.6'", _split_texts),
    "studies": (
        (str, list, tuple),
        "names or paths of studies",
        lambda value: tuple(map(os.path.expanduser, _split_texts(value))),
    ),
    "names": ((str, list, tuple), "names of parameters", _split_names),
}
"""Kinds of options: the accepted types, the same in words, and the parser."""
