"""Measures in real worker processes the throughput of kernels and layouts, and the GPU memory of a worker.

The processes of all candidates start and warm up at once. First one worker of one thread with each kernels trains, all
at the same time if each has a core. Then the layouts train in turns, the processes of one layout at the same time, so
that a drift of the machine's speed favours none of them. They run with the preferred kernels; if others win, the
layouts are measured again with those. Last, the processes of the fastest layout train the recipes in turn. Called by
``search.session.parallelism.choose``.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from statistics import fmean

from search.execution.local import WorkerProcess
from search.execution.messages import ProbeReady, ProbeResult, WorkerUnusable
from search.execution.worker_backend import reap_all
from search.records.arithmetic import Kernels
from search.session.parallelism.policy import WorkerLayout, fastest
from search.training import devices
from search.training.runtime import usable_cores
from search.training.task import Task
from search.trial import Config, config_key

ROUND_SECONDS, ROUNDS = 1.0, 2
"""Least seconds of a candidate's turn, and its number of turns: about three seconds in all, since a turn ends between
two calls of the training step."""
PROBE_TIMEOUT_SECONDS = 120.0
"""Seconds in which a process must have warmed up, or have answered."""
POLL_SECONDS = 0.2
RECIPE_SECONDS = 15.0
"""Seconds after which no further recipe is begun: on a slow core a deep network takes ten to build and to trace."""


class ProbeError(Exception):
    """A measurement gave no result; the message says why. The study continues without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Images per second.

    Args:
        layouts: Of each layout, all its processes together; empty if there is only one.
        kernels: Of one worker of one thread with each kernels; empty if there is no choice.
        start_seconds: Seconds in which workers start, one a core at the same time; None if unknown.
        recipes: Of one worker of the fastest layout while all of them train this configuration, by ``config_key``.
    """

    layouts: Mapping[WorkerLayout, float] = field(default_factory=dict)
    kernels: Mapping[Kernels, float] = field(default_factory=dict)
    start_seconds: float | None = None
    recipes: Mapping[str, float] = field(default_factory=dict)


def measure_throughput(
    task: Task,
    config: Config,
    layouts: Sequence[WorkerLayout],
    should_stop: Callable[[], bool],
    *,
    kernels: Sequence[Kernels] = (),
    recipes: Sequence[Config] = (),
) -> Throughput:
    """Returns the throughput of each of the kernels, of each layout with the fastest, and of recipes with both.

    Args:
        task: The study's task; its number of threads is ignored.
        config: What is trained, such as the baseline.
        layouts: The layouts to measure, one thread a worker first.
        should_stop: Called every ``POLL_SECONDS``; True ends the measurement.
        kernels: The kernels to measure, the preferred first; none to use the task's.
        recipes: Configurations to measure as well, as many as the time allows.

    Raises:
        ProbeError: A process failed or took too long, or ``should_stop`` returned True.
    """
    preferred, *others = kernels or (task.runtime.kernels,)
    tasks = [
        (task.with_arithmetic(threads=layout.threads, kernels=preferred), slot)
        for layout in layouts
        for slot in range(layout.workers)
    ]
    tasks += [(task.with_arithmetic(threads=1, kernels=other), 0) for other in others]
    with _probe_processes(tasks, config) as workers:
        connections = [worker.connection for worker in workers]
        start_seconds = _start_seconds(_receive_from_each(connections, should_stop))
        by_kernels = dict[Kernels, float]()
        if others:
            alone = [connections[0], *connections[-len(others) :]]
            by_kernels = _measure_kernels(dict(zip(kernels, alone, strict=True)), should_stop)
        if not others or len(layouts) == 1 or fastest(by_kernels) is preferred:
            remaining = iter(connections)
            by_layout = {layout: [next(remaining) for _ in range(layout.workers)] for layout in layouts}
            speeds = _measure_layouts(by_layout, should_stop) if len(layouts) > 1 else {}
            chosen = by_layout[fastest(speeds) if speeds else layouts[0]]
            by_recipe = _measure_recipes(chosen, recipes, should_stop)
            return Throughput(layouts=speeds, kernels=by_kernels, start_seconds=start_seconds, recipes=by_recipe)
    task = task.with_arithmetic(threads=1, kernels=fastest(by_kernels))
    return replace(measure_throughput(task, config, layouts, should_stop, recipes=recipes), kernels=by_kernels)


def _start_seconds(messages: Sequence[object]) -> float:
    """Returns the seconds in which workers start, from those of more processes than cores, which share the cores."""
    longest = max(message.start_seconds for message in messages if isinstance(message, ProbeReady))
    return longest / max(1.0, len(messages) / usable_cores())


def measure_gpu_memory(task: Task, config: Config, should_stop: Callable[[], bool]) -> tuple[tuple[float, ...], float]:
    """Returns the free memory of each GPU, and the peak memory of a worker on the first of them, all in MiB.

    Raises:
        ProbeError: There is no driver, a process failed or took too long, or ``should_stop`` returned True.
    """
    free_before = devices.free_gpu_memory_mib(task.runtime.gpus)
    if free_before is None:
        raise ProbeError("the driver does not report the memory of a GPU; pip install '.[cuda]'")
    with _probe_processes([(task, 0)], config) as (worker,):
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
def _probe_processes(tasks: Sequence[tuple[Task, int]], config: Config) -> Iterator[list[WorkerProcess]]:
    """Starts a process for each task and slot, and stops them all at the end."""
    workers: list[WorkerProcess] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, (task, slot) in enumerate(tasks):
                log = Path(folder) / f"{number}.log"
                worker = WorkerProcess(task, log, slot, "search.session.parallelism.probe_worker")
                workers.append(worker)
                worker.connection.send(config)
            yield workers
        except (BrokenPipeError, ConnectionResetError, EOFError) as error:
            raise ProbeError(_last_log_line(workers)) from error
        finally:
            reap_all(workers)


def _measure_kernels(
    connections: Mapping[Kernels, Connection], should_stop: Callable[[], bool]
) -> dict[Kernels, float]:
    """Returns the images per second of a warm process with each kernels."""
    images_per_second = dict.fromkeys(connections, 0.0)
    has_cores = usable_cores() >= len(connections)
    for together in ([list(connections)] if has_cores else [[name] for name in connections]) * ROUNDS:
        results = _run_round([connections[name] for name in together], should_stop)
        for name, result in zip(together, results, strict=True):
            images_per_second[name] += result.images / result.seconds / ROUNDS
    return images_per_second


def _measure_layouts(
    connections: Mapping[WorkerLayout, Sequence[Connection]], should_stop: Callable[[], bool]
) -> dict[WorkerLayout, float]:
    """Returns the images per second of each layout, all its warm processes together."""
    images_per_second = dict.fromkeys(connections, 0.0)
    for layout in list(connections) * ROUNDS:
        results = _run_round(connections[layout], should_stop)
        images_per_second[layout] += sum(result.images / result.seconds for result in results) / ROUNDS
    return images_per_second


def _measure_recipes(
    connections: Sequence[Connection], recipes: Sequence[Config], should_stop: Callable[[], bool]
) -> dict[str, float]:
    """Returns the images per second of one of several processes that all train the same recipe, for each recipe.

    One that cannot be trained ends the measurement; it fails again as a trial, which says why.
    """
    images_per_second: dict[str, float] = {}
    started = time.monotonic()
    with contextlib.suppress(ProbeError, OSError, EOFError):
        for config in recipes:
            if time.monotonic() - started > RECIPE_SECONDS:
                break
            for connection in connections:
                connection.send(config)
            _receive_from_each(connections, should_stop)
            results = [result for _ in range(ROUNDS) for result in _run_round(connections, should_stop)]
            images_per_second[config_key(config)] = fmean(result.images / result.seconds for result in results)
    return images_per_second


def _run_round(connections: Sequence[Connection], should_stop: Callable[[], bool]) -> list[ProbeResult]:
    """Has warm processes train at the same time and returns their results."""
    for connection in connections:
        connection.send(ROUND_SECONDS)
    return [result for result in _receive_from_each(connections, should_stop) if isinstance(result, ProbeResult)]


def _receive_from_each(connections: Sequence[Connection], should_stop: Callable[[], bool]) -> list[object]:
    """Returns the next message of each process, in the order of the processes."""
    waiting, messages, deadline = set(connections), dict[Connection, object](), time.monotonic() + PROBE_TIMEOUT_SECONDS
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
            messages[connection] = message
    return [messages[connection] for connection in connections]


def _last_log_line(workers: Sequence[WorkerProcess]) -> str:
    """Returns that a process ended, with the last line of the first log that holds any."""
    tails = [tail for worker in workers if (tail := worker.log_tail())]
    return f"a process ended: {tails[0].splitlines()[-1]}" if tails else "a process ended"
