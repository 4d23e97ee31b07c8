"""The local executor: a pool of worker processes on this machine, each behind a pipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

from search.execution.limits import WorkerLimits
from search.execution.messages import Message
from search.execution.pool import PoolExecutor
from search.execution.process import WorkerProcess
from search.execution.staff import Worker, WorkerBackend
from search.training.task import Task


def local_executor(
    task: Task,
    *,
    workers: int,
    log_dir: Path,
    limits: WorkerLimits | None = None,
    grace_seconds: Callable[[], float] | None = None,
) -> PoolExecutor:
    """Returns an executor on worker processes.

    Args:
        task: What all trials share.
        workers: How many processes, at most.
        log_dir: Folder for their output; made if missing.
        limits: When a worker is replaced.
        grace_seconds: Returns the seconds that a trial which must stop is given now; ``limits.cancel_seconds`` if None.
    """
    return PoolExecutor(LocalWorkerBackend(task, workers, log_dir), task, limits=limits, grace_seconds=grace_seconds)


class LocalWorkerBackend(WorkerBackend):
    """Worker processes of this machine.

    Args:
        task: Sent to each.
        workers: How many, at most.
        log_dir: Folder for their output; made if missing.
    """

    def __init__(self, task: Task, workers: int, log_dir: Path) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._task, self._worker_count, self._log_dir = task, workers, log_dir
        self._start_count = 0

    @property
    def slots(self) -> int:
        """How many workers there may be."""
        return self._worker_count

    def start_worker(self, slot: int) -> WorkerProcess:
        """Starts a process; on GPUs, its slot decides which one it uses."""
        self._start_count += 1
        return WorkerProcess(self._task, self._log_dir / f"worker-{self._start_count}.log", slot)

    def wait(self, workers: Sequence[Worker], timeout: float) -> list[tuple[Worker, Message | None]]:
        """Reads one message of each process that has said something, or whose pipe was closed by its death."""
        worker_by_connection = {worker.connection: worker for worker in workers if isinstance(worker, WorkerProcess)}
        received: list[tuple[Worker, Message | None]] = []
        for connection in wait(list(worker_by_connection), timeout):
            assert isinstance(connection, Connection)
            worker = worker_by_connection[connection]
            received.append((worker, worker.receive()))
        return received

    def close(self) -> None:
        """Does nothing: processes are all there was."""
