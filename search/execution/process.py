"""One worker process, the pipe to it, and what is said of a trial whose worker died.

Knows nothing of which trial it serves; called by the local executor.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from pathlib import Path

import psutil

from search.training.task import Task
from search.trial import Cause, Outcome, State


class Worker:
    """One worker process and the pipe to it.

    Args:
        task: Sent to the process first.
        log: File that takes its output; TensorFlow's chatter stays out of the terminal.
        slot: Which of the executor's slots it serves; on GPUs, this decides which one it uses.
        module: What it runs.
    """

    def __init__(self, task: Task, log: Path, slot: int, module: str = "search.execution.worker") -> None:
        self.connection, theirs = Pipe()
        self.log = log
        self.ready = False
        self.served = 0
        self.fresh_mib = 0.0
        environment = {
            **os.environ,
            **task.runtime.variables(slot),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        with theirs, log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C belongs to the coordinator
            )
        self.connection.send(task)

    def memory_mib(self) -> float:
        """Returns the resident memory in MiB; 0 when the process is gone."""
        try:
            return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20
        except psutil.NoSuchProcess:
            return 0.0

    def stop(self) -> int:
        """Kills the process if it still runs and returns its exit code, negative for a signal."""
        if self.process.poll() is None:
            try:
                self.process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.connection.close()
        return self.process.wait()

    def last_words(self) -> str:
        """Returns the end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()


_MEANINGS: Mapping[int, str] = {
    signal.SIGKILL: "; it is often the kernel's, out of memory",
    signal.SIGBUS: "; it mostly means that a file of the data cache was cut short while it was in use",
}


def failure(cause: Cause | None, message: str, code: int, worker: Worker) -> Outcome:
    """Returns the outcome of a trial whose worker died.

    Args:
        cause: Why it was killed; None where nobody here did it.
        message: The same in words.
        code: Its exit code, negative for a signal.
        worker: The worker, for its last words.
    """
    if cause is None and code < 0:
        cause, message = Cause.KILLED, f"The worker was killed by signal {-code}{_MEANINGS.get(-code, '')}."
    elif cause is None:
        cause, message = Cause.CRASHED, f"The worker left with exit code {code}."
    return Outcome(state=State.FAILED, cause=cause, message=message, traceback=worker.last_words(), environment={})
