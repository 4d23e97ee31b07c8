"""Where a plan's trials run: the executors by name, and how each is made from a plan.

Called by the session, and by a tournament, whose studies share one executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from search.execution.base import Executor
from search.execution.limits import Limits
from search.execution.local import local_executor
from search.execution.ordered import OrderedExecutor
from search.session.planning import Plan, Site

Patience = Callable[[], float]
"""Returns the seconds that a trial which must stop is given now."""
Maker = Callable[[Plan, Path, Patience | None], Executor]
"""Makes an executor for a plan, with a folder for what its workers print; everything was checked before."""


def make_executor(plan: Plan, log_dir: Path, patience: Patience | None = None) -> Executor:
    """Returns the executor a plan asks for.

    Args:
        plan: The plan.
        log_dir: Folder for what its workers print.
        patience: Returns the seconds that a trial which must stop is given now.
    """
    executor = EXECUTORS[Site(plan.settings.executor)](plan, log_dir, patience)
    return OrderedExecutor(executor) if plan.settings.ordered else executor


def _local(plan: Plan, log_dir: Path, patience: Patience | None) -> Executor:
    limits = Limits(trial_memory_mib=plan.settings.trial_memory)
    return local_executor(plan.task, workers=plan.workers, log_dir=log_dir, limits=limits, patience=patience)


EXECUTORS: Mapping[Site, Maker] = {Site.LOCAL: _local}
"""Executors by where they run trials; a new one adds a ``Site`` and a line here."""
