"""Measures in real worker processes how fast layouts train, and how much GPU memory a worker takes.

measure_speed    starts the processes of every layout at once, lets them warm up, then has one layout after the other
                 train, its processes at the same time, in turns, so that a machine whose speed drifts favours none
measure_memory   one process on the first GPU
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
"""How long the processes of a layout train in one turn, and how often its turn comes: three seconds in all."""
PROBE_TIMEOUT_SECONDS = 120.0
"""How long a process may take to warm up, or to answer."""
POLL_SECONDS = 0.2


class ProbeError(Exception):
    """Nothing was measured; the text says why. No error of the study: its search goes on without."""


def measure_throughput(
    task: Task, config: Config, layouts: Sequence[WorkerLayout], should_stop: Callable[[], bool]
) -> Mapping[WorkerLayout, float]:
    """Returns the images a second that all processes of each layout train on together.

    Args:
        task: What the trials of the study share; each layout's threads take the place of its own.
        config: What is trained, such as the baseline.
        layouts: What is measured.
        should_stop: Asked now and then.

    Raises:
        ProbeError: A process failed or took too long, or somebody asked to stop.
    """
    with _probe_processes(
        task, config, [(layout, slot) for layout in layouts for slot in range(layout.workers)]
    ) as workers:
        _receive_from_each([worker.connection for _, worker in workers], should_stop)
        images_per_second = dict.fromkeys(layouts, 0.0)
        for layout in list(layouts) * ROUNDS:
            connections = [worker.connection for theirs, worker in workers if theirs == layout]
            images_per_second[layout] += (
                sum(one.images / one.seconds for one in _run_round(connections, should_stop)) / ROUNDS
            )
    return images_per_second


def measure_gpu_memory(task: Task, config: Config, should_stop: Callable[[], bool]) -> tuple[tuple[float, ...], float]:
    """Returns the free memory of each GPU before, and the most that a worker took on the first of them, all in MiB.

    Raises:
        ProbeError: The driver cannot be asked, a process failed or took too long, or somebody asked to stop.
    """
    free_before = devices.free_gpu_memory_mib(task.runtime.gpus)
    if free_before is None:
        raise ProbeError("the driver cannot be asked for the memory of a GPU; pip install '.[cuda]'")
    with _probe_processes(task, config, [(WorkerLayout(1, task.runtime.threads), 0)]) as ((_, worker),):
        _receive_from_each([worker.connection], should_stop)
        (result,) = _run_round([worker.connection], should_stop)
        free_after = devices.free_gpu_memory_mib(task.runtime.gpus[:1])
    # The driver's count holds what the backend does not see, such as CUDA's own context.
    taken = free_before[0] - free_after[0] if free_after else 0.0
    peak = max(taken, result.device_mib)
    if peak <= 0:
        raise ProbeError("neither the backend nor the driver says how much memory a worker takes")
    return free_before, peak


@contextmanager
def _probe_processes(
    task: Task, config: Config, assignments: Sequence[tuple[WorkerLayout, int]]
) -> Iterator[list[tuple[WorkerLayout, WorkerProcess]]]:
    """Starts a process for each place, and stops them all however the measuring ends."""
    workers: list[tuple[WorkerLayout, WorkerProcess]] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, (layout, slot) in enumerate(assignments):
                log = Path(folder) / f"{number}.log"
                worker_task = task.with_threads(layout.threads)
                worker = WorkerProcess(worker_task, log, slot, "search.session.parallelism.probe_worker")
                workers.append((layout, worker))
                worker.connection.send(config)
            yield workers
        except (BrokenPipeError, ConnectionResetError, EOFError) as error:
            raise ProbeError(_last_log_line(workers)) from error
        finally:
            reap_all([worker for _, worker in workers])


def _run_round(connections: Sequence[Connection], should_stop: Callable[[], bool]) -> list[ProbeResult]:
    """Has warm processes train at the same time and returns what each says."""
    for connection in connections:
        connection.send(ROUND_SECONDS)
    return [said for said in _receive_from_each(connections, should_stop) if isinstance(said, ProbeResult)]


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


def _last_log_line(workers: Sequence[tuple[WorkerLayout, WorkerProcess]]) -> str:
    """Returns the last line that a process left in its log."""
    log_tails = [words for _, worker in workers if (words := worker.log_tail())]
    return f"a process ended: {log_tails[0].splitlines()[-1]}" if log_tails else "a process ended"
