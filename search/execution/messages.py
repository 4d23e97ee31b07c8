"""Messages between coordinator and workers, besides trials and events."""

from __future__ import annotations

from dataclasses import dataclass

from search.execution.base import Finished, Reported, TrialKey
from search.trial import NO_FILES, Cause, Config, Phase, Trial, TrialFiles


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to coordinator: Keras is imported and trials can start.

    Args:
        capacity: Trials at a time.
    """

    capacity: int = 1


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """Worker to coordinator: the trial's time starts now."""

    key: TrialKey


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """Worker to coordinator: the trial has finished some steps."""


@dataclass(frozen=True, slots=True)
class FileProduced:
    """Worker on another machine to coordinator: the content of a file that a trial wrote, and its path there."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class WorkerUnusable:
    """Worker on another machine, or probe process, to coordinator: it cannot work, and why."""

    message: str


Message = Ready | TrialStarted | WorkerHeartbeat | Reported | Finished
"""What a worker sends."""


@dataclass(frozen=True, slots=True)
class RunTrial:
    """Coordinator to worker: run this trial, with these files."""

    trial: Trial
    files: TrialFiles = NO_FILES


@dataclass(frozen=True, slots=True)
class Cancel:
    """Coordinator to worker: stop this trial."""

    key: TrialKey
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Coordinator to a worker that trains populations, before its first trial: how many trials it may run at a time.

    Args:
        max_trials: Upper bound.
        probe_config: Configuration with which the worker measures how many trials the device's memory holds; None to
            take ``max_trials``.
        probe_phase: Phase of the measured trials.
        probe_size: How many trials to measure with at first.
    """

    max_trials: int
    probe_config: Config | None = None
    probe_phase: Phase = Phase.SEARCH
    probe_size: int = 1


Request = RunTrial | Cancel | Capacity
"""What a worker receives."""


@dataclass(frozen=True, slots=True)
class ProbeReady:
    """Probe process to coordinator: it trains at full speed and can measure.

    Args:
        start_seconds: Seconds from its start until it could train.
    """

    start_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Probe process to coordinator: a measurement.

    Args:
        images: Images trained on. Where an epoch ended, the seconds include its scoring.
        seconds: Wall-clock seconds.
        device_mib: Peak device memory so far, in MiB; 0 on a CPU.
    """

    images: float
    seconds: float
    device_mib: float
