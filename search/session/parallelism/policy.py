"""How trials are packed onto a machine: how many at a time, with how many threads each, and why so.

Pure decisions over measured numbers; ``search.session.parallelism.probe`` measures them,
``search.session.parallelism.choose`` asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

MIN_SPEEDUP = 1.03
"""How many times as fast something must be to be preferred to one thread a worker, whose errors are the same bit for
bit on machines of any number of cores."""
MAX_WORKERS_PER_GPU = 8
"""Most workers on one GPU: beyond that, they mostly wait for each other."""
THREAD_COUNT_NOTE = "errors are the same bit for bit only at an equal thread count"
"""Why a study keeps its threads."""
USABLE_MEMORY_FRACTION = 0.9
"""Share of a GPU's free memory that workers may take together."""
MEMORY_HEADROOM_FACTOR = 2.0
"""Times the baseline's memory that a worker gets, for larger configurations."""


@dataclass(frozen=True, slots=True, order=True)
class WorkerLayout:
    """So many workers with so many threads each."""

    workers: int
    threads: int

    def __str__(self) -> str:
        """Returns such as "2 workers of 1 thread"."""
        plural = "s" if self.workers > 1 else ""
        return f"{self.workers} worker{plural} of {self.threads} thread{'s' if self.threads > 1 else ''}"


class ChosenBy(StrEnum):
    """What a layout was chosen by."""

    PENDING = "to be measured"
    SPECIFIED = "as given"
    MEASURED = "measured now"
    CACHED = "measured before"
    RECORDED = "as the recorded trials"
    CLUSTER = "by the room in the cluster"
    UNMEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallelism:
    """A layout, and what it was chosen by.

    Args:
        layout: What was chosen; while it is open, what is taken unless something better is found.
        chosen_by: By what.
        images_per_second: Images a second of the layouts that were measured, all their workers together.
        note: What else was measured, or why nothing was; empty where there is nothing to say.
    """

    layout: WorkerLayout
    chosen_by: ChosenBy
    images_per_second: Mapping[WorkerLayout, float] = field(default_factory=dict)
    note: str = ""

    def describe(self) -> str:
        """Returns it in one line."""
        if self.chosen_by is ChosenBy.SPECIFIED:
            return str(self.layout)
        reason = f"{self.chosen_by}: {self.note}" if self.note else self.chosen_by.value
        if self.layout not in self.images_per_second:
            return f"{self.layout} ({reason})"
        others = [
            f"{speed:,.0f} with {layout}" for layout, speed in self.images_per_second.items() if layout != self.layout
        ]
        return f"{self.layout}: {self.images_per_second[self.layout]:,.0f} images/s; {' and '.join(others)} ({reason})"

    def to_json(self) -> dict[str, Any]:
        """Returns it as a plain dict."""
        measured = [
            {**asdict(layout), "images_per_second": round(speed, 1)} for layout, speed in self.images_per_second.items()
        ]
        return {**asdict(self.layout), "basis": self.chosen_by.value, "measured": measured, "note": self.note}


def candidate_layouts(cores: int, max_workers: float = math.inf) -> tuple[WorkerLayout, ...]:
    """Returns the layouts worth measuring: one thread a worker first, all in one worker last.

    Args:
        cores: Which this process may use.
        max_workers: How many workers the memory holds, those of all layouts together; at least one.
    """
    two_threads = (WorkerLayout(cores // 2, 2),) if cores >= 4 and cores + cores // 2 < max_workers else ()
    if cores == 1 or cores + 1 > max_workers:
        return (WorkerLayout(int(min(cores, max_workers)), 1),)
    return (WorkerLayout(cores, 1), *two_threads, WorkerLayout(1, cores))


def fastest_layout(images_per_second: Mapping[WorkerLayout, float]) -> WorkerLayout:
    """Returns the fastest layout; the first, unless another is clearly faster."""
    first, best = next(iter(images_per_second)), max(images_per_second, key=lambda layout: images_per_second[layout])
    return best if images_per_second[best] > MIN_SPEEDUP * images_per_second[first] else first


def gpu_worker_count(*, free_mib: Sequence[float], peak_mib: float, cores: int) -> int:
    """Returns how many workers fit onto GPUs that they take in turn; at least one each.

    Args:
        free_mib: Free memory of each GPU before anything ran, in MiB.
        peak_mib: Most memory that the baseline took on one of them, in MiB, more than 0.
        cores: Which this process may use; beyond one worker a GPU, each needs one.
    """
    by_memory = int(USABLE_MEMORY_FRACTION * min(free_mib) / (MEMORY_HEADROOM_FACTOR * peak_mib))
    workers_per_gpu = max(1, min(by_memory, MAX_WORKERS_PER_GPU, cores // len(free_mib)))
    return workers_per_gpu * len(free_mib)
