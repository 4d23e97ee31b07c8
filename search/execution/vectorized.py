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
from search.execution.local import MAX_STARTS, Limits
from search.execution.messages import Alive, Began, Cancel, Ready
from search.execution.process import Worker, failure
from search.training.task import Task
from search.trial import Cause, Outcome, State, Trial


@dataclass(slots=True)
class Device:
    """A device's place: its process, and the trials that run there."""

    number: int
    most: int
    worker: Worker | None = None
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
            self._send(device, trial)

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
                self._send(device, Cancel(key, cause))

    def close(self) -> None:
        """Stops all processes at once."""
        workers = [device.worker for device in self._devices if device.worker is not None]
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.stop()
        for device in self._devices:
            device.worker = None
            device.trials.clear()

    def _start(self, device: Device) -> None:
        """Starts a device's process, and hands it all the device's trials."""
        self._started += 1
        log = self._log_dir / f"worker-{self._started}.log"
        device.worker = Worker(self._task, log, device.number, "search.execution.population_worker")
        device.starts, device.sign_of_life = device.starts + 1, time.monotonic()
        self._send(device, device.most)
        for trial in device.trials.values():
            self._send(device, trial)

    @staticmethod
    def _send(device: Device, message: Trial | Cancel | int) -> None:
        assert device.worker is not None
        try:
            device.worker.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return  # it died; collect will hear the closed pipe and say so

    def _hear(self, device: Device) -> list[Event]:
        """Reads one message of a device's process."""
        assert device.worker is not None
        try:
            message = device.worker.connection.recv()
        except (EOFError, OSError):  # OSError: killed in the middle of a message
            return self._bury(device)
        device.sign_of_life = time.monotonic()
        match message:
            case Ready():
                device.worker.ready, device.starts = True, 0
                return []
            case Began() | Alive():
                return []
            case Finished():
                del device.trials[message.key]
                device.cancelled.pop(message.key, None)
        assert isinstance(message, Reported | Finished)
        return [message]

    def _bury(self, device: Device, cause: Cause | None = None, message: str = "") -> list[Event]:
        """Forgets a process that died, and says what became of its trials; one is started when a trial needs it."""
        dead = device.worker
        assert dead is not None
        code, device.worker = dead.stop(), None
        if not dead.ready and len(device.cancelled) < len(device.trials):
            if code >= 0 or device.starts >= MAX_STARTS:
                raise FatalError(
                    f"A worker process could not start. Received: exit code {code}.\n{dead.last_words()}",
                    hint=f"Its whole output stands in {dead.log}.",
                )
            self._start(device)
            return []
        if cause is None and code < 0:
            device.most = max(1, device.most // 2)
        events: list[Event] = []
        for key in device.trials:
            if key in device.cancelled:
                reason = device.cancelled[key][0]
                outcome = Outcome(state=State.INTERRUPTED, cause=reason, message=reason.value)
            else:
                outcome = failure(cause, message, code, dead)
            events.append(Finished(key, outcome))
        device.trials.clear()
        device.cancelled.clear()
        return events

    def _judge(self) -> list[Event]:
        """Kills the processes that must not go on; one that has something to say is heard first."""
        events: list[Event] = []
        for device in self._devices:
            worker = device.worker
            if worker is None or not device.trials or worker.connection.poll():
                continue
            now, is_unwanted = time.monotonic(), len(device.cancelled) == len(device.trials)
            if is_unwanted and (not worker.ready or now > self._last_cancel(device) + self._patience()):
                worker.process.kill()
                events += self._bury(device, Cause.CANCELLED)
            elif now > device.sign_of_life + self._limits.hang_seconds:
                worker.process.kill()
                events += self._bury(device, Cause.HUNG, "The worker gave no sign of life and was killed.")
        return events

    @staticmethod
    def _last_cancel(device: Device) -> float:
        return max(since for _, since in device.cancelled.values())
