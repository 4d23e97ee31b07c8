"""A value from a file holds what its class declares, or is refused by the name of the field that does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from search.records.study_json import validate


class Kind(StrEnum):
    ONE = "one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    count: int = 0
    share: float = 0.5
    is_on: bool = False
    name: str | None = None
    kind: Kind = Kind.ONE
    sizes: tuple[int, ...] = ()
    by_name: Mapping[str, float] = field(default_factory=dict)
    anything: Any = None
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    ignored: int = field(default=0, compare=False)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"share": 1, "name": "x", "sizes": (1, 2), "by_name": {"a": 1, "b": 0.5}},
        {"anything": [object()], "part": Part(), "parts": (Part(), Part())},
        {"ignored": "text"},
    ],
)
def test_what_is_declared_fits(fields: dict[str, Any]) -> None:
    value = Whole(**fields)
    assert validate(value) is value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 1.0),
        ("count", True),
        ("count", None),
        ("share", "0.5"),
        ("share", False),
        ("is_on", 1),
        ("name", 3),
        ("kind", "one"),
        ("sizes", [1]),
        ("sizes", (1, "2")),
        ("by_name", {"a": "1"}),
        ("by_name", {1: 1.0}),
        ("by_name", []),
        ("part", {"text": ""}),
        ("parts", (Part(), None)),
    ],
)
def test_what_is_not_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}="):
        validate(Whole(**{name: value}))
