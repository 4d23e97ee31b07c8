"""The executor that keeps a pool of warm workers busy, wherever they run, one trial each at a time.

Importing TensorFlow takes seconds, so a worker serves many trials; TensorFlow does not give memory back
(tensorflow#36465: 9 to 13 MB a trial), so a worker is replaced after some, while its successor warms up. A worker that
dies or hangs costs the trial it ran; so does one that does not stop when it must, or takes too much memory.

How workers are started and heard is the staff's business: processes of this machine (``search.execution.local``) or
actors of a cluster (``search.execution.ray``).
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search.execution.base import Event, Executor, Finished, Reported, TrialKey
from search.execution.messages import Cancel, Message, Ready, TrialStarted, WorkerHeartbeat
from search.execution.worker_backend import Worker, WorkerBackend, WorkerExit
from search.execution.worker_failures import (
    KillReason,
    WorkerLimits,
    outcome_of_worker_exit,
    raise_if_restart_is_futile,
)
from search.training.task import Task
from search.trial import Cause, Outcome, Trial


@dataclass(slots=True)
class PooledWorker:
    """A worker and its service."""

    worker: Worker
    ready: bool = False
    trials_run: int = 0
    initial_mib: float = 0.0


@dataclass(slots=True)
class WorkerSlot:
    """A place for one trial at a time, and the worker that serves it."""

    number: int
    current: PooledWorker
    replacement: PooledWorker | None = None
    trial: Trial | None = None
    started_at: float | None = None
    last_heartbeat: float = 0.0
    cancellation: tuple[Cause, float] | None = None
    start_attempts: int = 1

    @property
    def pooled_workers(self) -> list[PooledWorker]:
        """The worker, and its successor where it has one."""
        return [self.current] if self.replacement is None else [self.current, self.replacement]


class PoolExecutor(Executor):
    """Runs trials on warm workers, which are started as they are first needed.

    Args:
        backend: Starts and hears the workers; closed with the executor.
        task: What all trials share.
        limits: When a worker is replaced.
        grace_seconds: Returns the seconds that a trial which must stop is given now; ``limits.cancel_seconds`` if None.
    """

    def __init__(
        self,
        backend: WorkerBackend,
        task: Task,
        *,
        limits: WorkerLimits | None = None,
        grace_seconds: Callable[[], float] | None = None,
    ) -> None:
        self._backend, self._task, self._limits = backend, task, limits or WorkerLimits()
        self._grace_seconds = grace_seconds or (lambda: self._limits.cancel_grace_seconds)
        self._slots: dict[int, WorkerSlot] = {}

    @property
    def slots(self) -> int:
        """How many trials may run at once; changes with what a cluster has to give."""
        return self._backend.slots

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        """The trials that were submitted and have not finished."""
        return {slot.trial.key: slot.trial for slot in self._slots.values() if slot.trial is not None}

    def submit(self, trial: Trial) -> None:
        """Hands a trial to a free worker; the last one it may serve also starts its successor."""
        slot = self._free_slot()
        slot.trial, slot.started_at, slot.cancellation, slot.last_heartbeat = trial, None, None, time.monotonic()
        pooled = slot.current
        reaches_trial_limit = pooled.trials_run + 1 >= self._limits.max_trials
        if reaches_trial_limit or pooled.worker.memory_mib() > self._limits.recycle_threshold_mib(pooled.initial_mib):
            slot.replacement = slot.replacement or self._start_worker(slot.number)
        if pooled.ready:
            pooled.worker.send(trial)

    def collect(self, timeout: float) -> list[Event]:
        """Returns what the workers said, and what became of those that had to be killed."""
        slot_by_worker = {slot.current.worker: slot for slot in self._slots.values()}
        events: list[Event] = []
        for worker, message in self._backend.wait(list(slot_by_worker), timeout):
            if slot_by_worker[worker].current.worker is worker:  # else what it said before has ended its service
                events += self._handle_message(slot_by_worker[worker], message)
        return events + self._enforce_limits()

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        """Asks a running trial to stop at its next step boundary."""
        for slot in self._slots.values():
            if slot.trial is not None and slot.trial.key == key and slot.cancellation is None:
                slot.cancellation = (cause, time.monotonic())
                slot.current.worker.send(Cancel(key, cause))

    def close(self) -> None:
        """Stops all workers at once."""
        workers = [member.worker for slot in self._slots.values() for member in slot.pooled_workers]
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.reap()
        self._slots.clear()
        self._backend.close()

    def _free_slot(self) -> WorkerSlot:
        """Returns a slot without a trial; workers are started as they are first needed, or needed again."""
        free = [slot for slot in self._slots.values() if slot.trial is None]
        if not free:
            number = next(number for number in itertools.count() if number not in self._slots)
            free = [WorkerSlot(number, self._start_worker(number))]
            self._slots[number] = free[0]
        return next((slot for slot in free if slot.current.ready), free[0])

    def _start_worker(self, slot: int) -> PooledWorker:
        return PooledWorker(self._backend.start_worker(slot))

    def _handle_message(self, slot: WorkerSlot, message: Message | None) -> list[Event]:
        """Takes one message of a slot's worker; None where it is dead."""
        if message is None:
            return self._handle_worker_exit(slot)
        slot.last_heartbeat = time.monotonic()
        match message:
            case Ready():
                slot.current.ready, slot.current.initial_mib = True, slot.current.worker.memory_mib()
                slot.start_attempts = 1
                self._send_waiting_trial(slot)
                self._reassign_waiting_trial(slot)
            case TrialStarted():
                slot.started_at = slot.last_heartbeat
            case WorkerHeartbeat():
                pass
            case Reported():
                return [message]
            case Finished():
                return [self._free_slot_after(slot, message)]
        return []

    def _send_waiting_trial(self, slot: WorkerSlot) -> None:
        """Hands a worker that is ready the trial that waits for it."""
        pooled = slot.current
        if slot.trial is not None:
            pooled.worker.send(slot.trial)
            if slot.cancellation is not None:
                pooled.worker.send(Cancel(slot.trial.key, slot.cancellation[0]))

    def _free_slot_after(self, slot: WorkerSlot, finished: Finished) -> Finished:
        """Frees a slot after its trial; a worker with a successor has served its last."""
        node = slot.current.worker.node
        slot.trial = None
        slot.current.trials_run += 1
        if slot.replacement is not None:
            slot.current.worker.reap()
            slot.current, slot.replacement = slot.replacement, None
        self._reassign_waiting_trial(slot)
        return Finished(finished.key, _with_node(node, finished.outcome))

    def _reassign_waiting_trial(self, free: WorkerSlot) -> None:
        """Has a free worker that is ready take the trial of one that is not, which may wait for room for long.

        The workers stay where they are: on GPUs, the slot says which one a worker uses.
        """
        waiting = (slot for slot in self._slots.values() if slot.trial is not None and not slot.current.ready)
        if free.trial is None and free.current.ready and (slot := next(waiting, None)) is not None:
            free.trial, free.cancellation, slot.trial, slot.cancellation = slot.trial, slot.cancellation, None, None
            free.started_at, free.last_heartbeat = None, time.monotonic()
            self._send_waiting_trial(free)

    def _handle_worker_exit(self, slot: WorkerSlot, kill_reason: KillReason | None = None) -> list[Event]:
        """Takes a worker that died out of its slot, and says what became of its trial.

        Its successor takes over; where there is none, one is started when a trial needs it.
        """
        exited, trial, node = slot.current, slot.trial, slot.current.worker.node
        worker_exit = exited.worker.reap()
        if not exited.ready and slot.cancellation is None:
            return self._restart_worker(slot, worker_exit, kill_reason)
        if slot.replacement is not None:
            self._slots[slot.number] = WorkerSlot(slot.number, slot.replacement)
        else:
            del self._slots[slot.number]
        if trial is None:
            return []
        cancel_cause = slot.cancellation[0] if slot.cancellation is not None else None
        outcome = outcome_of_worker_exit(worker_exit, kill_reason=kill_reason, cancel_cause=cancel_cause)
        return [Finished(trial.key, _with_node(node, outcome))]

    def _restart_worker(self, slot: WorkerSlot, worker_exit: WorkerExit, kill_reason: KillReason | None) -> list[Event]:
        """Starts again a worker that died before it was ready; the trial that waited for it is not lost."""
        raise_if_restart_is_futile(worker_exit, slot.start_attempts, kill_reason)
        slot.current, slot.start_attempts = self._start_worker(slot.number), slot.start_attempts + 1
        slot.last_heartbeat = time.monotonic()
        return []

    def _enforce_limits(self) -> list[Event]:
        """Kills the workers whose trial must not go on; one that has something to say is heard first."""
        events: list[Event] = []
        for slot in list(self._slots.values()):
            if slot.trial is None or slot.current.worker.has_message():
                continue
            if kill_reason := self._kill_reason(slot, slot.trial, time.monotonic()):
                slot.current.worker.kill()
                events += self._handle_worker_exit(slot, kill_reason)
        return events

    def _kill_reason(self, slot: WorkerSlot, trial: Trial, now: float) -> KillReason | None:
        """Returns why a worker must be killed, or None."""
        pooled = slot.current
        if slot.cancellation is not None:
            cause, since = slot.cancellation
            # A worker that is not ready has trained nothing yet, and could heed nobody for seconds.
            return KillReason(cause, "") if not pooled.ready or now > since + self._grace_seconds() else None
        if now > slot.last_heartbeat + self._limits.hang_seconds:
            return KillReason(Cause.HUNG, "The worker gave no sign of life and was killed.")
        seconds = self._task.time_limit_seconds(trial.phase)
        if (
            seconds is not None
            and slot.started_at is not None
            and now > slot.started_at + seconds + self._grace_seconds()
        ):
            message = f"It took longer than a trial may, {seconds:g} s, and did not stop by itself."
            return KillReason(Cause.TRIAL_TIMEOUT, message)
        return self._limits.memory_kill_reason(pooled.worker.memory_mib(), pooled.initial_mib) if pooled.ready else None


def _with_node(node: str, outcome: Outcome) -> Outcome:
    """Returns the outcome with the node that it came from; this machine is not named."""
    return dataclasses.replace(outcome, environment={**outcome.environment, "node": node}) if node else outcome
