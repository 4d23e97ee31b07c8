"""What is made of a worker's death, whichever executor it worked for: an outcome of its trial, or the study's end."""

from __future__ import annotations

from search.errors import FatalError
from search.execution.limits import Verdict
from search.execution.staff import Death
from search.trial import Cause, Outcome, State

MAX_STARTS = 3
"""How often a worker that dies before it is ready is started again."""


def check_start(death: Death, starts: int, verdict: Verdict | None) -> None:
    """Makes sure that a worker that died before it was ready may be started again.

    Args:
        death: How it ended.
        starts: How often it was started.
        verdict: Why it was killed here, if it was.

    Raises:
        FatalError: The next one would fare no better.
    """
    if death.cause is Cause.CRASHED or starts >= MAX_STARTS:
        raise FatalError(
            f"A worker could not start. {verdict.message if verdict else death.message}\n{death.words}".rstrip(),
            hint=f"Its whole output stands in {death.log}." if death.log else "",
        )


def outcome_of(death: Death, *, verdict: Verdict | None, cancelled: Cause | None) -> Outcome:
    """Returns what became of a trial whose worker died.

    Args:
        death: How the worker ended.
        verdict: Why it was killed here, if it was.
        cancelled: Why the trial had to stop, if it had: then its worker's death is no failure.
    """
    if cancelled is not None:
        return Outcome(state=State.INTERRUPTED, cause=cancelled, message=cancelled.value)
    why = verdict or Verdict(death.cause, death.message)
    return Outcome(state=State.FAILED, cause=why.cause, message=why.message, traceback=death.words)
