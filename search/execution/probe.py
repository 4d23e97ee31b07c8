"""Measures in real worker processes how fast layouts train, and how much GPU memory a worker takes.

measure_speed    starts the processes of every layout at once, lets them warm up, then has one layout after the other
                 train, its processes at the same time, in turns, so that a machine whose speed drifts favours none
measure_memory   one process on the first GPU
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path

from search.execution.messages import Reading, Unfit
from search.execution.packing import Layout
from search.execution.process import WorkerProcess
from search.training import devices
from search.training.task import Task
from search.trial import Config

SECONDS, TURNS = 1.5, 2
"""How long the processes of a layout train in one turn, and how often its turn comes: three seconds in all."""
PATIENCE_SECONDS = 120.0
"""How long a process may take to warm up, or to answer."""
LOOK_SECONDS = 0.2


class ProbeError(Exception):
    """Nothing was measured; the text says why. No error of the study: its search goes on without."""


def measure_speed(
    task: Task, config: Config, layouts: Sequence[Layout], should_stop: Callable[[], bool]
) -> Mapping[Layout, float]:
    """Returns the images a second that all processes of each layout train on together.

    Args:
        task: What the trials of the study share; each layout's threads take the place of its own.
        config: What is trained, such as the baseline.
        layouts: What is measured.
        should_stop: Asked now and then.

    Raises:
        ProbeError: A process failed or took too long, or somebody asked to stop.
    """
    with _workers(task, config, [(layout, slot) for layout in layouts for slot in range(layout.workers)]) as workers:
        _collect([worker.connection for _, worker in workers], should_stop)
        speeds = dict.fromkeys(layouts, 0.0)
        for layout in list(layouts) * TURNS:
            connections = [worker.connection for theirs, worker in workers if theirs == layout]
            speeds[layout] += sum(one.images / one.seconds for one in _readings(connections, should_stop)) / TURNS
    return speeds


def measure_memory(task: Task, config: Config, should_stop: Callable[[], bool]) -> tuple[tuple[float, ...], float]:
    """Returns the free memory of each GPU before, and the most that a worker took on the first of them, all in MiB.

    Raises:
        ProbeError: The driver cannot be asked, a process failed or took too long, or somebody asked to stop.
    """
    before = devices.free_mib(task.runtime.gpus)
    if before is None:
        raise ProbeError("the driver cannot be asked for the memory of a GPU; pip install '.[cuda]'")
    with _workers(task, config, [(Layout(1, task.runtime.threads), 0)]) as ((_, worker),):
        _collect([worker.connection], should_stop)
        (reading,) = _readings([worker.connection], should_stop)
        after = devices.free_mib(task.runtime.gpus[:1])
    # The driver's count holds what the backend does not see, such as CUDA's own context.
    taken = before[0] - after[0] if after else 0.0
    peak = max(taken, reading.device_mib)
    if peak <= 0:
        raise ProbeError("neither the backend nor the driver says how much memory a worker takes")
    return before, peak


@contextmanager
def _workers(
    task: Task, config: Config, places: Sequence[tuple[Layout, int]]
) -> Iterator[list[tuple[Layout, WorkerProcess]]]:
    """Starts a process for each place, and stops them all however the measuring ends."""
    workers: list[tuple[Layout, WorkerProcess]] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, (layout, slot) in enumerate(places):
                own = dataclasses.replace(task, runtime=dataclasses.replace(task.runtime, threads=layout.threads))
                log = Path(folder) / f"{number}.log"
                worker = WorkerProcess(own, log, slot, "search.execution.probe_worker")
                workers.append((layout, worker))
                worker.connection.send(config)
            yield workers
        except (BrokenPipeError, ConnectionResetError, EOFError) as error:
            raise ProbeError(_last_words(workers)) from error
        finally:
            for _, worker in workers:
                worker.kill()
            for _, worker in workers:
                worker.bury()


def _readings(connections: Sequence[Connection], should_stop: Callable[[], bool]) -> list[Reading]:
    """Has warm processes train at the same time and returns what each says."""
    for connection in connections:
        connection.send(SECONDS)
    return [said for said in _collect(connections, should_stop) if isinstance(said, Reading)]


def _collect(connections: Sequence[Connection], should_stop: Callable[[], bool]) -> list[object]:
    """Returns the next message of each process."""
    waiting, said, deadline = set(connections), list[object](), time.monotonic() + PATIENCE_SECONDS
    while waiting:
        if should_stop():
            raise ProbeError("stopped")
        if time.monotonic() > deadline:
            raise ProbeError(f"a process gave no answer within {PATIENCE_SECONDS:.0f} s")
        for connection in wait(list(waiting), LOOK_SECONDS):
            assert isinstance(connection, Connection)
            message = connection.recv()
            if isinstance(message, Unfit):
                raise ProbeError(f"the baseline cannot be trained: {message.message}")
            waiting.discard(connection)
            said.append(message)
    return said


def _last_words(workers: Sequence[tuple[Layout, WorkerProcess]]) -> str:
    """Returns the last line that a process left in its log."""
    logs = [words for _, worker in workers if (words := worker.last_words())]
    return f"a process ended: {logs[0].splitlines()[-1]}" if logs else "a process ended"
