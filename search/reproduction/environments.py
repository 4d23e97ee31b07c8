"""What two runs ran on, compared: whether the same bits can be expected of them, and if not, why.

Pure; knows the environments that outcomes record. Called by ``search.reproduction.reproduce``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.records.record import LEGACY_DEFAULTS, flatten
from search.trial import RUN_KEYS

_IGNORED_KEYS = RUN_KEYS | {"cores", "memory_gib", "deterministic"}
"""What may be another without moving a bit, or has no other value to be compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentChange:
    """Something that was another when the trial was recorded.

    Args:
        name: What it is, such as "versions.keras".
        recorded: Its value then; None where the record does not say.
        here: Its value here; None where it has none.
    """

    name: str
    recorded: Any
    here: Any


def environment_changes(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[EnvironmentChange, ...]:
    """Returns everything that differs and may move a bit, by name."""
    recorded_values, current_values = flatten({**LEGACY_DEFAULTS, **recorded}), flatten({**LEGACY_DEFAULTS, **here})
    return tuple(
        EnvironmentChange(name=name, recorded=recorded_values.get(name), here=current_values.get(name))
        for name in sorted(recorded_values.keys() | current_values.keys())
        if name not in _IGNORED_KEYS and recorded_values.get(name) != current_values.get(name)
    )


def are_deterministic(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Says whether each of two runs gives the same bits whenever it is repeated where it ran."""
    return bool(recorded.get("deterministic")) and bool(here.get("deterministic"))
