"""The ensembles of a section, as the report shows them."""

from __future__ import annotations

from typing import Any, Protocol

from search.leaderboard.board import Section
from search.leaderboard.statistics import Interval


class Ensemble(Protocol):
    """What the report reads of an ensemble."""

    label: str
    study: Any
    error_percent: float
    interval: Interval | None
    members: Any
    parameters: int | None


def ensembles(section: Section) -> tuple[Ensemble, ...]:
    """Returns them, the least error first."""
    found: tuple[Ensemble, ...] = getattr(section, "ensembles", ())
    return tuple(sorted(found, key=lambda one: one.error_percent))
