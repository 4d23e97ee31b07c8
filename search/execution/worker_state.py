"""The state of a worker and of its trials: limits, reasons to kill a worker, and outcomes after it ended.

Used by the executors on worker processes: ``search.execution.pool`` and ``search.execution.vectorized``.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

from search.errors import FatalError
from search.execution.messages import Cancel, RunTrial
from search.execution.worker_backend import Worker, WorkerExit
from search.trial import NO_FILES, Cause, Outcome, State, Trial, TrialFiles

MAX_START_ATTEMPTS = 3
"""How often a worker that ends before it is ready is started."""
CPU_SAMPLE_SECONDS = 5.0
"""Least time over which a worker's use of the CPU is measured; Linux counts it in hundredths of a second."""
MIN_CPU_SHARE = 0.005
"""Share of a core from which on a worker counts as computing. One that waits was measured to use 0.0000; one that
computes at the lowest priority, beside a process of normal priority on each core, has a share of 0.014."""


@dataclass(frozen=True, slots=True)
class KillReason:
    """Why an executor kills a worker: the cause of its trials' failure, and a message."""

    cause: Cause
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """Limits on workers.

    Args:
        max_trials: Trials after which a worker is replaced.
        memory_mib: Resident memory, in MiB, above which a worker is replaced once its trial has ended.
        trial_memory_mib: Resident memory, in MiB, above which a worker is killed and its trial fails; None for no
            limit.
        hang_seconds: Time without a message during which a worker does not compute either, after which it is killed and
            its trial fails. A long step sends no message, but uses the CPU.
        step_seconds: Time of computing without a message after which a worker is killed, as in a loop without an end.
        cancel_grace_seconds: Time that a cancelled trial has to stop by itself before its worker is killed.
    """

    max_trials: int = 25
    memory_mib: float = 4096.0
    trial_memory_mib: float | None = None
    hang_seconds: float = 300.0
    step_seconds: float = 3600.0
    cancel_grace_seconds: float = 20.0

    def recycle_threshold_mib(self, initial_mib: float) -> float:
        """Returns the memory above which a worker is replaced after its next trial.

        Memory left by earlier trials may take half of the difference between a trial's limit and ``initial_mib``, so
        that no trial is killed for it.

        Args:
            initial_mib: Memory of the worker before its first trial.
        """
        if self.trial_memory_mib is None:
            return self.memory_mib
        return min(self.memory_mib, (initial_mib + self.trial_memory_mib) / 2)

    def memory_kill_reason(self, used_mib: float, initial_mib: float) -> KillReason | None:
        """Returns why a worker with so much memory is killed, or None."""
        if self.trial_memory_mib is None or used_mib <= self.trial_memory_mib:
            return None
        message = (
            f"The worker took {used_mib / 1024:.2f} GiB of memory, {initial_mib / 1024:.2f} GiB of them before its "
            f"first trial; the limit is {self.trial_memory_mib / 1024:.2f} GiB. Raise --trial-memory, or narrow the "
            "space with --range."
        )
        return KillReason(Cause.OUT_OF_MEMORY, message)


@dataclass(slots=True)
class RunningTrial:
    """A submitted trial.

    Args:
        trial: The trial.
        files: Its files.
        started_at: When a worker began it, by the monotonic clock; None while it waits for one.
        cancel_cause: Why it must stop; None if it was not cancelled.
        cancelled_at: When it was cancelled, by the monotonic clock.
    """

    trial: Trial
    files: TrialFiles = NO_FILES
    started_at: float | None = None
    cancel_cause: Cause | None = None
    cancelled_at: float = 0.0

    def cancel(self, cause: Cause, worker: Worker | None) -> None:
        """Asks the trial's worker to stop it; only the first call counts."""
        if self.cancel_cause is None:
            self.cancel_cause, self.cancelled_at = cause, time.monotonic()
            if worker is not None:
                worker.send(Cancel(self.trial.key, cause))

    def send_to(self, worker: Worker) -> None:
        """Sends the trial to a worker, and its cancellation if there is one."""
        worker.send(RunTrial(self.trial, self.files))
        if self.cancel_cause is not None:
            worker.send(Cancel(self.trial.key, self.cancel_cause))

    def outcome_of_exit(self, worker_exit: WorkerExit, kill_reason: KillReason | None) -> Outcome:
        """Returns the trial's outcome after its worker ended; a cancelled trial is interrupted and has not failed."""
        if self.cancel_cause is not None:
            return Outcome(state=State.INTERRUPTED, cause=self.cancel_cause, message=self.cancel_cause.value)
        failure = kill_reason or KillReason(worker_exit.cause, worker_exit.message)
        return Outcome(state=State.FAILED, cause=failure.cause, message=failure.message, traceback=worker_exit.log_tail)


@dataclass(slots=True)
class WorkerState:
    """A worker and what its executor knows of it.

    Args:
        worker: The worker.
        start_attempts: Workers started for the same slot until one is ready, this one included.
        is_ready: Whether it has sent ``Ready``.
        initial_mib: Resident memory before its first trial, in MiB.
        trials_run: Trials that ended.
        last_message: When it last sent a message or was given work, by the monotonic clock.
        last_active: When it was last seen to compute, by the monotonic clock.
        sampled_at: When its processor time was last read, by the monotonic clock.
        cpu_seconds: Processor time that it had used then.
        computed_seconds: Time since its last message in which it computed.
    """

    worker: Worker
    start_attempts: int = 1
    is_ready: bool = False
    initial_mib: float = 0.0
    trials_run: int = 0
    last_message: float = field(default_factory=time.monotonic)
    last_active: float = field(default_factory=time.monotonic)
    sampled_at: float = field(default_factory=time.monotonic)
    cpu_seconds: float = 0.0
    computed_seconds: float = 0.0

    def set_ready(self) -> None:
        """Records that the worker is ready for trials."""
        self.is_ready, self.initial_mib = True, self.worker.memory_mib()

    def record_message(self) -> None:
        """Records that the worker has sent a message or was given work."""
        self.last_message, self.computed_seconds = time.monotonic(), 0.0

    def unresponsive_reason(
        self, trials: Collection[RunningTrial], limits: WorkerLimits, grace_seconds: float
    ) -> KillReason | None:
        """Returns why the worker must be killed for not reacting, or None.

        A worker whose trials are all cancelled has the grace period to stop them. Before it is ready it has trained
        nothing and cannot react for seconds, so then it has none.

        Args:
            trials: What it runs, at least one trial.
            limits: The limits on a worker that sends no message.
            grace_seconds: The grace period.
        """
        now = time.monotonic()
        if all(running.cancel_cause is not None for running in trials):
            is_over = not self.is_ready or now > max(running.cancelled_at for running in trials) + grace_seconds
            return KillReason(Cause.CANCELLED, "") if is_over else None
        self._observe_cpu(now)
        if self.computed_seconds > limits.step_seconds:
            message = (
                f"No step of training ended within {limits.step_seconds:g} s, although the worker computed. Expected: "
                "shorter steps. Reduce batch_size or the widths with --range, or mend the model's builder if it "
                "does not end."
            )
            return KillReason(Cause.TRIAL_TIMEOUT, message)
        if now - max(self.last_message, self.last_active) > limits.hang_seconds:
            message = f"The worker sent no message and did not compute for {limits.hang_seconds:g} s; it was killed."
            return KillReason(Cause.HUNG, message)
        return None

    def _observe_cpu(self, now: float) -> None:
        """Updates ``last_active`` and ``computed_seconds`` if the worker has used the CPU since the last sample.

        The executor measures this from outside, since a step may hold Python's interpreter lock until it ends. After a
        long gap between samples the executor did not run either, as while a container is paused: the worker counts as
        alive, and most of the gap not as time that it had for its step.
        """
        unobserved = now - max(self.last_message, self.sampled_at)
        if unobserved < CPU_SAMPLE_SECONDS:
            return
        used = self.worker.cpu_seconds()
        is_computing = used - self.cpu_seconds >= MIN_CPU_SHARE * (now - self.sampled_at)
        if is_computing or unobserved > 2 * CPU_SAMPLE_SECONDS:
            self.last_active = now
            self.computed_seconds += min(unobserved, 2 * CPU_SAMPLE_SECONDS)
        self.sampled_at, self.cpu_seconds = now, used

    def raise_if_restart_is_futile(self, worker_exit: WorkerExit, kill_reason: KillReason | None) -> None:
        """Checks that a worker that ended before it was ready may be started again.

        Args:
            worker_exit: How it ended.
            kill_reason: Why the executor killed it, if it did.

        Raises:
            FatalError: It crashed, or was started too often.
        """
        if worker_exit.cause is Cause.CRASHED or self.start_attempts >= MAX_START_ATTEMPTS:
            message = kill_reason.message if kill_reason else worker_exit.message
            raise FatalError(
                f"A worker could not start. {message}\n{worker_exit.log_tail}".rstrip(),
                hint=f"Its whole output is in {worker_exit.log_path}." if worker_exit.log_path else "",
            )
