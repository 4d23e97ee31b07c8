"""Worker processes with one thread each, which ignore Ctrl-C and exit when their parent does. Called by ``run``."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from search.errors import FatalError

SINGLE_THREAD_ENVIRONMENT: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""Keeps each process on one core, so that an engine's seconds do not depend on how many processes run."""


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
