"""What coordinator and worker say to each other, beside trials and events."""

from __future__ import annotations

from dataclasses import dataclass

from search.execution.base import Finished, Key, Reported
from search.trial import Cause, Config, Phase


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to coordinator: Keras is imported, trials can come.

    Args:
        places: How many at a time.
    """

    places: int = 1


@dataclass(frozen=True, slots=True)
class Began:
    """Worker to coordinator: this trial begins now; what waited before was the worker's warming up."""

    key: Key


@dataclass(frozen=True, slots=True)
class Alive:
    """Worker to coordinator: the trial makes progress."""


@dataclass(frozen=True, slots=True)
class Left:
    """Worker on another machine to coordinator: a file that the trial has left, and where it belongs."""

    path: str
    content: bytes


Message = Ready | Began | Alive | Reported | Finished
"""What a worker says."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Coordinator to worker: leave this trial."""

    key: Key
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Coordinator to a worker that trains populations: how many trials it may have at a time.

    Args:
        most: So many at most.
        sample: As many of it as the device's memory holds, if that is less; None for ``most``.
    """

    most: int
    sample: Sample | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What is trained to measure how many trials a device's memory holds.

    Args:
        config: Of each member.
        phase: What the trials are run for.
        members: How many, at first.
    """

    config: Config
    phase: Phase
    members: int


@dataclass(frozen=True, slots=True)
class Warm:
    """A probe's process to coordinator: it trains at full speed, measurements can come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
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
class Unfit:
    """A worker on another machine, or a probe's process, to coordinator: it cannot work, and why."""

    message: str
