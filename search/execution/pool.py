"""The executor that keeps a pool of warm workers busy, wherever they run, one trial each at a time.

Importing TensorFlow takes seconds, so a worker serves many trials; TensorFlow does not give memory back
(tensorflow#36465: 9 to 13 MB a trial), so a worker is replaced after some, while its successor warms up. A worker that
dies or hangs costs the trial it ran; so does one that does not stop when it must, or takes too much memory.

How workers are started and heard is the staff's business: processes of this machine (``search.execution.local``) or
actors of a cluster (``search.execution.cluster``).
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search.execution.base import Capabilities, Event, Executor, Finished, Key, Reported
from search.execution.fate import check_start, outcome_of
from search.execution.limits import Limits, Verdict
from search.execution.messages import Alive, Began, Cancel, Message, Ready
from search.execution.staff import Death, Staff, Worker
from search.training.task import Task
from search.trial import Cause, Outcome, Trial


@dataclass(slots=True)
class Member:
    """A worker and its service."""

    worker: Worker
    ready: bool = False
    served: int = 0
    fresh_mib: float = 0.0


@dataclass(slots=True)
class Slot:
    """A place for one trial at a time, and the worker that serves it."""

    number: int
    member: Member
    successor: Member | None = None
    trial: Trial | None = None
    began: float | None = None
    sign_of_life: float = 0.0
    cancelled: tuple[Cause, float] | None = None
    starts: int = 1

    @property
    def members(self) -> list[Member]:
        """The worker, and its successor where it has one."""
        return [self.member] if self.successor is None else [self.member, self.successor]


class PoolExecutor(Executor):
    """Runs trials on warm workers, which are started as they are first needed.

    Args:
        staff: Starts and hears the workers; closed with the executor.
        task: What all trials share.
        limits: When a worker is replaced.
        patience: Returns the seconds that a trial which must stop is given now; ``limits.cancel_seconds`` if None.
    """

    capabilities = Capabilities(survives_worker_death=True, ordered=False)

    def __init__(
        self,
        staff: Staff,
        task: Task,
        *,
        limits: Limits | None = None,
        patience: Callable[[], float] | None = None,
    ) -> None:
        self._staff, self._task, self._limits = staff, task, limits or Limits()
        self._patience = patience or (lambda: self._limits.cancel_seconds)
        self._slots: dict[int, Slot] = {}

    @property
    def slots(self) -> int:
        """How many trials may run at once; changes with what a cluster has to give."""
        return self._staff.slots

    @property
    def running(self) -> Mapping[Key, Trial]:
        """The trials that were submitted and have not finished."""
        return {slot.trial.key: slot.trial for slot in self._slots.values() if slot.trial is not None}

    def submit(self, trial: Trial) -> None:
        """Hands a trial to a free worker; the last one it may serve also starts its successor."""
        slot = self._free_slot()
        slot.trial, slot.began, slot.cancelled, slot.sign_of_life = trial, None, None, time.monotonic()
        member = slot.member
        too_old = member.served + 1 >= self._limits.trials
        if too_old or member.worker.memory_mib() > self._limits.recycle_mib(member.fresh_mib):
            slot.successor = slot.successor or self._hire(slot.number)
        if member.ready:
            member.worker.send(trial)

    def collect(self, timeout: float) -> list[Event]:
        """Returns what the workers said, and what became of those that had to be killed."""
        serving = {slot.member.worker: slot for slot in self._slots.values()}
        events: list[Event] = []
        for worker, message in self._staff.wait(list(serving), timeout):
            if serving[worker].member.worker is worker:  # else what it said before has ended its service
                events += self._hear(serving[worker], message)
        return events + self._judge()

    def cancel(self, key: Key, cause: Cause) -> None:
        """Asks a running trial to stop at its next step boundary."""
        for slot in self._slots.values():
            if slot.trial is not None and slot.trial.key == key and slot.cancelled is None:
                slot.cancelled = (cause, time.monotonic())
                slot.member.worker.send(Cancel(key, cause))

    def close(self) -> None:
        """Stops all workers at once."""
        workers = [member.worker for slot in self._slots.values() for member in slot.members]
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.bury()
        self._slots.clear()
        self._staff.close()

    def _free_slot(self) -> Slot:
        """Returns a slot without a trial; workers are started as they are first needed, or needed again."""
        free = [slot for slot in self._slots.values() if slot.trial is None]
        if not free:
            number = next(number for number in itertools.count() if number not in self._slots)
            free = [Slot(number, self._hire(number))]
            self._slots[number] = free[0]
        return next((slot for slot in free if slot.member.ready), free[0])

    def _hire(self, slot: int) -> Member:
        return Member(self._staff.hire(slot))

    def _hear(self, slot: Slot, message: Message | None) -> list[Event]:
        """Takes one message of a slot's worker; None where it is dead."""
        if message is None:
            return self._bury(slot)
        slot.sign_of_life = time.monotonic()
        match message:
            case Ready():
                slot.member.ready, slot.member.fresh_mib = True, slot.member.worker.memory_mib()
                slot.starts = 1
                self._begin_service(slot)
                self._help(slot)
            case Began():
                slot.began = slot.sign_of_life
            case Alive():
                pass
            case Reported():
                return [message]
            case Finished():
                return [self._release(slot, message)]
        return []

    def _begin_service(self, slot: Slot) -> None:
        """Hands a worker that is ready the trial that waits for it."""
        member = slot.member
        if slot.trial is not None:
            member.worker.send(slot.trial)
            if slot.cancelled is not None:
                member.worker.send(Cancel(slot.trial.key, slot.cancelled[0]))

    def _release(self, slot: Slot, finished: Finished) -> Finished:
        """Frees a slot after its trial; a worker with a successor has served its last."""
        node = slot.member.worker.node
        slot.trial = None
        slot.member.served += 1
        if slot.successor is not None:
            slot.member.worker.bury()
            slot.member, slot.successor = slot.successor, None
        self._help(slot)
        return Finished(finished.key, _on(node, finished.outcome))

    def _help(self, free: Slot) -> None:
        """Has a free worker that is ready take the trial of one that is not, which may wait for room for long.

        The workers stay where they are: on GPUs, the slot says which one a worker uses.
        """
        waiting = (slot for slot in self._slots.values() if slot.trial is not None and not slot.member.ready)
        if free.trial is None and free.member.ready and (slot := next(waiting, None)) is not None:
            free.trial, free.cancelled, slot.trial, slot.cancelled = slot.trial, slot.cancelled, None, None
            free.began, free.sign_of_life = None, time.monotonic()
            self._begin_service(free)

    def _bury(self, slot: Slot, verdict: Verdict | None = None) -> list[Event]:
        """Takes a worker that died out of its slot, and says what became of its trial.

        Its successor takes over; where there is none, one is started when a trial needs it.
        """
        dead, trial, node = slot.member, slot.trial, slot.member.worker.node
        death = dead.worker.bury()
        if not dead.ready and slot.cancelled is None:
            return self._restart(slot, death, verdict)
        if slot.successor is not None:
            self._slots[slot.number] = Slot(slot.number, slot.successor)
        else:
            del self._slots[slot.number]
        if trial is None:
            return []
        reason = slot.cancelled[0] if slot.cancelled is not None else None
        outcome = outcome_of(death, verdict=verdict, cancelled=reason)
        return [Finished(trial.key, _on(node, outcome))]

    def _restart(self, slot: Slot, death: Death, verdict: Verdict | None) -> list[Event]:
        """Starts again a worker that died before it was ready; the trial that waited for it is not lost."""
        check_start(death, slot.starts, verdict)
        slot.member, slot.starts = self._hire(slot.number), slot.starts + 1
        slot.sign_of_life = time.monotonic()
        return []

    def _judge(self) -> list[Event]:
        """Kills the workers whose trial must not go on; one that has something to say is heard first."""
        events: list[Event] = []
        for slot in list(self._slots.values()):
            if slot.trial is None or slot.member.worker.has_news():
                continue
            if verdict := self._verdict(slot, slot.trial, time.monotonic()):
                slot.member.worker.kill()
                events += self._bury(slot, verdict)
        return events

    def _verdict(self, slot: Slot, trial: Trial, now: float) -> Verdict | None:
        """Returns why a worker must be killed, or None."""
        member = slot.member
        if slot.cancelled is not None:
            cause, since = slot.cancelled
            # A worker that is not ready has trained nothing yet, and could heed nobody for seconds.
            return Verdict(cause, "") if not member.ready or now > since + self._patience() else None
        if now > slot.sign_of_life + self._limits.hang_seconds:
            return Verdict(Cause.HUNG, "The worker gave no sign of life and was killed.")
        seconds = self._task.limit_seconds(trial.phase)
        if seconds is not None and slot.began is not None and now > slot.began + seconds + self._patience():
            message = f"It took longer than a trial may, {seconds:g} s, and did not stop by itself."
            return Verdict(Cause.TRIAL_TIMEOUT, message)
        return self._limits.too_large(member.worker.memory_mib(), member.fresh_mib) if member.ready else None


def _on(node: str, outcome: Outcome) -> Outcome:
    """Returns the outcome with the node that it came from; this machine is not named."""
    return dataclasses.replace(outcome, environment={**outcome.environment, "node": node}) if node else outcome
