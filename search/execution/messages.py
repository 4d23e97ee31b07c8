"""What coordinator and worker process say to each other, beside trials and events."""

from __future__ import annotations

from dataclasses import dataclass

from search.execution.base import Key
from search.trial import Cause


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to coordinator: Keras is imported, trials can come."""


@dataclass(frozen=True, slots=True)
class Began:
    """Worker to coordinator: this trial begins now; what waited before was the worker's warming up."""

    key: Key


@dataclass(frozen=True, slots=True)
class Alive:
    """Worker to coordinator: the trial makes progress."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Coordinator to worker: leave this trial."""

    key: Key
    cause: Cause
