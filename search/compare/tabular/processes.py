"""Runs simulations in worker processes with one thread each, which ignore Ctrl-C and exit when their parent does.

Called by ``run`` here and by ``search.compare.recorded.run``.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

from search.compare.spec import RunKey
from search.compare.tabular.store import JsonLinesStore
from search.errors import FatalError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SINGLE_THREAD_ENVIRONMENT: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""Keeps each process on one core, so that an engine's seconds do not depend on how many processes run."""

ProgressCallback = Callable[[int, int], None]
"""``progress(done, total)`` in runs, recorded runs included."""
T = TypeVar("T", bound="DataclassInstance")


def run_missing(
    requested: Sequence[RunKey],
    store: JsonLinesStore[T],
    simulate: Callable[[RunKey], T],
    exclusion_reasons: Mapping[str, Callable[[], str]],
    *,
    processes: int,
    progress: ProgressCallback,
) -> Mapping[str, str]:
    """Simulates the runs that are not recorded; returns the reason of each engine that is excluded.

    Args:
        requested: The runs.
        store: Where they are recorded.
        simulate: Simulates one of them; it is pickled.
        exclusion_reasons: By engine, what returns why it is excluded, or an empty text; pickled, since the processes
            need the engines' libraries anyway.
        processes: Concurrent runs, at least 1.
        progress: Called at the start and after each run, if any is missing.

    Raises:
        FatalError: A process died; finished runs are kept.
    """
    missing = [key for key in requested if key not in store.finished()]
    if not missing:
        return {}
    engines = dict.fromkeys(key.engine for key in missing)
    with process_pool(processes) as pool:
        pending_reasons = {engine: pool.submit(exclusion_reasons[engine]) for engine in engines}
        excluded = {engine: reason for engine, future in pending_reasons.items() if (reason := future.result())}
        total = sum(key.engine not in excluded for key in requested)
        pending = [key for key in missing if key.engine not in excluded]
        progress(total - len(pending), total)
        futures = {pool.submit(simulate, key): key for key in pending}
        for done, future in enumerate(as_completed(futures), start=total - len(pending) + 1):
            store.add(futures[future], future.result())
            progress(done, total)
    return excluded


@contextlib.contextmanager
def process_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yields a pool of processes; on an error or Ctrl-C they are killed.

    Args:
        processes: Their number, at least 1.

    Raises:
        FatalError: A process died.
    """
    other_children = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks, TensorFlow's among them
    with _environment_variables(SINGLE_THREAD_ENVIRONMENT):
        pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_initialize_worker)
        try:
            yield pool
        except BrokenProcessPool:
            raise FatalError(
                "A worker process died, perhaps for lack of memory; finished runs are kept.",
                hint="Run the same command again to continue.",
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - other_children:
                child.kill()
            raise
        else:
            pool.shutdown()


@contextlib.contextmanager
def _environment_variables(changes: Mapping[str, str]) -> Iterator[None]:
    """Sets variables for the processes that start meanwhile, which import NumPy before any code of this package."""
    previous = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _initialize_worker() -> None:
    """Leaves Ctrl-C to the parent and watches for its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
