"""What a worker on another machine needs: the task, the text of a space's file, and the data set.

The arrays lie in Ray's object store, once for the whole cluster, and are read there once a node: the first worker of a
node that lacks them puts them into the node's cache, where their hashes are checked and the others map them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.data.dataset import import_prepared
from search.training.task import Task
from spaces import registry


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPayload:
    """What a worker is sent.

    Args:
        task: What all trials share.
        space_source_text: The text of the space's file; None where the space is a shipped one.
        cache_dir: Folder for data on each node; None for the platform's.
        environment: Environment variables that must be set before Keras is imported.
    """

    task: Task
    space_source_text: str | None
    cache_dir: str | None
    environment: Mapping[str, str]

    def unpack(self, folder: Path, arrays: Any) -> Task:
        """Returns the task as it can be run on this node.

        Args:
            folder: Takes the space's file.
            arrays: Reference to the data set's arrays by name, in Ray's object store.

        Raises:
            SearchError: The data cannot be kept here, or are not what they were.
        """
        import ray

        cache_dir = Path(self.cache_dir) if self.cache_dir else None
        dataset = import_prepared(self.task.dataset, lambda: dict(ray.get(arrays)), cache_dir)
        source = self.task.space_source
        if self.space_source_text is not None:
            file = folder / Path(source).name
            file.write_text(self.space_source_text, encoding="utf-8")
            source = str(file)
        return dataclasses.replace(self.task, dataset=dataset, space_source=source)


def make_payload(task: Task, *, cache_dir: str | None, gpu_share: float) -> WorkerPayload:
    """Returns the packet for a task.

    Args:
        task: What all trials share.
        cache_dir: Folder for data on each node; None for the platform's.
        gpu_share: Share of a GPU that a worker has, in (0, 1]; 0 on a CPU. Which GPU it is, Ray says.
    """
    source = task.space_source
    variables = task.runtime.environment_variables()
    if 0.0 < gpu_share < 1.0:
        variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * gpu_share:.3f}"
    return WorkerPayload(
        task=task,
        space_source_text=None if source in registry.SPACES else Path(source).read_text(encoding="utf-8"),
        cache_dir=cache_dir,
        environment=variables,
    )
