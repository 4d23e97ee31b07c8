"""The vectorized executor: one process a device, which trains its trials together as populations.

One small network does not use a GPU fully; many in one program do. See ``search.training.vectorized``. The processes
keep device memory, compilation and crashes out of the coordinator. If the number of concurrent trials is not given, a
process measures it before it is ready.

A process that dies costs the trials it ran. If it was killed, mostly for lack of memory, its successor takes half as
many trials at a time. JAX does not release all memory of a program, so a process that has grown takes no more trials,
and is replaced when its last trial has ended; not earlier, since a device's memory holds one process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from search.execution.base import Event, Executor, Finished, Reported, TrialKey
from search.execution.local import LocalWorkerBackend
from search.execution.messages import Capacity, Message, Ready
from search.execution.worker_backend import WorkerExit, reap_all
from search.execution.worker_state import KillReason, RunningTrial, WorkerLimits, WorkerState
from search.training.task import Task
from search.trial import NO_FILES, Cause, Config, Trial, TrialFiles

PROBE_POPULATION_SIZE = 8
"""Trials with which a device measures how many its memory holds; until then it runs as many."""


@dataclass(slots=True)
class DeviceState:
    """A device, its process and its trials.

    Args:
        number: From 0.
        max_trials: Upper bound of ``capacity``.
        capacity: Trials at a time now.
        probe_size: Trials with which the capacity is measured.
        process: Its process; None until a trial needs one.
        trials: The trials that run there or wait for the process.
        is_draining: Whether the process takes no more trials, because it has grown too large.
    """

    number: int
    max_trials: int
    capacity: int
    probe_size: int = PROBE_POPULATION_SIZE
    process: WorkerState | None = None
    trials: dict[TrialKey, RunningTrial] = field(default_factory=dict)
    is_draining: bool = False

    @property
    def free_capacity(self) -> int:
        """How many more trials it takes; negative after its capacity has shrunk."""
        return 0 if self.is_draining else self.capacity - len(self.trials)


class VectorizedExecutor(Executor):
    """Runs trials as populations, one process a device.

    Args:
        task: What all trials share; on JAX.
        workers: Trials at a time, over all devices; an upper bound if ``probe_config`` is given.
        log_dir: Folder for the processes' output; made if missing.
        limits: Limits on the processes. Those on a single trial do not apply, and ``memory_mib`` bounds what a process
            takes beyond its memory at the start.
        grace_seconds: Returns the seconds that cancelled trials have to stop; ``limits.cancel_grace_seconds`` if None.
        probe_config: Configuration with which each device measures how many trials its memory holds; None to take
            ``workers``.
        notify: Called with a sentence when the measured number of trials changes.
    """

    def __init__(
        self,
        task: Task,
        *,
        workers: int,
        log_dir: Path,
        limits: WorkerLimits | None = None,
        grace_seconds: Callable[[], float] | None = None,
        probe_config: Config | None = None,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        device_count = max(1, min(workers, len(task.runtime.gpus)))
        module = "search.execution.vectorized_worker"
        self._backend = LocalWorkerBackend(task, device_count, log_dir, module=module)
        self._limits = limits or WorkerLimits()
        self._grace_seconds = grace_seconds or (lambda: self._limits.cancel_grace_seconds)
        self._probe_config, self._notify, self._announced_slots = probe_config, notify, 0
        shares = [workers // device_count + (number < workers % device_count) for number in range(device_count)]
        initial_capacity = workers if probe_config is None else PROBE_POPULATION_SIZE
        self._devices = [DeviceState(number, most, min(most, initial_capacity)) for number, most in enumerate(shares)]

    @property
    def slots(self) -> int:
        """How many trials may run at once; changes with the measured capacities, and while a process drains."""
        return sum(len(device.trials) + device.free_capacity for device in self._devices)

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        """The trials that were submitted and have not finished."""
        return {key: running.trial for device in self._devices for key, running in device.trials.items()}

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        """Gives a trial to the device with the most free capacity."""
        device = max(self._devices, key=lambda device: device.free_capacity)
        is_idle = not device.trials
        device.trials[trial.key] = running = RunningTrial(trial, files)
        if device.process is None:
            self._start_process(device)
            return
        if is_idle:
            device.process.record_message()
        running.send_to(device.process.worker)

    def collect(self, timeout: float) -> list[Event]:
        """Returns the processes' events, and the ends of trials whose process died or had to be killed."""
        device_by_worker = {device.process.worker: device for device in self._devices if device.process is not None}
        events: list[Event] = []
        for worker, message in self._backend.wait(list(device_by_worker), timeout):
            events += self._handle_message(device_by_worker[worker], message)
        return events + self._enforce_limits()

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        """Asks a trial to leave its population at the end of the epoch, or at once if all of them are cancelled."""
        for device in self._devices:
            if key in device.trials:
                device.trials[key].cancel(cause, device.process.worker if device.process is not None else None)

    def close(self) -> None:
        """Stops all processes at once."""
        reap_all([device.process.worker for device in self._devices if device.process is not None])
        for device in self._devices:
            device.process = None
            device.trials.clear()
        self._backend.close()

    def _start_process(self, device: DeviceState, start_attempts: int = 1) -> None:
        """Starts a device's process and gives it the device's trials."""
        device.process = WorkerState(self._backend.start_worker(device.number), start_attempts)
        phase = next(iter(device.trials.values())).trial.phase
        device.process.worker.send(
            Capacity(
                max_trials=device.max_trials,
                probe_config=self._probe_config,
                probe_phase=phase,
                probe_size=device.probe_size,
            )
        )
        for running in device.trials.values():
            running.send_to(device.process.worker)

    def _handle_message(self, device: DeviceState, message: Message | None) -> list[Event]:
        """Handles a message of a device's process; None if it is dead."""
        assert device.process is not None
        if message is None:
            return self._handle_process_exit(device, device.process)
        device.process.record_message()
        match message:
            case Ready():
                device.process.set_ready()
                device.capacity = message.capacity
                self._announce_slots()
            case Reported():
                return [message]
            case Finished():
                del device.trials[message.key]
                self._recycle_if_grown(device, device.process)
                return [message]
        return []

    def _announce_slots(self) -> None:
        """Reports the slots when all processes have measured their capacity, and when the sum changes."""
        is_measured = all(device.process.is_ready for device in self._devices if device.process is not None)
        if self._probe_config is not None and is_measured and self.slots != self._announced_slots:
            self._announced_slots = self.slots
            self._notify(f"Up to {self.slots} trials at a time, by measured memory.")

    def _recycle_if_grown(self, device: DeviceState, process: WorkerState) -> None:
        """Drains a process that has grown too large, and ends it when it has no trial left."""
        device.is_draining |= process.worker.memory_mib() > process.initial_mib + self._limits.memory_mib
        if device.is_draining and not device.trials:
            process.worker.reap()
            device.process, device.is_draining = None, False

    def _handle_process_exit(
        self, device: DeviceState, process: WorkerState, kill_reason: KillReason | None = None
    ) -> list[Event]:
        """Removes a dead process and returns the ends of its trials; another is started when a trial needs it."""
        worker_exit = process.worker.reap()
        device.process, device.is_draining = None, False
        if not process.is_ready and any(running.cancel_cause is None for running in device.trials.values()):
            self._restart_process(device, process, worker_exit, kill_reason)
            return []
        if kill_reason is None and worker_exit.cause is not Cause.CRASHED:  # mostly the kernel, for want of memory
            device.max_trials = device.capacity = max(1, device.capacity // 2)
        events: list[Event] = [
            Finished(key, running.outcome_of_exit(worker_exit, kill_reason)) for key, running in device.trials.items()
        ]
        device.trials.clear()
        return events

    def _restart_process(
        self, device: DeviceState, process: WorkerState, worker_exit: WorkerExit, kill_reason: KillReason | None
    ) -> None:
        """Starts another process in place of a process that died before it was ready; the device keeps its trials.

        If it was killed while it measured the capacity, the next process measures with half as many trials.
        """
        if self._probe_config is not None and worker_exit.cause is not Cause.CRASHED and device.probe_size > 1:
            device.probe_size //= 2
            device.capacity = min(device.capacity, device.probe_size)
            self._start_process(device)
        else:
            process.raise_if_restart_is_futile(worker_exit, kill_reason)
            self._start_process(device, process.start_attempts + 1)

    def _enforce_limits(self) -> list[Event]:
        """Kills processes that do not react; unread messages are handled first."""
        events: list[Event] = []
        for device in self._devices:
            process = device.process
            if process is None or not device.trials or process.worker.has_message():
                continue
            trials = device.trials.values()
            if kill_reason := process.unresponsive_reason(trials, self._limits, self._grace_seconds()):
                process.worker.kill()
                events += self._handle_process_exit(device, process, kill_reason)
        return events
