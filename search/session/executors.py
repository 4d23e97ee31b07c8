"""Where a plan's trials run: the executors by name, and how each is made from a plan.

Called by the session, and by a tournament, whose studies share one executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from search.execution.base import Executor
from search.execution.limits import Limits
from search.execution.local import local_executor
from search.execution.ordered import OrderedExecutor
from search.execution.vectorized import Sizing, VectorizedExecutor
from search.session.planning import POPULATION, Plan, Site
from search.training.runtime import Device, cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What an executor has to do with whoever runs it.

    Args:
        log_dir: Folder for what its workers print.
        patience: Returns the seconds that a trial which must stop is given now; None for the limits' own.
        tell: Hears what whoever watches should know.
    """

    log_dir: Path
    patience: Callable[[], float] | None = None
    tell: Callable[[str], None] = lambda _: None


Maker = Callable[[Plan, Ties], Executor]
"""Makes an executor for a plan; everything that can be checked on this machine was checked before."""


def make_executor(plan: Plan, ties: Ties) -> Executor:
    """Returns the executor a plan asks for.

    Raises:
        UserError: There is no cluster where the plan says, or it cannot be joined.
    """
    executor = EXECUTORS[Site(plan.settings.executor)](plan, ties)
    return OrderedExecutor(executor) if plan.settings.ordered else executor


def _limits(plan: Plan) -> Limits:
    return Limits(trial_memory_mib=plan.settings.trial_memory)


def _local(plan: Plan, ties: Ties) -> Executor:
    return local_executor(
        plan.task, workers=plan.workers, log_dir=ties.log_dir, limits=_limits(plan), patience=ties.patience
    )


def _ray(plan: Plan, ties: Ties) -> Executor:
    from search.execution.cluster.executor import Wish, ray_executor

    settings, layout = plan.settings, plan.packing.layout
    if settings.address and settings.checkpoint_dir is None:
        ties.tell("Without --checkpoint-dir, a trial whose node is lost begins anew, and so does one that is promoted.")
    wish = Wish(
        address=settings.address,
        workers=settings.workers if settings.address else layout.workers,
        cpus=max(cores(), layout.workers * layout.threads),
        on_gpu=plan.task.runtime.device is Device.GPU,
        cache_dir=settings.cache_dir,
    )
    return ray_executor(plan.task, wish, limits=_limits(plan), patience=ties.patience, tell=ties.tell)


def _vectorized(plan: Plan, ties: Ties) -> Executor:
    runtime, given = plan.task.runtime, plan.settings.workers
    return VectorizedExecutor(
        plan.task,
        workers=given or POPULATION[runtime.device] * max(1, len(runtime.gpus)),
        log_dir=ties.log_dir,
        limits=_limits(plan),
        patience=ties.patience,
        sizing=Sizing(baseline=plan.header.space.baseline, tell=ties.tell) if given is None else None,
    )


EXECUTORS: Mapping[Site, Maker] = {Site.LOCAL: _local, Site.RAY: _ray, Site.VECTORIZED: _vectorized}
"""Executors by where they run trials; a new one adds a ``Site`` and a line here."""
