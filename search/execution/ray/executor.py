"""The executor on a Ray cluster, put together: the pool of workers on a staff of actors."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from search.execution.pool import PoolExecutor
from search.execution.ray.connection import ClusterConnection, connect
from search.execution.ray.worker_backend import Notify, RayWorkerBackend, ResourceRequest
from search.execution.worker_failures import WorkerLimits
from search.training.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRequest:
    """What is wanted, of which cluster.

    Args:
        address: "auto", HOST:PORT or ray://HOST:PORT; None to start one on this machine.
        workers: At most so many; None for as many as there is room for, on GPUs one each.
        cpus: Of a cluster that is started here.
        uses_gpu: Whether each worker trains on a GPU, or a share of one where there are more workers than GPUs.
        cache_dir: Folder for data on each node; None for the platform's.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    uses_gpu: bool = False
    cache_dir: str | None = None


def ray_executor(
    task: Task,
    request: ClusterRequest,
    *,
    limits: WorkerLimits | None = None,
    grace_seconds: Callable[[], float] | None = None,
    notify: Notify = lambda _: None,
) -> PoolExecutor:
    """Returns an executor on the actors of a cluster, which is joined or started now, and left as it was at the end.

    Args:
        task: What all trials share.
        request: What is wanted.
        limits: When a worker is replaced.
        grace_seconds: Returns the seconds that a trial which must stop is given now; ``limits.cancel_seconds`` if None.
        notify: Hears what the cluster lacks.

    Raises:
        UserError: There is no such cluster, or it cannot be joined.
    """
    connection = connect(request.address, cpus=request.cpus)
    with ExitStack() as cleanup:
        cleanup.callback(connection.close)
        resource_request = ResourceRequest(
            workers=request.workers, cpus=task.runtime.threads, gpus=_gpu_share(request, connection)
        )
        backend = RayWorkerBackend(connection, task, resource_request, cache_dir=request.cache_dir, notify=notify)
        cleanup.pop_all()
    return PoolExecutor(backend, task, limits=limits, grace_seconds=grace_seconds)


def _gpu_share(request: ClusterRequest, connection: ClusterConnection) -> float:
    """Returns the share of a GPU that each worker is given: an equal one, where they outnumber the GPUs."""
    if not request.uses_gpu:
        return 0.0
    gpus = sum(node.resources.get("GPU", 0.0) for node in connection.snapshot.nodes.values())
    return (
        1.0 if not request.workers or request.workers <= gpus or not gpus else 1.0 / math.ceil(request.workers / gpus)
    )
