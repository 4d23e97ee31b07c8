"""What two runs ran on, compared: whether the same bits can be expected of them, and if not, why.

Pure; knows the environments that outcomes record. Called by ``search.reproduction.reproduce``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.records.record import COPIED_FROM, UNSAID, flat

_ANY = frozenset({"pid", "host", "node", "cores", "memory_gib", "deterministic", COPIED_FROM})
"""What may be another without moving a bit, or has no other value to be compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that was another when the trial was recorded.

    Args:
        name: What it is, such as "versions.keras".
        recorded: Its value then; None where the record does not say.
        here: Its value here; None where it has none.
    """

    name: str
    recorded: Any
    here: Any


def changes(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[Change, ...]:
    """Returns everything that differs and may move a bit, by name."""
    then, now = flat({**UNSAID, **recorded}), flat({**UNSAID, **here})
    return tuple(
        Change(name=name, recorded=then.get(name), here=now.get(name))
        for name in sorted(then.keys() | now.keys())
        if name not in _ANY and then.get(name) != now.get(name)
    )


def are_deterministic(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Says whether each of two runs gives the same bits whenever it is repeated where it ran."""
    return bool(recorded.get("deterministic")) and bool(here.get("deterministic"))
