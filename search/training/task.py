"""Task: what all trials of a study share. Plain values, so that a coordinator can make one without importing Keras."""

from __future__ import annotations

from dataclasses import dataclass, replace

from search.data.dataset import DatasetInfo
from search.protocol import EvaluationProtocol
from search.training.runtime import Runtime
from search.trial import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What all trials of a study share; sent to each worker once.

    Args:
        protocol: How configurations are judged.
        dataset: The prepared data.
        space_source: Registered name or absolute path of the space's file.
        runtime: What the worker runs on.
        trial_seconds: Seconds that a trial may take, from when its worker begins it; None for no bound.
        is_scored: Whether anything is scored; a model that is only to be exported trains on all training images and
            leaves the test images closed.
    """

    protocol: EvaluationProtocol
    dataset: DatasetInfo
    space_source: str
    runtime: Runtime
    trial_seconds: float | None = None
    is_scored: bool = True

    def time_limit_seconds(self, phase: Phase) -> float | None:
        """Returns the seconds that a trial of a phase may take, or None.

        Verification has no bound of its own: its runs repeat trials that kept theirs, on more images.
        """
        return None if phase is Phase.VERIFICATION else self.trial_seconds

    def with_threads(self, threads: int) -> Task:
        """Returns the same task for workers with a number of threads."""
        return replace(self, runtime=replace(self.runtime, threads=threads))
