"""The local executor: warm worker processes on this machine, one trial each at a time.

Importing TensorFlow takes 5 to 10 seconds, so a worker serves many trials; TensorFlow does not give memory back
(tensorflow#36465: 9 to 13 MB a trial), so a worker is replaced after some, while its successor warms up. A worker that
dies or hangs costs the trial it ran; so does one that does not stop when it must, or takes too much memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from search.errors import FatalError
from search.execution.base import Capabilities, Event, Executor, Finished, Key, Reported
from search.execution.messages import Alive, Began, Cancel, Ready
from search.execution.process import Worker, failure
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
        trial_memory_mib: Resident memory above which it is killed, and its trial failed; None for no bound.
        hang_seconds: Time without a sign of life after which it is killed, and its trial failed.
        cancel_seconds: Time that a trial which must stop is given to do so at a step boundary, before its worker is
            killed.
    """

    trials: int = 25
    memory_mib: float = 4096.0
    trial_memory_mib: float | None = None
    hang_seconds: float = 300.0
    cancel_seconds: float = 20.0

    def recycle_mib(self, fresh_mib: float) -> float:
        """Returns the memory above which a worker serves its last trial.

        Args:
            fresh_mib: What it took before its first; of the room that this leaves below a trial's bound, what earlier
                trials left behind may take half, so that no trial is killed for them.
        """
        if self.trial_memory_mib is None:
            return self.memory_mib
        return min(self.memory_mib, (fresh_mib + self.trial_memory_mib) / 2)


@dataclass(slots=True)
class Slot:
    """A place for one trial at a time, and the worker that serves it."""

    number: int
    worker: Worker
    successor: Worker | None = None
    trial: Trial | None = None
    began: float | None = None
    sign_of_life: float = 0.0
    cancelled: tuple[Cause, float] | None = None
    starts: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a worker is killed, in short and in words."""

    cause: Cause
    message: str


class LocalExecutor(Executor):
    """Runs trials in warm worker processes.

    Args:
        task: What all trials share.
        workers: How many processes, at most.
        log_dir: Folder for their output; made if missing.
        limits: When a worker is replaced.
        patience: Returns the seconds that a trial which must stop is given now; ``limits.cancel_seconds`` if None.
    """

    capabilities = Capabilities(survives_worker_death=True, ordered=False)

    def __init__(
        self,
        task: Task,
        *,
        workers: int,
        log_dir: Path,
        limits: Limits | None = None,
        patience: Callable[[], float] | None = None,
    ) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._task, self._workers, self._log_dir = task, workers, log_dir
        self._limits = limits or Limits()
        self._patience = patience or (lambda: self._limits.cancel_seconds)
        self._started = 0
        self._slots: dict[int, Slot] = {}

    @property
    def slots(self) -> int:
        """How many trials may run at once."""
        return self._workers

    @property
    def running(self) -> Mapping[Key, Trial]:
        """The trials that were submitted and have not finished."""
        return {slot.trial.key: slot.trial for slot in self._slots.values() if slot.trial is not None}

    def submit(self, trial: Trial) -> None:
        """Hands a trial to a free worker; the last one it may serve also starts its successor."""
        slot = self._free_slot()
        slot.trial, slot.began, slot.cancelled, slot.sign_of_life = trial, None, None, time.monotonic()
        worker = slot.worker
        too_old = worker.served + 1 >= self._limits.trials
        if too_old or worker.memory_mib() > self._limits.recycle_mib(worker.fresh_mib):
            slot.successor = slot.successor or self._start_worker(slot.number)
        self._send(worker, trial)

    def collect(self, timeout: float) -> list[Event]:
        """Returns what the workers said, and what became of those that had to be killed."""
        by_connection = {slot.worker.connection: slot for slot in self._slots.values()}
        heard = wait(list(by_connection), timeout)
        events: list[Event] = []
        for connection in heard:
            assert isinstance(connection, Connection)
            events += self._hear(by_connection[connection])
        return events + self._judge()

    def cancel(self, key: Key, cause: Cause) -> None:
        """Asks a running trial to stop at its next step boundary."""
        for slot in self._slots.values():
            if slot.trial is not None and slot.trial.key == key and slot.cancelled is None:
                slot.cancelled = (cause, time.monotonic())
                self._send(slot.worker, Cancel(key, cause))

    def close(self) -> None:
        """Stops all workers at once."""
        slots = self._slots.values()
        workers = [worker for slot in slots for worker in (slot.worker, slot.successor) if worker is not None]
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.stop()
        self._slots.clear()

    def _free_slot(self) -> Slot:
        """Returns a slot without a trial; workers are started as they are first needed, or needed again."""
        free = next((slot for slot in self._slots.values() if slot.trial is None), None)
        if free is None:
            number = next(number for number in range(self._workers) if number not in self._slots)
            free = self._slots[number] = Slot(number, self._start_worker(number))
        return free

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
        match message:
            case Ready():
                slot.worker.ready, slot.starts = True, 1
                slot.worker.fresh_mib = slot.worker.memory_mib()
                return []
            case Began():
                slot.began = slot.sign_of_life
                return []
            case Alive():
                return []
            case Finished():
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

    def _bury(self, slot: Slot, verdict: Verdict | None = None) -> list[Event]:
        """Takes a worker that died out of its slot, and says what became of its trial.

        Its successor takes over; where there is none, one is started when a trial needs it.
        """
        dead, trial = slot.worker, slot.trial
        code = dead.stop()
        if not dead.ready and slot.cancelled is None:
            return self._restart(slot, code)
        if slot.successor is not None:
            self._slots[slot.number] = Slot(slot.number, slot.successor)
        else:
            del self._slots[slot.number]
        if trial is None:
            return []
        if slot.cancelled is not None:
            reason = slot.cancelled[0]
            return [Finished(trial.key, Outcome(state=State.INTERRUPTED, cause=reason, message=reason.value))]
        cause, message = (verdict.cause, verdict.message) if verdict else (None, "")
        return [Finished(trial.key, failure(cause, message, code, dead))]

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

    def _judge(self) -> list[Event]:
        """Kills the workers whose trial must not go on; one that has something to say is heard first."""
        events: list[Event] = []
        for slot in list(self._slots.values()):
            if slot.trial is None or slot.worker.connection.poll():
                continue
            if verdict := self._verdict(slot, slot.trial, time.monotonic()):
                slot.worker.process.kill()
                events += self._bury(slot, verdict)
        return events

    def _verdict(self, slot: Slot, trial: Trial, now: float) -> Verdict | None:
        """Returns why a worker must be killed, or None."""
        if slot.cancelled is not None:
            cause, since = slot.cancelled
            # A worker that is not ready has trained nothing yet, and could heed nobody for seconds.
            return Verdict(cause, "") if not slot.worker.ready or now > since + self._patience() else None
        if now > slot.sign_of_life + self._limits.hang_seconds:
            return Verdict(Cause.HUNG, "The worker gave no sign of life and was killed.")
        seconds = self._task.limit_seconds(trial.phase)
        if seconds is not None and slot.began is not None and now > slot.began + seconds + self._patience():
            message = f"It took longer than a trial may, {seconds:g} s, and did not stop by itself."
            return Verdict(Cause.TRIAL_TIMEOUT, message)
        return _too_large(slot.worker, self._limits.trial_memory_mib) if slot.worker.ready else None


def _too_large(worker: Worker, limit_mib: float | None) -> Verdict | None:
    if limit_mib is None or (used := worker.memory_mib()) <= limit_mib:
        return None
    message = (
        f"The worker took {used / 1024:.2f} GiB of memory, {worker.fresh_mib / 1024:.2f} GiB of them before its first "
        f"trial; it may take {limit_mib / 1024:.2f} GiB. Raise --trial-memory, or narrow the space with --range."
    )
    return Verdict(Cause.OUT_OF_MEMORY, message)
