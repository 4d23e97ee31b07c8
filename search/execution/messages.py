"""What coordinator and worker say to each other, beside trials and events."""

from __future__ import annotations

from dataclasses import dataclass

from search.execution.base import Finished, Reported, TrialKey
from search.trial import Cause, Config, Phase


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to coordinator: Keras is imported, trials can come.

    Args:
        capacity: How many at a time.
    """

    capacity: int = 1


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """Worker to coordinator: this trial begins now; what waited before was the worker's warming up."""

    key: TrialKey


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """Worker to coordinator: the trial makes progress."""


@dataclass(frozen=True, slots=True)
class FileProduced:
    """Worker on another machine to coordinator: a file that the trial has left, and where it belongs."""

    path: str
    content: bytes


Message = Ready | TrialStarted | WorkerHeartbeat | Reported | Finished
"""What a worker says."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Coordinator to worker: leave this trial."""

    key: TrialKey
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Coordinator to a worker that trains populations: how many trials it may have at a time.

    Args:
        max_trials: So many at most.
        probe_population: As many of it as the device's memory holds, if that is less; None for ``max_trials``.
    """

    max_trials: int
    probe_population: ProbePopulation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePopulation:
    """What is trained to measure how many trials a device's memory holds.

    Args:
        config: Of each member.
        phase: What the trials are run for.
        size: How many, at first.
    """

    config: Config
    phase: Phase
    size: int


@dataclass(frozen=True, slots=True)
class ProbeReady:
    """A probe's process to coordinator: it trains at full speed, measurements can come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """A probe's process to coordinator: what it measured.

    Args:
        images: Trained on; scoring them, where an epoch ended, is in the time.
        seconds: Wall-clock seconds.
        device_mib: Most device memory used so far, in MiB; 0 on a CPU.
    """

    images: float
    seconds: float
    device_mib: float


@dataclass(frozen=True, slots=True)
class WorkerUnusable:
    """A worker on another machine, or a probe's process, to coordinator: it cannot work, and why."""

    message: str
