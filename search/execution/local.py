"""The local executor: a pool of worker processes on this machine, each behind a pipe.

One worker process of this machine, the pipe to it, and what is said of its death.

Knows nothing of which trial it serves; started by the local staff and by probes.
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

from search.execution.messages import Cancel, Message
from search.execution.pool import PoolExecutor
from search.execution.worker_backend import Worker, WorkerBackend, WorkerExit
from search.execution.worker_failures import WorkerLimits
from search.training.task import Task
from search.trial import Cause, Trial

LOG_TAIL_BYTES = 2000
"""How much of its log tells how a worker ended."""


class WorkerProcess(Worker):
    """One worker process and the pipe to it.

    Args:
        task: Sent to the process first.
        log: File that takes its output; TensorFlow's chatter stays out of the terminal.
        slot: Which of the executor's slots it serves; on GPUs, this decides which one it uses.
        module: What it runs.
    """

    def __init__(self, task: Task, log: Path, slot: int, module: str = "search.execution.worker") -> None:
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
        """This machine."""
        return ""

    def send(self, message: Trial | Cancel) -> None:
        """Sends something; of one that is dead, the closed pipe will be heard."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def receive(self) -> Message | None:
        """Reads what it said next; None where its pipe was closed by its death, perhaps in the middle of a message."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def has_message(self) -> bool:
        """Says whether its pipe holds something."""
        return self.connection.poll()

    def memory_mib(self) -> float:
        """Returns the resident memory in MiB; 0 when the process is gone."""
        try:
            return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20
        except psutil.NoSuchProcess:
            return 0.0

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()

    def reap(self) -> WorkerExit:
        """Ends it if it still runs, closes the pipe and returns how it ended."""
        code = self._wait_for_exit()
        if code < 0:
            cause, message = (
                Cause.KILLED,
                f"The worker was killed by signal {-code}{_SIGNAL_EXPLANATIONS.get(-code, '')}.",
            )
        else:
            cause, message = Cause.CRASHED, f"The worker left with exit code {code}."
        return WorkerExit(cause=cause, message=message, log_tail=self.log_tail(), log_path=str(self.log))

    def log_tail(self) -> str:
        """Returns the end of its log, which may be long, endless (a device) or gone; only its end is read."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
                return log.read(LOG_TAIL_BYTES).decode(errors="replace").strip("\0 \n")
        except OSError:
            return ""

    def _wait_for_exit(self) -> int:
        """Returns the exit code, negative for a signal; one whose pipe has closed is about to leave by itself."""
        if self.process.poll() is None:
            try:
                self.process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.connection.close()
        return self.process.wait()


_SIGNAL_EXPLANATIONS: Mapping[int, str] = {
    signal.SIGKILL: "; it is often the kernel's, out of memory",
    signal.SIGBUS: "; it mostly means that a file of the data cache was cut short while it was in use",
}
"""What signals mostly mean."""


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
