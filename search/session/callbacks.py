"""Progress: what a session tells whoever watches. Silent itself; the command line's displays fill it in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from search.records.record import StudyRecord
from search.session.parallelism.policy import WorkerLayout
from search.session.plan import Plan
from search.study.time_budget import TimeBudget
from search.trial import EpochReport, Outcome, Trial


class Callback:
    """Hears what happens in a session; every method may be left as it is.

    Order of calls::

        [measuring] -> [note ...] -> opened -> (began | reported | finished | tick) ... -> [exhausted | reached]
            -> [replicating -> (began | ...) ...] -> [cut] -> close
    """

    def on_probe_start(self, layouts: Sequence[WorkerLayout]) -> None:
        """How trials are packed onto this machine is measured now: these layouts, or where there are none, memory."""

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """The session begins; the record holds what earlier sessions found."""

    def on_message(self, text: str) -> None:
        """Something that whoever watches should know, such as what a cluster lacks; may come before ``opened``."""

    def on_trial_start(self, trial: Trial) -> None:
        """A trial was handed to the executor."""

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """A trial finished an epoch."""

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """A trial ended."""

    def on_trial_end_elsewhere(self, trial: Trial, outcome: Outcome) -> None:
        """A trial that another coordinator ran ended."""

    def on_waiting_for_peers(self, count: int) -> None:
        """Nothing is left to begin; so many trials that other coordinators run are waited for."""

    def on_tick(self) -> None:
        """Some time passed."""

    def on_space_exhausted(self) -> None:
        """The space holds no configuration that was not tried."""

    def on_goal_reached(self, reason: str) -> None:
        """The search has reached a goal, and ends."""

    def on_replication_start(self, count: int) -> None:
        """So many runs of chosen configurations follow: verification, or the baseline's repeats."""

    def on_verification_incomplete(self, missing: int, sufficient_timeout: int) -> None:
        """The time was over before verification was done.

        Args:
            missing: Verification runs that are left.
            sufficient_timeout: A time budget with which the same command finishes them.
        """

    def close(self) -> None:
        """The session is over, well or not; may be called before ``opened``."""


class CallbackList(Callback):
    """Passes everything on to several listeners, in their order.

    Args:
        callbacks: Who hears it.
    """

    def __init__(self, *callbacks: Callback) -> None:
        self._callbacks = callbacks

    def on_probe_start(self, layouts: Sequence[WorkerLayout]) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_probe_start(layouts)

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_session_start(plan, record, budget)

    def on_message(self, text: str) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_message(text)

    def on_trial_start(self, trial: Trial) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_trial_start(trial)

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_epoch_end(trial, report)

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_trial_end(trial, outcome)

    def on_trial_end_elsewhere(self, trial: Trial, outcome: Outcome) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_trial_end_elsewhere(trial, outcome)

    def on_waiting_for_peers(self, count: int) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_waiting_for_peers(count)

    def on_tick(self) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_tick()

    def on_space_exhausted(self) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_space_exhausted()

    def on_goal_reached(self, reason: str) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_goal_reached(reason)

    def on_replication_start(self, count: int) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_replication_start(count)

    def on_verification_incomplete(self, missing: int, sufficient_timeout: int) -> None:
        """Passes it on."""
        for listener in self._callbacks:
            listener.on_verification_incomplete(missing, sufficient_timeout)

    def close(self) -> None:
        """Closes all of them, also where one cannot be closed."""
        with ExitStack() as stack:
            for listener in reversed(self._callbacks):
                stack.callback(listener.close)
