"""Worker processes of this machine, each behind a pipe, and the pool executor on them.

``local_executor`` is called for a study's trials, by exports and reproductions, and by the doctor.
``LocalWorkerBackend`` also starts the processes of ``search.execution.vectorized``, and ``WorkerProcess`` those of
probes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from search.execution.messages import Message, Request
from search.execution.pool import PoolExecutor
from search.execution.worker_backend import CPU_TIME_FIELDS, Worker, WorkerBackend, WorkerExit
from search.execution.worker_state import WorkerLimits
from search.training.task import Task
from search.trial import Cause

LOG_TAIL_BYTES = 2000
"""Length of the end of a worker's log that is kept with a failure."""
WORKER_MODULE = "search.execution.worker_loop"


class WorkerProcess(Worker):
    """One worker process and the pipe to it.

    Args:
        task: Sent to the process first.
        log: File for its output.
        slot: The executor's slot that it serves; on GPUs it decides which one the process uses.
        module: The module that it runs; receives the pipe's file descriptor as its argument.
    """

    def __init__(self, task: Task, log: Path, slot: int, module: str = WORKER_MODULE) -> None:
        self.connection, child_connection = Pipe()
        self.log = log
        environment = {
            **os.environ,
            **task.runtime.environment_variables(slot),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        with child_connection, log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, str(child_connection.fileno())],
                pass_fds=[child_connection.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C belongs to the coordinator
            )
        self.connection.send(task)

    @property
    def node(self) -> str:
        """Empty: this machine."""
        return ""

    def send(self, message: Request) -> None:
        """Sends a message; if the process is dead, ``receive`` returns None."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def receive(self) -> Message | None:
        """Returns its next message; None if its death closed the pipe, perhaps in the middle of a message."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def has_message(self) -> bool:
        """Returns whether the pipe holds a message."""
        return self.connection.poll()

    def memory_mib(self) -> float:
        """Returns the resident memory in MiB; 0 after the process has ended."""
        try:
            return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20
        except psutil.NoSuchProcess:
            return 0.0

    def cpu_seconds(self) -> float:
        """Returns the processor time of all its threads in seconds; 0 after the process has ended."""
        try:
            return sum(psutil.Process(self.process.pid).cpu_times()[:CPU_TIME_FIELDS])
        except psutil.NoSuchProcess:
            return 0.0

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()

    def reap(self) -> WorkerExit:
        """Ends it if it still runs, closes the pipe and returns how it ended."""
        code = self._wait_for_exit()
        if code < 0:
            cause, reason = Cause.KILLED, f"was killed by signal {-code}{_SIGNAL_EXPLANATIONS.get(-code, '')}"
        else:
            cause, reason = Cause.CRASHED, f"ended with exit code {code}"
        message = f"The worker {reason}."
        return WorkerExit(cause=cause, message=message, log_tail=self.log_tail(), log_path=str(self.log))

    def log_tail(self) -> str:
        """Returns the end of its log; empty if the log was deleted. A log may be a device without an end."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
                return log.read(LOG_TAIL_BYTES).decode(errors="replace").strip("\0 \n")
        except OSError:
            return ""

    def _wait_for_exit(self) -> int:
        """Returns the exit code, negative for a signal; a process whose pipe has closed is about to end by itself."""
        if self.process.poll() is None:
            try:
                self.process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.connection.close()
        return self.process.wait()


_SIGNAL_EXPLANATIONS: Mapping[int, str] = {
    signal.SIGKILL: "; the kernel often sends it when memory is exhausted",
    signal.SIGBUS: "; the usual cause is a file of the data cache that was truncated while it was in use",
}
"""The usual cause of a signal."""


class LocalWorkerBackend(WorkerBackend):
    """Worker processes of this machine.

    Args:
        task: Sent to each process.
        workers: Upper bound on the processes.
        log_dir: Folder for their output; made if missing.
        module: The module that they run.
    """

    def __init__(self, task: Task, workers: int, log_dir: Path, *, module: str = WORKER_MODULE) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._task, self._worker_count, self._log_dir, self._module = task, workers, log_dir, module
        self._start_count = 0

    @property
    def slots(self) -> int:
        """How many workers there may be."""
        return self._worker_count

    def start_worker(self, slot: int) -> WorkerProcess:
        """Starts a process; on GPUs the slot decides which one it uses."""
        self._start_count += 1
        return WorkerProcess(self._task, self._log_dir / f"worker-{self._start_count}.log", slot, self._module)

    def wait(self, workers: Sequence[Worker], timeout: float) -> list[tuple[Worker, Message | None]]:
        """Reads one message of each process that has sent one or has died."""
        worker_by_connection = {worker.connection: worker for worker in workers if isinstance(worker, WorkerProcess)}
        received: list[tuple[Worker, Message | None]] = []
        for connection in wait(list(worker_by_connection), timeout):
            assert isinstance(connection, Connection)
            worker = worker_by_connection[connection]
            received.append((worker, worker.receive()))
        return received

    def close(self) -> None:
        """Does nothing: the processes are all there is."""


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
        workers: Upper bound on the processes.
        log_dir: Folder for their output; made if missing.
        limits: Limits on the workers.
        grace_seconds: Returns the seconds that a cancelled trial has to stop; ``limits.cancel_grace_seconds`` if None.
    """
    return PoolExecutor(LocalWorkerBackend(task, workers, log_dir), task, limits=limits, grace_seconds=grace_seconds)
