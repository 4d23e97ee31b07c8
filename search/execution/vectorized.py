"""The vectorised executor: one process a device, which trains its trials together as populations.

Many small networks in one program keep a GPU busy that one would leave idle; see ``search.training.population``. The
process keeps from the coordinator what would hurt it: the device's memory, compilation, a crash. One that dies costs
the trials it ran, which may be taken up again as after any fault of the machine; where it was killed, mostly for want
of memory, its successor takes half as many at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from search.errors import FatalError
from search.execution.base import Capabilities, Event, Executor, Finished, Key, Reported
from search.execution.limits import Limits, Verdict
from search.execution.messages import Alive, Began, Cancel, Ready
from search.execution.pool import MAX_STARTS
from search.execution.process import WorkerProcess
from search.training.task import Task
from search.trial import Cause, Outcome, State, Trial


@dataclass(slots=True)
class Device:
    """A device's place: its process, and the trials that run there."""

    number: int
    most: int
    worker: WorkerProcess | None = None
    ready: bool = False
    trials: dict[Key, Trial] = field(default_factory=dict)
    cancelled: dict[Key, tuple[Cause, float]] = field(default_factory=dict)
    sign_of_life: float = 0.0
    starts: int = 0


class VectorizedExecutor(Executor):
    """Runs trials as populations, one process a device.

    Args:
        task: What all trials share; on JAX.
        workers: Trials at a time, over all devices.
        log_dir: Folder for the processes' output; made if missing.
        limits: When a process is killed; those on a single trial do not apply.
        patience: Returns the seconds that trials which must stop are given now; ``limits.cancel_seconds`` if None.
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
    ) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._task, self._log_dir = task, log_dir
        self._limits = limits or Limits()
        self._patience = patience or (lambda: self._limits.cancel_seconds)
        self._started = 0
        count = max(1, min(workers, len(task.runtime.gpus)))
        self._devices = [Device(number, workers // count + (number < workers % count)) for number in range(count)]

    @property
    def slots(self) -> int:
        """How many trials may run at once."""
        return sum(device.most for device in self._devices)

    @property
    def running(self) -> Mapping[Key, Trial]:
        """The trials that were submitted and have not finished."""
        return {key: trial for device in self._devices for key, trial in device.trials.items()}

    def submit(self, trial: Trial) -> None:
        """Hands a trial to the device with the most room."""
        device = max(self._devices, key=lambda one: one.most - len(one.trials))
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
        device.worker.connection.send(device.most)
        for trial in device.trials.values():
            device.worker.send(trial)

    def _hear(self, device: Device) -> list[Event]:
        """Reads one message of a device's process."""
        assert device.worker is not None
        if (message := device.worker.receive()) is None:
            return self._bury(device)
        device.sign_of_life = time.monotonic()
        match message:
            case Ready():
                device.ready, device.starts = True, 0
                return []
            case Began() | Alive():
                return []
            case Finished():
                del device.trials[message.key]
                device.cancelled.pop(message.key, None)
        assert isinstance(message, Reported | Finished)
        return [message]

    def _bury(self, device: Device, verdict: Verdict | None = None) -> list[Event]:
        """Forgets a process that died, and says what became of its trials; one is started when a trial needs it."""
        assert device.worker is not None
        death, device.worker = device.worker.bury(), None
        if not device.ready and len(device.cancelled) < len(device.trials):
            if death.cause is Cause.CRASHED or device.starts >= MAX_STARTS:
                raise FatalError(
                    f"A worker could not start. {death.message}\n{death.words}",
                    hint=f"Its whole output stands in {death.log}.",
                )
            self._start(device)
            return []
        if verdict is None and death.cause is not Cause.CRASHED:
            device.most = max(1, device.most // 2)
        cause, message = (verdict.cause, verdict.message) if verdict else (death.cause, death.message)
        failed = Outcome(state=State.FAILED, cause=cause, message=message, traceback=death.words)
        reasons = {key: device.cancelled.get(key, (None, 0.0))[0] for key in device.trials}
        device.trials.clear()
        device.cancelled.clear()
        return [Finished(key, failed if reason is None else _interrupted(reason)) for key, reason in reasons.items()]

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


def _interrupted(reason: Cause) -> Outcome:
    return Outcome(state=State.INTERRUPTED, cause=reason, message=reason.value)
