"""Parallelism: how many workers, with how many threads and which kernels, and pure decisions over measured numbers.

``search.session.parallelism.choose`` calls them with what ``search.session.parallelism.probe`` measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from search.records.arithmetic import Kernels
from search.training.runtime import Device

MIN_SPEEDUP = 1.03
"""Least ratio of speeds at which a layout is preferred to one thread a worker, whose errors are the same bit for bit on
machines of any number of cores, and TensorFlow's own kernels to oneDNN."""
KERNELS_BY_PREFERENCE = (Kernels.ONEDNN, Kernels.EIGEN)
"""The first is taken where nothing is measured: it was never measured slower, and up to 1.9 times as fast."""
MAX_WORKERS_PER_GPU = 8
"""Most workers on one GPU; more would mostly wait for each other."""
MAX_POPULATION: Mapping[Device, int] = {Device.CPU: 8, Device.GPU: 64}
"""Most trials that the vectorized executor trains together on a device without ``--workers``. A few keep a CPU's cores
busy, and a sampler proposes all of them before it receives a result."""
ARITHMETIC_NOTE = "errors are the same bit for bit only with equal threads and kernels"
"""Why a study keeps its threads and kernels."""
USABLE_MEMORY_FRACTION = 0.9
"""Share of a GPU's free memory that its workers may take together."""
MEMORY_HEADROOM_FACTOR = 2.0
"""Memory reserved for a worker, as a multiple of the baseline's, for larger configurations."""
START_SECONDS = 5.0
"""Seconds in which workers start, where that was not measured: importing Keras takes 3 on a fast machine, 15 on a slow
one. More would leave trials out for want of time that there is."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class WorkerLayout:
    """A number of workers with a number of threads each."""

    workers: int
    threads: int

    def __str__(self) -> str:
        """Returns a text such as "2 workers of 1 thread"."""
        plural = "s" if self.workers > 1 else ""
        return f"{self.workers} worker{plural} of {self.threads} thread{'s' if self.threads > 1 else ''}"


class ChosenBy(StrEnum):
    """What decided a layout. PENDING: a measurement will, in the executor itself or in the run."""

    PENDING = "to be measured"
    SPECIFIED = "as given"
    MEASURED = "measured now"
    CACHED = "measured before"
    RECORDED = "as the recorded trials"
    CLUSTER = "by the resources of the cluster"
    UNMEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallelism:
    """The workers, threads and kernels of a run, and what decided them.

    Args:
        layout: Workers and threads.
        chosen_by: What decided them.
        images_per_second: Throughput of each layout that was measured, all its workers together.
        note: What else was measured, or why nothing was; may be empty.
        kernels: TensorFlow's kernels on a CPU; None for its default, and where there is no choice.
        kernels_images_per_second: Throughput of one worker of one thread with each, if it was measured.
        start_seconds: Seconds from the start of the workers until they can train.
        recipe_images_per_second: Throughput of one worker with each recipe that was measured, by ``config_key``.
    """

    layout: WorkerLayout
    chosen_by: ChosenBy
    images_per_second: Mapping[WorkerLayout, float] = field(default_factory=dict)
    note: str = ""
    kernels: Kernels | None = None
    kernels_images_per_second: Mapping[Kernels, float] = field(default_factory=dict)
    start_seconds: float = START_SECONDS
    recipe_images_per_second: Mapping[str, float] = field(default_factory=dict)

    def with_workers(self, workers: int) -> Parallelism:
        """Returns the same choice with the number of workers that fit the executor."""
        return replace(self, layout=WorkerLayout(workers, self.layout.threads))

    def describe(self) -> str:
        """Returns the layout, the kernels and the reason in one line."""
        text = describe_speeds(self.layout, self.images_per_second)
        if self.kernels is not None:
            separator = "; " if self.images_per_second else ", "
            text += f"{separator}kernels {describe_speeds(self.kernels, self.kernels_images_per_second)}"
        if self.chosen_by is ChosenBy.SPECIFIED:
            return text
        reason = f"{self.chosen_by}: {self.note}" if self.note else self.chosen_by.value
        return f"{text} ({reason})"

    def to_json(self) -> dict[str, Any]:
        """Returns the value as a plain dict."""
        measured = [
            {**asdict(layout), "images_per_second": round(speed, 1)} for layout, speed in self.images_per_second.items()
        ]
        return {
            **asdict(self.layout),
            "basis": self.chosen_by.value,
            "measured": measured,
            "note": self.note,
            "kernels": self.kernels.value if self.kernels else None,
            "measured_kernels": {name.value: round(speed, 1) for name, speed in self.kernels_images_per_second.items()},
        }


def describe_speeds(chosen: T, images_per_second: Mapping[T, float]) -> str:
    """Returns a choice, with its throughput and that of each alternative if it was measured."""
    if chosen not in images_per_second:
        return str(chosen)
    others = [f"{speed:,.0f} with {other}" for other, speed in images_per_second.items() if other != chosen]
    return f"{chosen}: {images_per_second[chosen]:,.0f} images/s; {' and '.join(others)}"


def candidate_layouts(cores: int, max_workers: float = math.inf) -> tuple[WorkerLayout, ...]:
    """Returns the layouts worth measuring, from one thread a worker to all threads in one worker.

    Args:
        cores: Cores this process may use.
        max_workers: Workers that the memory holds, those of all layouts together; at least 1.
    """
    two_threads = (WorkerLayout(cores // 2, 2),) if cores >= 4 and cores + cores // 2 < max_workers else ()
    if cores == 1 or cores + 1 > max_workers:
        return (WorkerLayout(int(min(cores, max_workers)), 1),)
    return (WorkerLayout(cores, 1), *two_threads, WorkerLayout(1, cores))


def fastest(images_per_second: Mapping[T, float]) -> T:
    """Returns the fastest; the first, unless another is clearly faster."""
    first, best = next(iter(images_per_second)), max(images_per_second, key=lambda each: images_per_second[each])
    return best if images_per_second[best] > MIN_SPEEDUP * images_per_second[first] else first


def gpu_worker_count(*, free_mib: Sequence[float], peak_mib: float, cores: int) -> int:
    """Returns how many workers fit onto the GPUs, which they take in turn; at least one each.

    Args:
        free_mib: Free memory of each GPU before anything ran, in MiB.
        peak_mib: Peak memory of the baseline on one of them, in MiB, more than 0.
        cores: Cores this process may use; beyond one worker a GPU, each worker needs one.
    """
    by_memory = int(USABLE_MEMORY_FRACTION * min(free_mib) / (MEMORY_HEADROOM_FACTOR * peak_mib))
    workers_per_gpu = max(1, min(by_memory, MAX_WORKERS_PER_GPU, cores // len(free_mib)))
    return workers_per_gpu * len(free_mib)
