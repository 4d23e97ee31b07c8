"""Task: what all trials of a study share. Plain values, so that a coordinator can make one without importing Keras."""

from __future__ import annotations

from dataclasses import dataclass

from search.protocol import EvaluationProtocol
from search.training.data import DatasetInfo
from search.training.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What all trials of a study share; sent to each worker once.

    Args:
        protocol: How configurations are judged.
        dataset: The prepared data.
        space_source: Registered name or absolute path of the space's file.
        runtime: What the worker runs on.
    """

    protocol: EvaluationProtocol
    dataset: DatasetInfo
    space_source: str
    runtime: Runtime
