"""Where a plan's trials run: the executors by name, and how each is made from a plan.

Called by the session, and by a tournament, whose studies share one executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from search.execution.base import Executor
from search.execution.local import local_executor
from search.execution.ordered import OrderedExecutor
from search.execution.vectorized import CapacityProbe, VectorizedExecutor
from search.execution.worker_failures import WorkerLimits
from search.session.plan import MAX_POPULATION, ExecutorName, Plan
from search.training.runtime import Device, usable_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorContext:
    """What an executor has to do with whoever runs it.

    Args:
        log_dir: Folder for what its workers print.
        grace_seconds: Returns the seconds that a trial which must stop is given now; None for the limits' own.
        notify: Hears what whoever watches should know.
    """

    log_dir: Path
    grace_seconds: Callable[[], float] | None = None
    notify: Callable[[str], None] = lambda _: None


ExecutorFactory = Callable[[Plan, ExecutorContext], Executor]
"""Makes an executor for a plan; everything that can be checked on this machine was checked before."""


def make_executor(plan: Plan, context: ExecutorContext) -> Executor:
    """Returns the executor a plan asks for.

    Raises:
        UserError: There is no cluster where the plan says, or it cannot be joined.
    """
    executor = EXECUTORS[ExecutorName(plan.settings.executor)](plan, context)
    return OrderedExecutor(executor) if plan.settings.ordered else executor


def _worker_limits(plan: Plan) -> WorkerLimits:
    return WorkerLimits(trial_memory_mib=plan.settings.trial_memory)


def _local(plan: Plan, context: ExecutorContext) -> Executor:
    return local_executor(
        plan.task,
        workers=plan.workers,
        log_dir=context.log_dir,
        limits=_worker_limits(plan),
        grace_seconds=context.grace_seconds,
    )


def _ray(plan: Plan, context: ExecutorContext) -> Executor:
    from search.execution.ray.executor import ClusterRequest, ray_executor

    settings, layout = plan.settings, plan.parallelism.layout
    if settings.address and settings.checkpoint_dir is None:
        context.notify(
            "Without --checkpoint-dir, a trial whose node is lost begins anew, and so does one that is promoted."
        )
    request = ClusterRequest(
        address=settings.address,
        workers=settings.workers if settings.address else layout.workers,
        cpus=max(usable_cores(), layout.workers * layout.threads),
        uses_gpu=plan.task.runtime.device is Device.GPU,
        cache_dir=settings.cache_dir,
    )
    return ray_executor(
        plan.task, request, limits=_worker_limits(plan), grace_seconds=context.grace_seconds, notify=context.notify
    )


def _vectorized(plan: Plan, context: ExecutorContext) -> Executor:
    runtime, workers = plan.task.runtime, plan.settings.workers
    return VectorizedExecutor(
        plan.task,
        workers=workers or MAX_POPULATION[runtime.device] * max(1, len(runtime.gpus)),
        log_dir=context.log_dir,
        limits=_worker_limits(plan),
        grace_seconds=context.grace_seconds,
        capacity_probe=CapacityProbe(baseline=plan.header.space.baseline, notify=context.notify)
        if workers is None
        else None,
    )


EXECUTORS: Mapping[ExecutorName, ExecutorFactory] = {
    ExecutorName.LOCAL: _local,
    ExecutorName.RAY: _ray,
    ExecutorName.VECTORIZED: _vectorized,
}
"""Executors by where they run trials; a new one adds a ``ExecutorName`` and a line here."""
