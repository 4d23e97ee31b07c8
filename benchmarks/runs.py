"""A run of a contender of the race, as a value and as a JSON file. Written by ``contenders.py``."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is kept of a contender's run.

    Args:
        contender: Its name.
        seed: Of its search.
        seconds: The time that it had.
        curve: An entry an epoch: seconds since its process started, trial, epoch, validation error in percent.
        search_seconds: When its search ended, since its process started.
        wall_seconds: When the process ended.
        config: The best configuration by validation error, as the contender itself sees it; None where it has none.
        validation_error_percent: Its error, as the contender itself sees it.
        test_errors_percent: Of this configuration, retrained; one a seed.
        made: Machine, versions and command.
    """

    contender: str
    seed: int
    seconds: float
    curve: tuple[tuple[float, int, int, float], ...]
    search_seconds: float
    wall_seconds: float
    config: Mapping[str, Any] | None
    validation_error_percent: float | None
    test_errors_percent: tuple[float, ...] = ()
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The least validation error of any epoch, in percent."""
        return self.best_until(math.inf)

    @property
    def trials(self) -> set[int]:
        """The trials that finished an epoch."""
        return {trial for _, trial, _, _ in self.curve}

    @property
    def epochs_an_hour(self) -> float:
        """Epochs trained an hour of the search."""
        return 3600 * len(self.curve) / self.search_seconds

    def best_until(self, seconds: float) -> float:
        """Returns the least error of the epochs finished by then; infinite before the first."""
        return min((error for at, _, _, error in self.curve if at <= seconds), default=math.inf)

    def first(self, error_percent: float) -> float:
        """Returns when an epoch first had at most this error; infinity where none had."""
        return min((at for at, _, _, error in self.curve if error <= error_percent), default=math.inf)


def load(results: Path, name: str, *, seed: int, seconds: float) -> Run | None:
    """Returns a kept run, or None."""
    path = path_of(results, name, seed, seconds)
    if not path.exists():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    known["curve"] = tuple(tuple(entry) for entry in known["curve"])
    return Run(**{**known, "test_errors_percent": tuple(known["test_errors_percent"])})


def path_of(results: Path, name: str, seed: int, seconds: float) -> Path:
    """Returns where a run is kept."""
    return results / f"{name}-{seconds:g}s-seed{seed}.json"


def keep(run: Run, results: Path) -> None:
    """Keeps a run, whole or not at all."""
    path = path_of(results, run.contender, run.seed, run.seconds)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(dataclasses.asdict(run), indent=1), encoding="utf-8")
    unfinished.replace(path)
