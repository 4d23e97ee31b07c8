"""The pool executor on a Ray cluster, and the payload that each of its workers receives.

``ray_executor`` is called by the session for ``--executor ray``.

The data set's arrays are put into Ray's object store once for the whole cluster. On a node that lacks the data set, the
first worker writes them to the node's cache, where their hashes are checked and the other workers map them.
"""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.data.dataset import import_prepared
from search.execution.pool import PoolExecutor
from search.execution.ray.connection import ClusterConnection, connect
from search.execution.ray.worker_backend import Notify, RayWorkerBackend, ResourceRequest
from search.execution.worker_state import WorkerLimits
from search.training.runtime import Device
from search.training.task import Task
from spaces import registry


def ray_executor(
    task: Task,
    *,
    address: str | None = None,
    workers: int | None = None,
    cpus: int = 1,
    cache_dir: str | None = None,
    limits: WorkerLimits | None = None,
    grace_seconds: Callable[[], float] | None = None,
    notify: Notify = lambda _: None,
) -> PoolExecutor:
    """Returns an executor on the actors of a cluster, which is joined or started now and left as it was at the end.

    Args:
        task: What all trials share. On GPUs each worker has one, or an equal share where workers outnumber GPUs.
        address: "auto", HOST:PORT or ray://HOST:PORT; None to start a cluster on this machine.
        workers: Upper bound on the workers; None for as many as fit.
        cpus: Cores of a cluster that is started here.
        cache_dir: Folder for data on each node; None for the platform's.
        limits: Limits on the workers.
        grace_seconds: Returns the seconds that a cancelled trial has to stop; ``limits.cancel_grace_seconds`` if None.
        notify: Called with a sentence about what the cluster lacks.

    Raises:
        UserError: There is no such cluster, or it cannot be joined.
    """
    connection = connect(address, cpus=cpus)
    with ExitStack() as cleanup:
        cleanup.callback(connection.close)
        gpus = _gpu_share(workers, connection) if task.runtime.device is Device.GPU else 0.0
        backend = RayWorkerBackend(
            connection,
            task,
            ResourceRequest(workers=workers, cpus=task.runtime.threads, gpus=gpus),
            payload=pickle.dumps(_make_payload(task, cache_dir=cache_dir, gpu_share=gpus)),
            notify=notify,
        )
        cleanup.pop_all()
    return PoolExecutor(backend, task, limits=limits, grace_seconds=grace_seconds)


def _gpu_share(workers: int | None, connection: ClusterConnection) -> float:
    """Returns the share of a GPU that each worker has, in (0, 1]."""
    gpus = sum(node.resources.get("GPU", 0.0) for node in connection.snapshot.nodes.values())
    return 1.0 / math.ceil(workers / gpus) if workers and gpus and workers > gpus else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPayload:
    """What a worker on another machine receives.

    Args:
        task: What all trials share.
        space_source_text: Text of the space's file; None for a shipped space.
        cache_dir: Folder for data on each node; None for the platform's.
        environment: Environment variables that must be set before Keras is imported.
    """

    task: Task
    space_source_text: str | None
    cache_dir: str | None
    environment: Mapping[str, str]

    def unpack(self, folder: Path, arrays: Any) -> Task:
        """Returns the task with the paths of this node.

        Args:
            folder: Folder for the space's file.
            arrays: Reference to the data set's arrays by name, in Ray's object store.

        Raises:
            SearchError: The data cannot be written here, or their hashes differ.
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


def _make_payload(task: Task, *, cache_dir: str | None, gpu_share: float) -> WorkerPayload:
    """Returns the payload of a task; ``gpu_share`` is 0 on a CPU. Ray itself chooses the GPU."""
    source, environment = task.space_source, task.runtime.environment_variables()
    if 0.0 < gpu_share < 1.0:
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * gpu_share:.3f}"
    return WorkerPayload(
        task=task,
        space_source_text=None if source in registry.SPACES else Path(source).read_text(encoding="utf-8"),
        cache_dir=cache_dir,
        environment=environment,
    )
