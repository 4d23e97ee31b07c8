"""The executor on a Ray cluster, put together: the pool of workers on a staff of actors."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from search.execution.cluster.connection import Connection, connect
from search.execution.cluster.staff import Demand, RayStaff, Tell
from search.execution.limits import Limits
from search.execution.pool import PoolExecutor
from search.training.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted, of which cluster.

    Args:
        address: "auto", HOST:PORT or ray://HOST:PORT; None to start one on this machine.
        workers: At most so many; None for as many as there is room for, on GPUs one each.
        cpus: Of a cluster that is started here.
        on_gpu: Whether each worker trains on a GPU, or a share of one where there are more workers than GPUs.
        cache_dir: Folder for data on each node; None for the platform's.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    on_gpu: bool = False
    cache_dir: str | None = None


def ray_executor(
    task: Task,
    wish: Wish,
    *,
    limits: Limits | None = None,
    patience: Callable[[], float] | None = None,
    tell: Tell = lambda _: None,
) -> PoolExecutor:
    """Returns an executor on the actors of a cluster, which is joined or started now, and left as it was at the end.

    Args:
        task: What all trials share.
        wish: What is wanted.
        limits: When a worker is replaced.
        patience: Returns the seconds that a trial which must stop is given now; ``limits.cancel_seconds`` if None.
        tell: Hears what the cluster lacks.

    Raises:
        UserError: There is no such cluster, or it cannot be joined.
    """
    connection = connect(wish.address, cpus=wish.cpus)
    with ExitStack() as opened:
        opened.callback(connection.close)
        demand = Demand(workers=wish.workers, cpus=task.runtime.threads, gpus=_gpu_share(wish, connection))
        staff = RayStaff(connection, task, demand, cache_dir=wish.cache_dir, tell=tell)
        opened.pop_all()
    return PoolExecutor(staff, task, limits=limits, patience=patience)


def _gpu_share(wish: Wish, connection: Connection) -> float:
    """Returns the share of a GPU that each worker is given: an equal one, where they outnumber the GPUs."""
    if not wish.on_gpu:
        return 0.0
    gpus = sum(node.resources.get("GPU", 0.0) for node in connection.latest.nodes.values())
    return 1.0 if not wish.workers or wish.workers <= gpus or not gpus else 1.0 / math.ceil(wish.workers / gpus)
