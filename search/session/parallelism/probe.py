"""Measures in real worker processes the throughput of layouts and the GPU memory of a worker.

To measure layouts, the processes of all of them start and warm up at once. Then the layouts train in turns, the
processes of one layout at the same time, so that a drift of the machine's speed favours none of them. Called by
``search.session.parallelism.choose``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path

from search.execution.local import WorkerProcess
from search.execution.messages import ProbeResult, WorkerUnusable
from search.execution.worker_backend import reap_all
from search.session.parallelism.policy import WorkerLayout
from search.training import devices
from search.training.task import Task
from search.trial import Config

ROUND_SECONDS, ROUNDS = 1.5, 2
"""Seconds of a layout's turn, and its number of turns: three seconds in all."""
PROBE_TIMEOUT_SECONDS = 120.0
"""Seconds in which a process must have warmed up, or have answered."""
POLL_SECONDS = 0.2


class ProbeError(Exception):
    """A measurement gave no result; the message says why. The study continues without it."""


def measure_throughput(
    task: Task, config: Config, layouts: Sequence[WorkerLayout], should_stop: Callable[[], bool]
) -> Mapping[WorkerLayout, float]:
    """Returns the images per second of each layout, all its processes together.

    Args:
        task: The study's task; its number of threads is ignored.
        config: What is trained, such as the baseline.
        layouts: What is measured.
        should_stop: Called every ``POLL_SECONDS``; True ends the measurement.

    Raises:
        ProbeError: A process failed or took too long, or ``should_stop`` returned True.
    """
    assignments = [(layout, slot) for layout in layouts for slot in range(layout.workers)]
    with _probe_processes(task, config, assignments) as workers:
        _receive_from_each([worker.connection for worker in workers], should_stop)
        images_per_second = dict.fromkeys(layouts, 0.0)
        for layout in list(layouts) * ROUNDS:
            connections = [
                worker.connection for worker, (of, _) in zip(workers, assignments, strict=True) if of == layout
            ]
            results = _run_round(connections, should_stop)
            images_per_second[layout] += sum(result.images / result.seconds for result in results) / ROUNDS
    return images_per_second


def measure_gpu_memory(task: Task, config: Config, should_stop: Callable[[], bool]) -> tuple[tuple[float, ...], float]:
    """Returns the free memory of each GPU, and the peak memory of a worker on the first of them, all in MiB.

    Raises:
        ProbeError: There is no driver, a process failed or took too long, or ``should_stop`` returned True.
    """
    free_before = devices.free_gpu_memory_mib(task.runtime.gpus)
    if free_before is None:
        raise ProbeError("the driver does not report the memory of a GPU; pip install '.[cuda]'")
    with _probe_processes(task, config, [(WorkerLayout(1, task.runtime.threads), 0)]) as (worker,):
        _receive_from_each([worker.connection], should_stop)
        (result,) = _run_round([worker.connection], should_stop)
        free_after = devices.free_gpu_memory_mib(task.runtime.gpus[:1])
    # The driver also counts what the backend does not see, such as CUDA's own context.
    taken = free_before[0] - free_after[0] if free_after else 0.0
    peak = max(taken, result.device_mib)
    if peak <= 0:
        raise ProbeError("neither the backend nor the driver reports the memory of a worker")
    return free_before, peak


@contextmanager
def _probe_processes(
    task: Task, config: Config, assignments: Sequence[tuple[WorkerLayout, int]]
) -> Iterator[list[WorkerProcess]]:
    """Starts a process for each layout and slot, and stops them all at the end."""
    workers: list[WorkerProcess] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, (layout, slot) in enumerate(assignments):
                log = Path(folder) / f"{number}.log"
                worker_task = task.with_threads(layout.threads)
                worker = WorkerProcess(worker_task, log, slot, "search.session.parallelism.probe_worker")
                workers.append(worker)
                worker.connection.send(config)
            yield workers
        except (BrokenPipeError, ConnectionResetError, EOFError) as error:
            raise ProbeError(_last_log_line(workers)) from error
        finally:
            reap_all(workers)


def _run_round(connections: Sequence[Connection], should_stop: Callable[[], bool]) -> list[ProbeResult]:
    """Has warm processes train at the same time and returns their results."""
    for connection in connections:
        connection.send(ROUND_SECONDS)
    return [result for result in _receive_from_each(connections, should_stop) if isinstance(result, ProbeResult)]


def _receive_from_each(connections: Sequence[Connection], should_stop: Callable[[], bool]) -> list[object]:
    """Returns the next message of each process."""
    waiting, messages, deadline = set(connections), list[object](), time.monotonic() + PROBE_TIMEOUT_SECONDS
    while waiting:
        if should_stop():
            raise ProbeError("stopped")
        if time.monotonic() > deadline:
            raise ProbeError(f"a process gave no answer within {PROBE_TIMEOUT_SECONDS:.0f} s")
        for connection in wait(list(waiting), POLL_SECONDS):
            assert isinstance(connection, Connection)
            message = connection.recv()
            if isinstance(message, WorkerUnusable):
                raise ProbeError(f"the baseline cannot be trained: {message.message}")
            waiting.discard(connection)
            messages.append(message)
    return messages


def _last_log_line(workers: Sequence[WorkerProcess]) -> str:
    """Returns that a process ended, with the last line of the first log that holds any."""
    tails = [tail for worker in workers if (tail := worker.log_tail())]
    return f"a process ended: {tails[0].splitlines()[-1]}" if tails else "a process ended"
