"""The local executor: warm worker processes on this machine, one trial each at a time.

Importing TensorFlow takes 5 to 10 seconds, so a worker serves many trials; TensorFlow does not give memory back
(tensorflow#36465: 9 to 13 MB a trial), so a worker is replaced after some, while its successor warms up. A worker that
dies or hangs costs the trial it ran.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from search.errors import FatalError
from search.execution.base import Capabilities, Event, Executor, Finished, Key, Reported
from search.execution.messages import Alive, Cancel, Ready
from search.training.task import Task
from search.trial import Cause, Outcome, State, Trial

MAX_STARTS = 3
"""How often a worker that is killed before it is ready is started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a worker is replaced.

    Args:
        trials: Trials after which it is.
        memory_mib: Resident memory above which it is, once its trial has ended.
        hang_seconds: Time without a sign of life after which it is killed, and its trial failed.
        cancel_seconds: Time a cancelled trial is given to stop at a step boundary before its worker is killed.
    """

    trials: int = 25
    memory_mib: float = 4096.0
    hang_seconds: float = 300.0
    cancel_seconds: float = 20.0


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


@dataclass(slots=True)
class Slot:
    """A place for one trial at a time, and the worker that serves it."""

    number: int
    worker: Worker
    successor: Worker | None = None
    trial: Trial | None = None
    sign_of_life: float = 0.0
    cancelled: tuple[Cause, float] | None = None
    starts: int = 1


class LocalExecutor(Executor):
    """Runs trials in warm worker processes.

    Args:
        task: What all trials share.
        workers: How many processes, at most.
        log_dir: Folder for their output; made if missing.
        limits: When a worker is replaced.
    """

    capabilities = Capabilities(survives_worker_death=True, ordered=False)

    def __init__(self, task: Task, *, workers: int, log_dir: Path, limits: Limits | None = None) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._task, self._workers, self._log_dir = task, workers, log_dir
        self._limits = limits or Limits()
        self._started = 0
        self._slots: list[Slot] = []

    @property
    def slots(self) -> int:
        """How many trials may run at once."""
        return self._workers

    @property
    def running(self) -> Mapping[Key, Trial]:
        """The trials that were submitted and have not finished."""
        return {slot.trial.key: slot.trial for slot in self._slots if slot.trial is not None}

    def submit(self, trial: Trial) -> None:
        """Hands a trial to a free worker; the last one it may serve also starts its successor."""
        slot = self._free_slot()
        slot.trial, slot.cancelled, slot.sign_of_life = trial, None, time.monotonic()
        worker = slot.worker
        if worker.served + 1 >= self._limits.trials or worker.memory_mib() > self._limits.memory_mib:
            slot.successor = slot.successor or self._start_worker(slot.number)
        self._send(worker, trial)

    def collect(self, timeout: float) -> list[Event]:
        """Returns what the workers said, and what became of those that went silent."""
        by_connection = {slot.worker.connection: slot for slot in self._slots}
        heard = wait(list(by_connection), timeout)
        events: list[Event] = []
        for connection in heard:
            assert isinstance(connection, Connection)
            events += self._hear(by_connection[connection])
        return events + self._overdue()

    def cancel(self, key: Key, cause: Cause) -> None:
        """Asks a running trial to stop at its next step boundary."""
        for slot in self._slots:
            if slot.trial is not None and slot.trial.key == key and slot.cancelled is None:
                slot.cancelled = (cause, time.monotonic() + self._limits.cancel_seconds)
                self._send(slot.worker, Cancel(key, cause))

    def close(self) -> None:
        """Stops all workers at once."""
        workers = [worker for slot in self._slots for worker in (slot.worker, slot.successor) if worker is not None]
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.stop()

    def _free_slot(self) -> Slot:
        """Returns a slot without a trial; workers are started as they are first needed."""
        for slot in self._slots:
            if slot.trial is None:
                return slot
        number = len(self._slots)
        self._slots.append(Slot(number, self._start_worker(number)))
        return self._slots[-1]

    def _start_worker(self, slot: int) -> Worker:
        self._started += 1
        return Worker(self._task, self._log_dir / f"worker-{self._started}.log", slot)

    @staticmethod
    def _send(worker: Worker, message: Trial | Cancel) -> None:
        try:
            worker.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return  # it died; collect will hear the closed pipe and say so

    def _hear(self, slot: Slot) -> list[Event]:
        """Reads one message of a slot's worker."""
        try:
            message = slot.worker.connection.recv()
        except (EOFError, OSError):  # OSError: killed in the middle of a message
            return self._bury(slot)
        slot.sign_of_life = time.monotonic()
        if isinstance(message, Ready):
            slot.worker.ready, slot.starts = True, 1
            return []
        if isinstance(message, Alive):
            return []
        if isinstance(message, Finished):
            self._release(slot)
        assert isinstance(message, Reported | Finished)
        return [message]

    def _release(self, slot: Slot) -> None:
        """Frees a slot after its trial; a worker with a successor has served its last."""
        slot.trial = None
        slot.worker.served += 1
        if slot.successor is not None:
            slot.worker.stop()
            slot.worker, slot.successor = slot.successor, None

    def _bury(self, slot: Slot, cause: Cause | None = None) -> list[Event]:
        """Replaces a worker that died, and says what became of its trial."""
        dead, trial = slot.worker, slot.trial
        code = dead.stop()
        if not dead.ready and slot.cancelled is None:
            return self._restart(slot, code)
        slot.worker, slot.successor = slot.successor or self._start_worker(slot.number), None
        slot.trial = None
        if trial is None:
            return []
        if slot.cancelled is not None:
            reason = slot.cancelled[0]
            return [Finished(trial.key, Outcome(state=State.INTERRUPTED, cause=reason, message=reason.value))]
        return [Finished(trial.key, _failure(cause, code, dead))]

    def _restart(self, slot: Slot, code: int) -> list[Event]:
        """Starts again a worker that died before it was ready; the trial that waited for it is not lost."""
        dead = slot.worker
        if code >= 0 or slot.starts >= MAX_STARTS:
            raise FatalError(
                f"A worker process could not start. Received: exit code {code}.\n{dead.last_words()}",
                hint=f"Its whole output stands in {dead.log}.",
            )
        slot.worker, slot.starts = self._start_worker(slot.number), slot.starts + 1
        if slot.trial is not None:
            slot.sign_of_life = time.monotonic()
            self._send(slot.worker, slot.trial)
        return []

    def _overdue(self) -> list[Event]:
        """Kills workers that gave no sign of life for too long, or did not stop when cancelled."""
        now, events = time.monotonic(), list[Event]()
        for slot in self._slots:
            if slot.trial is None:
                continue
            hung = now - slot.sign_of_life > self._limits.hang_seconds
            deaf = slot.cancelled is not None and now > slot.cancelled[1]
            if hung or deaf:
                slot.worker.process.kill()
                events += self._bury(slot, Cause.HUNG if hung else None)
        return events


def _failure(cause: Cause | None, code: int, worker: Worker) -> Outcome:
    """Returns the outcome of a trial whose worker died."""
    if cause is Cause.HUNG:
        message = "The worker gave no sign of life and was killed."
    elif code < 0:
        cause, message = Cause.KILLED, f"The worker was killed by signal {-code}; 9 is often the kernel, out of memory."
    else:
        cause, message = Cause.CRASHED, f"The worker left with exit code {code}."
    return Outcome(state=State.FAILED, cause=cause, message=message, traceback=worker.last_words(), environment={})
