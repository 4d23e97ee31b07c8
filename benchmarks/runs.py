"""A run of a contender of the race, as a value and as a JSON file. Written by ``contenders.py``."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.files import write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A contender's run.

    Args:
        contender: Its name.
        seed: Seed of its search.
        seconds: Its time limit.
        curve: One entry an epoch: seconds since its process started, trial, epoch, validation error in percent.
        search_seconds: Seconds from the start of its process to the end of its search.
        wall_seconds: Seconds of its process.
        config: The configuration it names as its best by validation error, or None.
        validation_error_percent: The error it names for this configuration.
        test_errors_percent: Test errors of this configuration, retrained, one a seed.
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
        """Returns the least error of the epochs finished in this time; infinite if there are none."""
        return min((error for at, _, _, error in self.curve if at <= seconds), default=math.inf)

    def first(self, error_percent: float) -> float:
        """Returns the seconds until an epoch first had at most this error; infinite if none had."""
        return min((at for at, _, _, error in self.curve if error <= error_percent), default=math.inf)


def load(results: Path, name: str, *, seed: int, seconds: float) -> Run | None:
    """Returns a saved run, or None."""
    path = path_of(results, name, seed, seconds)
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    curve, errors = tuple(map(tuple, document["curve"])), tuple(document["test_errors_percent"])
    return Run(**{**document, "curve": curve, "test_errors_percent": errors})


def path_of(results: Path, name: str, seed: int, seconds: float) -> Path:
    """Returns the path of a saved run."""
    return results / f"{name}-{seconds:g}s-seed{seed}.json"


def save(run: Run, results: Path) -> None:
    """Saves a run atomically."""
    path = path_of(results, run.contender, run.seed, run.seconds)
    write_atomic(path, json.dumps(dataclasses.asdict(run), indent=1), what="run")
