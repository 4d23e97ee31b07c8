"""Callbacks: what a session reports while it runs.

``Callback`` ignores every event; the command line's displays and the logs of TensorBoard and MLflow override its
methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from search.records.record import StudyRecord
from search.session.parallelism.policy import WorkerLayout
from search.session.plan import Plan
from search.study import stopping
from search.study.interfaces import LoopCallback
from search.study.time_budget import TimeBudget
from search.trial import BASELINE, Cause, Outcome, Phase, Trial


class Callback(LoopCallback):
    """Receives the events of a session; override any of the methods.

    Order of calls::

        [on_probe_start] -> [on_message ...] -> on_session_start
            -> (on_trial_start | on_epoch_end | on_trial_end | on_tick) ... -> [on_space_exhausted | on_goal_reached]
            -> [on_replication_start -> (on_trial_start | ...) ...] -> [on_verification_incomplete] -> close
    """

    def on_probe_start(self, layouts: Sequence[WorkerLayout]) -> None:
        """A measurement begins: the throughput of these layouts, or the GPU memory of a worker if there are none."""

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """The session begins; the record holds the trials of earlier sessions."""

    def on_message(self, text: str) -> None:
        """A message for the user; may precede ``on_session_start``."""

    def on_space_exhausted(self) -> None:
        """Every configuration of the space was tried."""

    def on_goal_reached(self, reason: str) -> None:
        """The search reached a goal of ``--stop-when`` and ends."""

    def on_replication_start(self, count: int) -> None:
        """This many runs of chosen configurations follow: verification, or the baseline's repeats."""

    def on_verification_incomplete(self, missing: int, sufficient_timeout: int) -> None:
        """The time budget ended before verification did.

        Args:
            missing: Verification runs that are left.
            sufficient_timeout: Time budget in seconds with which the same command finishes them.
        """

    def close(self) -> None:
        """The session ended, also after an error; may precede ``on_session_start``."""


class CallbackList(Callback):
    """Passes every event to several callbacks, in their order.

    Args:
        callbacks: The callbacks.
    """

    def __init__(self, *callbacks: Callback) -> None:
        self._callbacks = callbacks

    def close(self) -> None:
        """Closes every callback, also if one raises an error."""
        with ExitStack() as stack:
            for callback in reversed(self._callbacks):
                stack.callback(callback.close)


def _add_forwarding_method(name: str) -> None:
    def forward(self: CallbackList, *arguments: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, name)(*arguments)

    setattr(CallbackList, name, forward)


for _name in dir(Callback):
    if _name.startswith("on_"):
        _add_forwarding_method(_name)


class StoppingCallback(Callback):
    """Checks after each trial whether a goal is reached.

    Args:
        goals: The texts of ``--stop-when``.
        record: The study's record; trials of earlier sessions count.
    """

    def __init__(self, goals: Sequence[str], record: StudyRecord) -> None:
        self._goals = [stopping.parse(text) for text in goals]
        searched = record.trials_in_phase(Phase.SEARCH)
        self._has_baseline = any(trial.trial.origin == BASELINE and trial.is_finished for trial in searched)
        self._header = record.header
        self._errors = stopping.final_errors(record)
        self.reason = stopping.reason(self._goals, self._errors)
        """The goal that was reached, in words, or None."""

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Checks the goals."""
        if outcome.is_final:
            self._has_baseline = self._has_baseline or trial.origin == BASELINE
            self._errors.append(stopping.complete_error(self._header, outcome))
            self.reason = self.reason or stopping.reason(self._goals, self._errors)

    on_trial_end_elsewhere = on_trial_end

    def stop_cause(self) -> Cause | None:
        """Returns the cause for which the search must end, or None; it trains at least the baseline first."""
        return Cause.GOAL if self.reason and self._has_baseline else None
