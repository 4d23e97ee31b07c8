"""Progress: what a session tells whoever watches. Silent itself; the command line's displays fill it in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from search.execution.packing import Layout
from search.records.record import StudyRecord
from search.session.planning import Plan
from search.study.budget import Budget
from search.trial import EpochReport, Outcome, Trial


class Progress:
    """Hears what happens in a session; every method may be left as it is.

    Order of calls::

        [measuring] -> [note ...] -> opened -> (began | reported | finished | tick) ... -> [exhausted | reached]
            -> [replicating -> (began | ...) ...] -> [cut] -> close
    """

    def measuring(self, layouts: Sequence[Layout]) -> None:
        """How trials are packed onto this machine is measured now: these layouts, or where there are none, memory."""

    def opened(self, plan: Plan, record: StudyRecord, budget: Budget) -> None:
        """The session begins; the record holds what earlier sessions found."""

    def note(self, text: str) -> None:
        """Something that whoever watches should know, such as what a cluster lacks; may come before ``opened``."""

    def began(self, trial: Trial) -> None:
        """A trial was handed to the executor."""

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """A trial finished an epoch."""

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """A trial ended."""

    def heard(self, trial: Trial, outcome: Outcome) -> None:
        """A trial that another coordinator ran ended."""

    def waiting(self, count: int) -> None:
        """Nothing is left to begin; so many trials that other coordinators run are waited for."""

    def tick(self) -> None:
        """Some time passed."""

    def exhausted(self) -> None:
        """The space holds no configuration that was not tried."""

    def reached(self, reason: str) -> None:
        """The search has reached a goal, and ends."""

    def replicating(self, count: int) -> None:
        """So many runs of chosen configurations follow: verification, or the baseline's repeats."""

    def cut(self, missing: int, enough_seconds: int) -> None:
        """The time was over before verification was done.

        Args:
            missing: Verification runs that are left.
            enough_seconds: A time budget with which the same command finishes them.
        """

    def close(self) -> None:
        """The session is over, well or not; may be called before ``opened``."""


class Several(Progress):
    """Passes everything on to several listeners, in their order.

    Args:
        listeners: Who hears it.
    """

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def measuring(self, layouts: Sequence[Layout]) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.measuring(layouts)

    def opened(self, plan: Plan, record: StudyRecord, budget: Budget) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.opened(plan, record, budget)

    def note(self, text: str) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.note(text)

    def began(self, trial: Trial) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.began(trial)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.reported(trial, report)

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.finished(trial, outcome)

    def heard(self, trial: Trial, outcome: Outcome) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.heard(trial, outcome)

    def waiting(self, count: int) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.waiting(count)

    def tick(self) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.tick()

    def exhausted(self) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.exhausted()

    def reached(self, reason: str) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.reached(reason)

    def replicating(self, count: int) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.replicating(count)

    def cut(self, missing: int, enough_seconds: int) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.cut(missing, enough_seconds)

    def close(self) -> None:
        """Closes all of them, also where one cannot be closed."""
        with ExitStack() as stack:
            for listener in reversed(self._listeners):
                stack.callback(listener.close)
