"""How trials are packed onto a machine: how many at a time, with how many threads each, and why so.

Pure decisions over measured numbers; ``search.execution.probe`` measures them, ``search.session.packing`` asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

TIE = 1.03
"""How many times as fast something must be to be preferred to one thread a worker, whose errors are the same bit for
bit on machines of any number of cores."""
MOST_PER_GPU = 8
"""Most workers on one GPU: beyond that, they mostly wait for each other."""
SAME_BITS = "errors are the same bit for bit only at an equal thread count"
"""Why a study keeps its threads."""
USABLE = 0.9
"""Share of a GPU's free memory that workers may take together."""
HEADROOM = 2.0
"""Times the baseline's memory that a worker gets, for larger configurations."""
SAMPLED = 8
"""Members by which a device measures how large a population it holds; until it has, it takes as many trials."""


@dataclass(frozen=True, slots=True, order=True)
class Layout:
    """So many workers with so many threads each."""

    workers: int
    threads: int

    def __str__(self) -> str:
        """Returns such as "2 workers of 1 thread"."""
        plural = "s" if self.workers > 1 else ""
        return f"{self.workers} worker{plural} of {self.threads} thread{'s' if self.threads > 1 else ''}"


class Basis(StrEnum):
    """What a layout was chosen by."""

    OPEN = "to be measured"
    GIVEN = "as given"
    MEASURED = "measured now"
    REMEMBERED = "measured before"
    RECORDED = "as the recorded trials"
    CLUSTER = "by the room in the cluster"
    UNMEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """A layout, and what it was chosen by.

    Args:
        layout: What was chosen; while it is open, what is taken unless something better is found.
        basis: By what.
        speeds: Images a second of the layouts that were measured, all their workers together.
        note: What else was measured, or why nothing was; empty where there is nothing to say.
    """

    layout: Layout
    basis: Basis
    speeds: Mapping[Layout, float] = field(default_factory=dict)
    note: str = ""

    def describe(self) -> str:
        """Returns it in one line."""
        if self.basis is Basis.GIVEN:
            return str(self.layout)
        reason = f"{self.basis}: {self.note}" if self.note else self.basis.value
        if self.layout not in self.speeds:
            return f"{self.layout} ({reason})"
        others = [f"{speed:,.0f} with {layout}" for layout, speed in self.speeds.items() if layout != self.layout]
        return f"{self.layout}: {self.speeds[self.layout]:,.0f} images/s; {' and '.join(others)} ({reason})"

    def to_json(self) -> dict[str, Any]:
        """Returns it as a plain dict."""
        measured = [{**asdict(layout), "images_per_second": round(speed, 1)} for layout, speed in self.speeds.items()]
        return {**asdict(self.layout), "basis": self.basis.value, "measured": measured, "note": self.note}


def candidates(cores: int, room: float = math.inf) -> tuple[Layout, ...]:
    """Returns the layouts worth measuring: one thread a worker first, all in one worker last.

    Args:
        cores: Which this process may use.
        room: How many workers the memory holds, those of all layouts together; at least one.
    """
    halves = (Layout(cores // 2, 2),) if cores >= 4 and cores + cores // 2 < room else ()
    if cores == 1 or cores + 1 > room:
        return (Layout(int(min(cores, room)), 1),)
    return (Layout(cores, 1), *halves, Layout(1, cores))


def fastest(speeds: Mapping[Layout, float]) -> Layout:
    """Returns the fastest layout; the first, unless another is clearly faster."""
    first, best = next(iter(speeds)), max(speeds, key=lambda layout: speeds[layout])
    return best if speeds[best] > TIE * speeds[first] else first


def workers_on_gpus(*, free_mib: Sequence[float], peak_mib: float, cores: int) -> int:
    """Returns how many workers fit onto GPUs that they take in turn; at least one each.

    Args:
        free_mib: Free memory of each GPU before anything ran, in MiB.
        peak_mib: Most memory that the baseline took on one of them, in MiB, more than 0.
        cores: Which this process may use; beyond one worker a GPU, each needs one.
    """
    by_memory = int(USABLE * min(free_mib) / (HEADROOM * peak_mib))
    each = max(1, min(by_memory, MOST_PER_GPU, cores // len(free_mib)))
    return each * len(free_mib)
