"""Makes the executor that a plan names. Called by the session, the dry run and the comparison of engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from search.execution.base import Executor
from search.execution.local import local_executor
from search.execution.ordered import OrderedExecutor
from search.execution.vectorized import VectorizedExecutor
from search.execution.worker_state import WorkerLimits
from search.session.parallelism.policy import MAX_POPULATION, Parallelism
from search.session.plan import Plan
from search.session.settings import ExecutorName
from search.training.runtime import usable_cores
from search.training.task import Task

GraceSeconds = Callable[[], float]
Notify = Callable[[str], None]
ExecutorFactory = Callable[[Plan, Parallelism, Path, GraceSeconds | None, Notify], Executor]
"""Makes an executor; takes the arguments of ``make_executor``."""


def make_executor(
    plan: Plan,
    parallelism: Parallelism,
    *,
    log_dir: Path,
    grace_seconds: GraceSeconds | None = None,
    notify: Notify = lambda _: None,
) -> Executor:
    """Returns the executor of a plan.

    Args:
        plan: The run.
        parallelism: Workers, threads and kernels.
        log_dir: Folder of the workers' logs.
        grace_seconds: Returns the seconds that a cancelled trial has to stop; None for the executor's default.
        notify: Called with messages for the user.

    Raises:
        UserError: There is no Ray cluster at the address, or it cannot be joined.
    """
    executor = EXECUTORS[ExecutorName(plan.settings.executor)](plan, parallelism, log_dir, grace_seconds, notify)
    return OrderedExecutor(executor) if plan.settings.ordered else executor


def _local(
    plan: Plan, parallelism: Parallelism, log_dir: Path, grace_seconds: GraceSeconds | None, notify: Notify
) -> Executor:
    return local_executor(
        _task(plan, parallelism),
        workers=parallelism.layout.workers,
        log_dir=log_dir,
        limits=_worker_limits(plan),
        grace_seconds=grace_seconds,
    )


def _ray(
    plan: Plan, parallelism: Parallelism, log_dir: Path, grace_seconds: GraceSeconds | None, notify: Notify
) -> Executor:
    from search.execution.ray.executor import ray_executor

    settings, layout = plan.settings, parallelism.layout
    if settings.address and settings.checkpoint_dir is None:
        notify("Without --checkpoint-dir, a trial whose node is lost begins anew, and so does one that is promoted.")
    return ray_executor(
        _task(plan, parallelism),
        address=settings.address,
        workers=settings.workers if settings.address else layout.workers,
        cpus=max(usable_cores(), layout.workers * layout.threads),
        cache_dir=settings.cache_dir,
        limits=_worker_limits(plan),
        grace_seconds=grace_seconds,
        notify=notify,
    )


def _vectorized(
    plan: Plan, parallelism: Parallelism, log_dir: Path, grace_seconds: GraceSeconds | None, notify: Notify
) -> Executor:
    runtime, workers = plan.task.runtime, plan.settings.workers
    return VectorizedExecutor(
        _task(plan, parallelism),
        workers=workers or MAX_POPULATION[runtime.device] * max(1, len(runtime.gpus)),
        log_dir=log_dir,
        limits=_worker_limits(plan),
        grace_seconds=grace_seconds,
        probe_config=plan.header.space.baseline if workers is None else None,
        notify=notify,
    )


def _task(plan: Plan, parallelism: Parallelism) -> Task:
    """Returns the plan's task with the chosen threads and kernels."""
    return plan.task.with_arithmetic(threads=parallelism.layout.threads, kernels=parallelism.kernels)


def _worker_limits(plan: Plan) -> WorkerLimits:
    return WorkerLimits(trial_memory_mib=plan.settings.trial_memory)


EXECUTORS: Mapping[ExecutorName, ExecutorFactory] = {
    ExecutorName.LOCAL: _local,
    ExecutorName.RAY: _ray,
    ExecutorName.VECTORIZED: _vectorized,
}
"""Executors by name; a new one adds an ``ExecutorName`` and an entry here."""
