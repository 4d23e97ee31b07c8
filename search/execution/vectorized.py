"""The vectorised executor: one process a device, which trains its trials together as populations.

Many small networks in one program keep a GPU busy that one would leave idle; see ``search.training.population``. The
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

from search.execution.base import Capabilities, Event, Executor, Finished, Key, Reported
from search.execution.fate import check_start, outcome_of
from search.execution.limits import Limits, Verdict
from search.execution.messages import Alive, Allowance, Began, Cancel, Ready, Sample
from search.execution.packing import SAMPLED
from search.execution.process import WorkerProcess
from search.training.task import Task
from search.trial import Cause, Config, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """How the devices find out how many trials they take at a time.

    Args:
        baseline: As many as the memory holds of this configuration.
        tell: Hears how many that are.
    """

    baseline: Config
    tell: Callable[[str], None] = lambda _: None


@dataclass(slots=True)
class Device:
    """A device: its process, and the trials that run there, ``places`` at a time now, and never more than ``most``.

    How many it holds is measured with ``sample`` members.
    """

    number: int
    most: int
    places: int
    sample: int = SAMPLED
    worker: WorkerProcess | None = None
    ready: bool = False
    trials: dict[Key, Trial] = field(default_factory=dict)
    cancelled: dict[Key, tuple[Cause, float]] = field(default_factory=dict)
    sign_of_life: float = 0.0
    starts: int = 0
    fresh_mib: float = 0.0
    is_leaving: bool = False

    @property
    def room(self) -> int:
        """How many more trials it takes; less than none where it takes fewer than it did."""
        return 0 if self.is_leaving else self.places - len(self.trials)


class VectorizedExecutor(Executor):
    """Runs trials as populations, one process a device.

    Args:
        task: What all trials share; on JAX.
        workers: Trials at a time, over all devices; at most, where they are measured.
        log_dir: Folder for the processes' output; made if missing.
        limits: When a process is replaced or killed; those on a single trial do not apply, and ``memory_mib`` is what a
            process may take beyond its fresh memory.
        patience: Returns the seconds that trials which must stop are given now; ``limits.cancel_seconds`` if None.
        sizing: How the trials at a time are measured, until when a device takes a few; None for just ``workers``.
    """

    capabilities = Capabilities(survives_worker_death=False, ordered=False)

    def __init__(
        self,
        task: Task,
        *,
        workers: int,
        log_dir: Path,
        limits: Limits | None = None,
        patience: Callable[[], float] | None = None,
        sizing: Sizing | None = None,
    ) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._task, self._log_dir = task, log_dir
        self._limits = limits or Limits()
        self._patience = patience or (lambda: self._limits.cancel_seconds)
        self._sizing, self._started, self._told = sizing, 0, 0
        count = max(1, min(workers, len(task.runtime.gpus)))
        shares = [workers // count + (number < workers % count) for number in range(count)]
        known = workers if sizing is None else SAMPLED
        self._devices = [Device(number, most, min(most, known)) for number, most in enumerate(shares)]

    @property
    def slots(self) -> int:
        """How many trials may run at once; changes as devices find out how many they hold, or are to be replaced."""
        return sum(len(device.trials) + device.room for device in self._devices)

    @property
    def running(self) -> Mapping[Key, Trial]:
        """The trials that were submitted and have not finished."""
        return {key: trial for device in self._devices for key, trial in device.trials.items()}

    def submit(self, trial: Trial) -> None:
        """Hands a trial to the device with the most room."""
        device = max(self._devices, key=lambda one: one.room)
        if not device.trials:
            device.sign_of_life = time.monotonic()
        device.trials[trial.key] = trial
        if device.worker is None:
            self._start(device)
        else:
            device.worker.send(trial)

    def collect(self, timeout: float) -> list[Event]:
        """Returns what the processes said, and what became of those that had to be killed."""
        by_connection = {device.worker.connection: device for device in self._devices if device.worker is not None}
        events: list[Event] = []
        for connection in wait(list(by_connection), timeout):
            assert isinstance(connection, Connection)
            events += self._hear(by_connection[connection])
        return events + self._judge()

    def cancel(self, key: Key, cause: Cause) -> None:
        """Asks a trial to leave its population at the end of the epoch, or at once where all of them are asked to."""
        for device in self._devices:
            if key in device.trials and key not in device.cancelled:
                device.cancelled[key] = (cause, time.monotonic())
                if device.worker is not None:
                    device.worker.send(Cancel(key, cause))

    def close(self) -> None:
        """Stops all processes at once."""
        workers = [device.worker for device in self._devices if device.worker is not None]
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.bury()
        for device in self._devices:
            device.worker = None
            device.trials.clear()

    def _start(self, device: Device) -> None:
        """Starts a device's process, and hands it all the device's trials."""
        self._started += 1
        log = self._log_dir / f"worker-{self._started}.log"
        device.worker = WorkerProcess(self._task, log, device.number, "search.execution.population_worker")
        device.ready = False
        device.starts, device.sign_of_life = device.starts + 1, time.monotonic()
        device.worker.connection.send(Allowance(most=device.most, sample=self._sample(device)))
        for trial in device.trials.values():
            device.worker.send(trial)

    def _sample(self, device: Device) -> Sample | None:
        if self._sizing is None:
            return None
        phase = next(iter(device.trials.values())).phase
        return Sample(config=self._sizing.baseline, phase=phase, members=device.sample)

    def _hear(self, device: Device) -> list[Event]:
        """Reads one message of a device's process."""
        assert device.worker is not None
        if (message := device.worker.receive()) is None:
            return self._bury(device)
        device.sign_of_life = time.monotonic()
        match message:
            case Ready():
                device.ready, device.starts, device.places = True, 0, message.places
                device.fresh_mib = device.worker.memory_mib()
                self._say_slots()
                return []
            case Began() | Alive():
                return []
            case Finished():
                del device.trials[message.key]
                device.cancelled.pop(message.key, None)
                self._recycle(device, device.worker)
        assert isinstance(message, Reported | Finished)
        return [message]

    def _say_slots(self) -> None:
        """Tells of the slots when all devices have said how many they take, and when that changes."""
        is_known = all(device.ready for device in self._devices if device.worker is not None)
        if self._sizing is not None and is_known and self.slots != self._told:
            self._told = self.slots
            self._sizing.tell(f"Up to {self.slots} trials at a time, by measured memory.")

    def _recycle(self, device: Device, worker: WorkerProcess) -> None:
        """Has a process that has grown too large take no more trials, and ends it when it has none left."""
        device.is_leaving |= worker.memory_mib() > device.fresh_mib + self._limits.memory_mib
        if device.is_leaving and not device.trials:
            worker.bury()
            device.worker, device.is_leaving = None, False

    def _bury(self, device: Device, verdict: Verdict | None = None) -> list[Event]:
        """Forgets a process that died, and says what became of its trials; one is started when a trial needs it."""
        assert device.worker is not None
        death, device.worker, device.is_leaving = device.worker.bury(), None, False
        is_too_much = death.cause is not Cause.CRASHED and (verdict is None or verdict.cause is Cause.HUNG)
        if not device.ready and len(device.cancelled) < len(device.trials):
            if self._sizing is not None and is_too_much and device.sample > 1:  # it was measuring, mostly
                device.sample, device.starts = device.sample // 2, 0
                device.places = min(device.places, device.sample)
            check_start(death, device.starts, verdict)
            self._start(device)
            return []
        if verdict is None and is_too_much:
            device.most = device.places = max(1, device.places // 2)
        reasons = {key: device.cancelled.get(key, (None, 0.0))[0] for key in device.trials}
        device.trials.clear()
        device.cancelled.clear()
        outcomes = {key: outcome_of(death, verdict=verdict, cancelled=reason) for key, reason in reasons.items()}
        return [Finished(key, outcome) for key, outcome in outcomes.items()]

    def _judge(self) -> list[Event]:
        """Kills the processes that must not go on; one that has something to say is heard first."""
        events: list[Event] = []
        for device in self._devices:
            worker = device.worker
            if worker is None or not device.trials or worker.has_news():
                continue
            now, is_unwanted = time.monotonic(), len(device.cancelled) == len(device.trials)
            if is_unwanted and (not device.ready or now > self._last_cancel(device) + self._patience()):
                worker.kill()
                events += self._bury(device, Verdict(Cause.CANCELLED, ""))
            elif now > device.sign_of_life + self._limits.hang_seconds:
                worker.kill()
                events += self._bury(device, Verdict(Cause.HUNG, "The worker gave no sign of life and was killed."))
        return events

    @staticmethod
    def _last_cancel(device: Device) -> float:
        return max(since for _, since in device.cancelled.values())
