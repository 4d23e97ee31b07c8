"""When a worker is replaced, and why one is killed. Plain values; the pool judges by them.

What is made of a worker's death, whichever executor it worked for: an outcome of its trial, or the study's end.
"""

from __future__ import annotations

from dataclasses import dataclass

from search.errors import FatalError
from search.execution.worker_backend import WorkerExit
from search.trial import Cause, Outcome, State

MAX_START_ATTEMPTS = 3
"""How often a worker that dies before it is ready is started again."""


def raise_if_restart_is_futile(worker_exit: WorkerExit, start_attempts: int, kill_reason: KillReason | None) -> None:
    """Makes sure that a worker that died before it was ready may be started again.

    Args:
        worker_exit: How it ended.
        start_attempts: How often it was started.
        kill_reason: Why it was killed here, if it was.

    Raises:
        FatalError: The next one would fare no better.
    """
    if worker_exit.cause is Cause.CRASHED or start_attempts >= MAX_START_ATTEMPTS:
        raise FatalError(
            (
                "A worker could not start. "
                f"{kill_reason.message if kill_reason else worker_exit.message}\n{worker_exit.log_tail}"
            ).rstrip(),
            hint=f"Its whole output stands in {worker_exit.log_path}." if worker_exit.log_path else "",
        )


def outcome_of_worker_exit(
    worker_exit: WorkerExit, *, kill_reason: KillReason | None, cancel_cause: Cause | None
) -> Outcome:
    """Returns what became of a trial whose worker died.

    Args:
        worker_exit: How the worker ended.
        kill_reason: Why it was killed here, if it was.
        cancel_cause: Why the trial had to stop, if it had: then its worker's death is no failure.
    """
    if cancel_cause is not None:
        return Outcome(state=State.INTERRUPTED, cause=cancel_cause, message=cancel_cause.value)
    failure = kill_reason or KillReason(worker_exit.cause, worker_exit.message)
    return Outcome(state=State.FAILED, cause=failure.cause, message=failure.message, traceback=worker_exit.log_tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """When a worker is replaced.

    Args:
        max_trials: Trials after which it is.
        memory_mib: Resident memory above which it is, once its trial has ended.
        trial_memory_mib: Resident memory above which it is killed, and its trial failed; None for no bound.
        hang_seconds: Time without a sign of life after which it is killed, and its trial failed.
        cancel_grace_seconds: Time that a trial which must stop is given to do so at a step boundary, before its worker
            is
            killed.
    """

    max_trials: int = 25
    memory_mib: float = 4096.0
    trial_memory_mib: float | None = None
    hang_seconds: float = 300.0
    cancel_grace_seconds: float = 20.0

    def recycle_threshold_mib(self, initial_mib: float) -> float:
        """Returns the memory above which a worker serves its last trial.

        Args:
            initial_mib: What it took before its first; of the room that this leaves below a trial's bound, what earlier
                trials left behind may take half, so that no trial is killed for them.
        """
        if self.trial_memory_mib is None:
            return self.memory_mib
        return min(self.memory_mib, (initial_mib + self.trial_memory_mib) / 2)

    def memory_kill_reason(self, used_mib: float, initial_mib: float) -> KillReason | None:
        """Returns why a worker that takes so much memory is killed, or None."""
        if self.trial_memory_mib is None or used_mib <= self.trial_memory_mib:
            return None
        message = (
            f"The worker took {used_mib / 1024:.2f} GiB of memory, {initial_mib / 1024:.2f} GiB of "
            "them before its first "
            f"trial; it may take {self.trial_memory_mib / 1024:.2f} GiB. Raise --trial-memory, or narrow the space "
            "with --range."
        )
        return KillReason(Cause.OUT_OF_MEMORY, message)


@dataclass(frozen=True, slots=True)
class KillReason:
    """Why a worker is killed, in short and in words."""

    cause: Cause
    message: str
