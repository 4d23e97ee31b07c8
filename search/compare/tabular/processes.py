"""The processes that a tournament plays in: one thread each, deaf to Ctrl-C, and gone when their parent is.

Knows nothing of games. Called by ``tournament``.
"""

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
"""Each process plays on one core, so that as many play as there are cores, and an engine's seconds mean the same."""


@contextlib.contextmanager
def process_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Gives processes of one thread each; what runs in them is dropped when anything interrupts, Ctrl-C as well.

    Args:
        processes: How many, 1 or more.

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
                "A process of the tournament died, perhaps for want of memory; finished games are kept.",
                hint="Run it again to go on, with fewer processes.",
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
    """Sets variables for the processes that begin meanwhile: they import NumPy before any code of ours runs there."""
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
    """Leaves Ctrl-C to the parent, and ends with it, whatever ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
