"""The vectorised executor: one process a device, which trains its trials together as populations.

Many small networks in one program keep a GPU busy that one would leave idle; see ``search.training.vectorized``. The
process keeps from the coordinator what would hurt it: the device's memory, compilation, a crash. Where nobody said how
many trials it takes at a time, it measures that before it is ready. One that dies costs the trials it ran, which may be
taken up again as after any fault of the machine; where it was killed, mostly for want of memory, its successor takes
half as many at a time. JAX does not give back all that a program took, so a process that has grown takes no more trials
and is replaced when its last has ended; never beside a successor, since a device's memory holds one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from search.execution.base import Event, Executor, Finished, Reported, TrialKey
from search.execution.local import WorkerProcess
from search.execution.messages import Cancel, Capacity, ProbePopulation, Ready, TrialStarted, WorkerHeartbeat
from search.execution.worker_failures import (
    KillReason,
    WorkerLimits,
    outcome_of_worker_exit,
    raise_if_restart_is_futile,
)
from search.training.task import Task
from search.trial import Cause, Config, Trial

PROBE_POPULATION_SIZE = 8
"""Members by which a device measures how large a population it holds; until it has, it takes as many trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityProbe:
    """How the devices find out how many trials they take at a time.

    Args:
        baseline: As many as the memory holds of this configuration.
        notify: Hears how many that are.
    """

    baseline: Config
    notify: Callable[[str], None] = lambda _: None


@dataclass(slots=True)
class DeviceState:
    """A device: its process and the trials that run there, ``capacity`` at a time now, ``max_trials`` at most.

    How many it holds is measured with ``probe_size`` members.
    """

    number: int
    max_trials: int
    capacity: int
    probe_size: int = PROBE_POPULATION_SIZE
    worker: WorkerProcess | None = None
    ready: bool = False
    trials: dict[TrialKey, Trial] = field(default_factory=dict)
    cancellations: dict[TrialKey, tuple[Cause, float]] = field(default_factory=dict)
    last_heartbeat: float = 0.0
    start_attempts: int = 0
    initial_mib: float = 0.0
    is_draining: bool = False

    @property
    def free_capacity(self) -> int:
        """How many more trials it takes; less than none where it takes fewer than it did."""
        return 0 if self.is_draining else self.capacity - len(self.trials)


class VectorizedExecutor(Executor):
    """Runs trials as populations, one process a device.

    Args:
        task: What all trials share; on JAX.
        workers: Trials at a time, over all devices; at most, where they are measured.
        log_dir: Folder for the processes' output; made if missing.
        limits: When a process is replaced or killed; those on a single trial do not apply, and ``memory_mib`` is what a
            process may take beyond its fresh memory.
        grace_seconds: Returns the seconds that trials which must stop are given now; ``limits.cancel_seconds`` if None.
        capacity_probe: How the trials at a time are measured, until when a device takes a few; None for just
            ``workers``.
    """

    def __init__(
        self,
        task: Task,
        *,
        workers: int,
        log_dir: Path,
        limits: WorkerLimits | None = None,
        grace_seconds: Callable[[], float] | None = None,
        capacity_probe: CapacityProbe | None = None,
    ) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._task, self._log_dir = task, log_dir
        self._limits = limits or WorkerLimits()
        self._grace_seconds = grace_seconds or (lambda: self._limits.cancel_grace_seconds)
        self._capacity_probe, self._start_count, self._announced_slots = capacity_probe, 0, 0
        device_count = max(1, min(workers, len(task.runtime.gpus)))
        shares = [workers // device_count + (number < workers % device_count) for number in range(device_count)]
        initial_capacity = workers if capacity_probe is None else PROBE_POPULATION_SIZE
        self._devices = [DeviceState(number, most, min(most, initial_capacity)) for number, most in enumerate(shares)]

    @property
    def slots(self) -> int:
        """How many trials may run at once; changes as devices find out how many they hold, or are to be replaced."""
        return sum(len(device.trials) + device.free_capacity for device in self._devices)

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        """The trials that were submitted and have not finished."""
        return {key: trial for device in self._devices for key, trial in device.trials.items()}

    def submit(self, trial: Trial) -> None:
        """Hands a trial to the device with the most room."""
        device = max(self._devices, key=lambda one: one.free_capacity)
        if not device.trials:
            device.last_heartbeat = time.monotonic()
        device.trials[trial.key] = trial
        if device.worker is None:
            self._start_worker(device)
        else:
            device.worker.send(trial)

    def collect(self, timeout: float) -> list[Event]:
        """Returns what the processes said, and what became of those that had to be killed."""
        device_by_connection = {
            device.worker.connection: device for device in self._devices if device.worker is not None
        }
        events: list[Event] = []
        for connection in wait(list(device_by_connection), timeout):
            assert isinstance(connection, Connection)
            events += self._handle_message(device_by_connection[connection])
        return events + self._enforce_limits()

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        """Asks a trial to leave its population at the end of the epoch, or at once where all of them are asked to."""
        for device in self._devices:
            if key in device.trials and key not in device.cancellations:
                device.cancellations[key] = (cause, time.monotonic())
                if device.worker is not None:
                    device.worker.send(Cancel(key, cause))

    def close(self) -> None:
        """Stops all processes at once."""
        workers = [device.worker for device in self._devices if device.worker is not None]
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.reap()
        for device in self._devices:
            device.worker = None
            device.trials.clear()

    def _start_worker(self, device: DeviceState) -> None:
        """Starts a device's process, and hands it all the device's trials."""
        self._start_count += 1
        log = self._log_dir / f"worker-{self._start_count}.log"
        device.worker = WorkerProcess(self._task, log, device.number, "search.execution.vectorized_worker")
        device.ready = False
        device.start_attempts, device.last_heartbeat = device.start_attempts + 1, time.monotonic()
        device.worker.connection.send(
            Capacity(max_trials=device.max_trials, probe_population=self._probe_population(device))
        )
        for trial in device.trials.values():
            device.worker.send(trial)

    def _probe_population(self, device: DeviceState) -> ProbePopulation | None:
        if self._capacity_probe is None:
            return None
        phase = next(iter(device.trials.values())).phase
        return ProbePopulation(config=self._capacity_probe.baseline, phase=phase, size=device.probe_size)

    def _handle_message(self, device: DeviceState) -> list[Event]:
        """Reads one message of a device's process."""
        assert device.worker is not None
        if (message := device.worker.receive()) is None:
            return self._handle_worker_exit(device)
        device.last_heartbeat = time.monotonic()
        match message:
            case Ready():
                device.ready, device.start_attempts, device.capacity = True, 0, message.capacity
                device.initial_mib = device.worker.memory_mib()
                self._announce_slots()
                return []
            case TrialStarted() | WorkerHeartbeat():
                return []
            case Finished():
                del device.trials[message.key]
                device.cancellations.pop(message.key, None)
                self._recycle_if_grown(device, device.worker)
        assert isinstance(message, Reported | Finished)
        return [message]

    def _announce_slots(self) -> None:
        """Tells of the slots when all devices have said how many they take, and when that changes."""
        is_measured = all(device.ready for device in self._devices if device.worker is not None)
        if self._capacity_probe is not None and is_measured and self.slots != self._announced_slots:
            self._announced_slots = self.slots
            self._capacity_probe.notify(f"Up to {self.slots} trials at a time, by measured memory.")

    def _recycle_if_grown(self, device: DeviceState, worker: WorkerProcess) -> None:
        """Has a process that has grown too large take no more trials, and ends it when it has none left."""
        device.is_draining |= worker.memory_mib() > device.initial_mib + self._limits.memory_mib
        if device.is_draining and not device.trials:
            worker.reap()
            device.worker, device.is_draining = None, False

    def _handle_worker_exit(self, device: DeviceState, kill_reason: KillReason | None = None) -> list[Event]:
        """Forgets a process that died, and says what became of its trials; one is started when a trial needs it."""
        assert device.worker is not None
        worker_exit, device.worker, device.is_draining = device.worker.reap(), None, False
        is_out_of_memory = worker_exit.cause is not Cause.CRASHED and (
            kill_reason is None or kill_reason.cause is Cause.HUNG
        )
        if not device.ready and len(device.cancellations) < len(device.trials):
            if (
                self._capacity_probe is not None and is_out_of_memory and device.probe_size > 1
            ):  # it was measuring, mostly
                device.probe_size, device.start_attempts = device.probe_size // 2, 0
                device.capacity = min(device.capacity, device.probe_size)
            raise_if_restart_is_futile(worker_exit, device.start_attempts, kill_reason)
            self._start_worker(device)
            return []
        if kill_reason is None and is_out_of_memory:
            device.max_trials = device.capacity = max(1, device.capacity // 2)
        cancel_causes = {key: device.cancellations.get(key, (None, 0.0))[0] for key in device.trials}
        device.trials.clear()
        device.cancellations.clear()
        outcomes = {
            key: outcome_of_worker_exit(worker_exit, kill_reason=kill_reason, cancel_cause=reason)
            for key, reason in cancel_causes.items()
        }
        return [Finished(key, outcome) for key, outcome in outcomes.items()]

    def _enforce_limits(self) -> list[Event]:
        """Kills the processes that must not go on; one that has something to say is heard first."""
        events: list[Event] = []
        for device in self._devices:
            worker = device.worker
            if worker is None or not device.trials or worker.has_message():
                continue
            now, is_all_cancelled = time.monotonic(), len(device.cancellations) == len(device.trials)
            if is_all_cancelled and (not device.ready or now > self._last_cancelled_at(device) + self._grace_seconds()):
                worker.kill()
                events += self._handle_worker_exit(device, KillReason(Cause.CANCELLED, ""))
            elif now > device.last_heartbeat + self._limits.hang_seconds:
                worker.kill()
                events += self._handle_worker_exit(
                    device, KillReason(Cause.HUNG, "The worker gave no sign of life and was killed.")
                )
        return events

    @staticmethod
    def _last_cancelled_at(device: DeviceState) -> float:
        return max(since for _, since in device.cancellations.values())
