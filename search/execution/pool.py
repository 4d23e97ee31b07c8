"""The executor that keeps a pool of warm workers busy, one trial each at a time.

Importing TensorFlow takes seconds, so a worker serves many trials. TensorFlow does not give memory back
(tensorflow#36465: 9 to 13 MB a trial), so a worker is replaced after some trials, while its successor warms up. A
worker that dies, hangs, takes too much memory or does not stop in time costs the trial it ran.

Workers are processes of this machine (``search.execution.local``) or actors of a cluster (``search.execution.ray``).
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search.execution.base import Event, Executor, Finished, Reported, TrialKey
from search.execution.messages import Message, Ready, TrialStarted, WorkerHeartbeat
from search.execution.worker_backend import WorkerBackend, WorkerExit, reap_all
from search.execution.worker_state import KillReason, RunningTrial, WorkerLimits, WorkerState
from search.training.task import Task
from search.trial import NO_FILES, NODE_KEY, Cause, Outcome, Trial, TrialFiles


@dataclass(slots=True)
class WorkerSlot:
    """Runs one trial at a time.

    Args:
        number: From 0; on GPUs it decides which one a worker uses.
        current: The worker that serves it.
        replacement: The successor that warms up, if there is one.
        running: The trial; None while the slot is free.
    """

    number: int
    current: WorkerState
    replacement: WorkerState | None = None
    running: RunningTrial | None = None


class PoolExecutor(Executor):
    """Runs trials on warm workers, which are started when first needed.

    Args:
        backend: Starts the workers; closed with the executor.
        task: What all trials share.
        limits: Limits on the workers.
        grace_seconds: Returns the seconds that a cancelled trial has to stop; ``limits.cancel_grace_seconds`` if None.
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
        """How many trials may run at once; changes with the free resources of a cluster."""
        return self._backend.slots

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        """The trials that were submitted and have not finished."""
        return {slot.running.trial.key: slot.running.trial for slot in self._slots.values() if slot.running is not None}

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        """Gives a trial to a free worker, and starts the worker's successor before its last trial."""
        slot = self._free_slot()
        slot.running, state = RunningTrial(trial, files), slot.current
        state.record_message()
        reaches_trial_limit = state.trials_run + 1 >= self._limits.max_trials
        if reaches_trial_limit or state.worker.memory_mib() > self._limits.recycle_threshold_mib(state.initial_mib):
            slot.replacement = slot.replacement or WorkerState(self._backend.start_worker(slot.number))
        if state.is_ready:
            slot.running.send_to(state.worker)

    def collect(self, timeout: float) -> list[Event]:
        """Returns the workers' events, and the ends of trials whose workers died or had to be killed."""
        slot_by_worker = {slot.current.worker: slot for slot in self._slots.values()}
        events: list[Event] = []
        for worker, message in self._backend.wait(list(slot_by_worker), timeout):
            slot = slot_by_worker[worker]
            if slot.current.worker is worker:  # else an earlier message of this call has ended its service
                events += self._handle_message(slot, message)
        return events + self._enforce_limits()

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        """Asks a running trial to stop at its next step."""
        for slot in self._slots.values():
            if slot.running is not None and slot.running.trial.key == key:
                slot.running.cancel(cause, slot.current.worker)

    def close(self) -> None:
        """Stops all workers at once."""
        states = [state for slot in self._slots.values() for state in (slot.current, slot.replacement)]
        reap_all([state.worker for state in states if state is not None])
        self._slots.clear()
        self._backend.close()

    def _free_slot(self) -> WorkerSlot:
        """Returns a slot without a trial, one with a ready worker if possible; starts a worker if there is none."""
        free = [slot for slot in self._slots.values() if slot.running is None]
        if not free:
            number = next(number for number in itertools.count() if number not in self._slots)
            free = [WorkerSlot(number, WorkerState(self._backend.start_worker(number)))]
            self._slots[number] = free[0]
        return next((slot for slot in free if slot.current.is_ready), free[0])

    def _handle_message(self, slot: WorkerSlot, message: Message | None) -> list[Event]:
        """Handles a message of a slot's worker; None if it is dead."""
        if message is None:
            return self._handle_worker_exit(slot)
        slot.current.record_message()
        match message:
            case Ready():
                slot.current.set_ready()
                if slot.running is not None:
                    slot.running.send_to(slot.current.worker)
                self._reassign_waiting_trial(slot)
            case TrialStarted():
                if slot.running is not None:
                    slot.running.started_at = slot.current.last_message
            case WorkerHeartbeat():
                pass
            case Reported():
                return [message]
            case Finished():
                return [self._free_slot_after(slot, message)]
        return []

    def _free_slot_after(self, slot: WorkerSlot, finished: Finished) -> Finished:
        """Frees a slot after its trial; a worker with a successor ends."""
        node = slot.current.worker.node
        slot.running = None
        slot.current.trials_run += 1
        if slot.replacement is not None:
            slot.current.worker.reap()
            slot.current, slot.replacement = slot.replacement, None
        self._reassign_waiting_trial(slot)
        return Finished(finished.key, _with_node(node, finished.outcome))

    def _reassign_waiting_trial(self, free: WorkerSlot) -> None:
        """Moves the trial of a worker that is not ready, which may take long on a full cluster, to a free ready worker.

        The workers stay in their slots, which on GPUs decide which one a worker uses.
        """
        waiting = (slot for slot in self._slots.values() if slot.running is not None and not slot.current.is_ready)
        if free.running is None and free.current.is_ready and (slot := next(waiting, None)) is not None:
            assert slot.running is not None
            free.running, slot.running = slot.running, None
            free.current.record_message()
            free.running.send_to(free.current.worker)

    def _handle_worker_exit(self, slot: WorkerSlot, kill_reason: KillReason | None = None) -> list[Event]:
        """Removes a dead worker and returns the end of its trial.

        Its successor takes over. If there is none, one is started when a trial needs it.
        """
        state, running, node = slot.current, slot.running, slot.current.worker.node
        worker_exit = state.worker.reap()
        if not state.is_ready and (running is None or running.cancel_cause is None):
            self._restart_worker(slot, worker_exit, kill_reason)
            return []
        if slot.replacement is not None:
            self._slots[slot.number] = WorkerSlot(slot.number, slot.replacement)
        else:
            del self._slots[slot.number]
        if running is None:
            return []
        return [Finished(running.trial.key, _with_node(node, running.outcome_of_exit(worker_exit, kill_reason)))]

    def _restart_worker(self, slot: WorkerSlot, worker_exit: WorkerExit, kill_reason: KillReason | None) -> None:
        """Starts another worker after one that died before it was ready; the slot keeps its waiting trial."""
        slot.current.raise_if_restart_is_futile(worker_exit, kill_reason)
        slot.current = WorkerState(self._backend.start_worker(slot.number), slot.current.start_attempts + 1)

    def _enforce_limits(self) -> list[Event]:
        """Kills workers whose trial must not continue; unread messages are handled first."""
        events: list[Event] = []
        for slot in list(self._slots.values()):
            if slot.running is None or slot.current.worker.has_message():
                continue
            if kill_reason := self._kill_reason(slot.current, slot.running):
                slot.current.worker.kill()
                events += self._handle_worker_exit(slot, kill_reason)
        return events

    def _kill_reason(self, state: WorkerState, running: RunningTrial) -> KillReason | None:
        """Returns why a worker must be killed, or None."""
        grace_seconds = self._grace_seconds()
        reason = state.unresponsive_reason([running], self._limits, grace_seconds)
        if reason is not None or running.cancel_cause is not None:
            return reason
        limit, started_at = self._task.time_limit_seconds(running.trial.phase), running.started_at
        if limit is not None and started_at is not None and time.monotonic() > started_at + limit + grace_seconds:
            message = f"The trial exceeded its time limit of {limit:g} s and did not stop by itself."
            return KillReason(Cause.TRIAL_TIMEOUT, message)
        return self._limits.memory_kill_reason(state.worker.memory_mib(), state.initial_mib) if state.is_ready else None


def _with_node(node: str, outcome: Outcome) -> Outcome:
    """Returns the outcome with the name of its node; this machine has none."""
    return dataclasses.replace(outcome, environment={**outcome.environment, NODE_KEY: node}) if node else outcome
