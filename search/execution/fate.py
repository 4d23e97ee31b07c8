"""What is made of a worker's death, whichever executor it worked for: an outcome of its trial, or the study's end."""

from __future__ import annotations

from search.errors import FatalError
from search.execution.limits import KillReason
from search.execution.staff import WorkerExit
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
