"""Whole runs on a virtual clock: a plan is played with simulated trials, and writes no reports."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import patch

from search.cli.progress_state import ProgressState
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.leaderboard.files import WrittenFiles
from search.records.record import StudyRecord
from search.session.callbacks import Callback
from search.session.parallelism.choose import choose_parallelism
from search.session.plan import Plan
from search.session.run import run_plan
from search.study.cost import CostModel
from search.study.time_budget import TimeBudget
from search.trial import Trial


class Listener(Callback):
    """Keeps the budget, the goal and the closing message of a session."""

    reason = ""

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        self.budget, self.state = budget, ProgressState(plan, record, budget)

    def on_trial_start(self, trial: Trial) -> None:
        self.state.record_start(trial)

    def on_goal_reached(self, reason: str) -> None:
        self.reason = self.state.goal_reason = reason

    def on_verification_incomplete(self, missing: int, sufficient_timeout: int) -> None:
        self.state.incomplete_verification = (missing, sufficient_timeout)

    def close(self) -> None:
        self.closing_message = self.state.closing_message()


def play(plan: Plan, executor: VirtualExecutor) -> tuple[StudyRecord, Listener]:
    """Runs a plan on the executor's clock."""
    listener, started = Listener(), executor.now
    with ExitStack() as stack:
        for name, value in (
            ("session.stopwatch", lambda started_at: lambda: executor.now - started),
            ("session.choose_parallelism", lambda plan, *_, **__: replace(choose_parallelism(plan), start_seconds=0.0)),
            ("session.make_executor", lambda *_, **__: executor),
            ("publish.publish_study", lambda *_: WrittenFiles()),
        ):
            stack.enter_context(patch(f"search.session.{name}", value))
        return run_plan(plan, listener).record, listener


def predicted_course(
    plan: Plan, error: Callable[[Trial], float] = lambda trial: 5.0, *, factor: float = 1.0
) -> Callable[[Trial], SimulatedTrial]:
    """Trials that take what the shipped cost model predicts, times a factor.

    Args:
        plan: Of the trials.
        error: Error of a trial after each epoch, in percent.
        factor: How much slower the machine is.
    """
    costs = CostModel.for_data(plan.workload, plan.header.protocol, plan.task.dataset)

    def course(trial: Trial) -> SimulatedTrial:
        ends = [
            factor * costs.trial_seconds(trial.config, epochs=epochs, phase=trial.phase)
            for epochs in range(1, trial.epochs + 1)
        ]
        seconds = [ends[0], *(end - begin for begin, end in itertools.pairwise(ends))]
        return SimulatedTrial(
            epochs=tuple(SimulatedEpoch(error_percent=error(trial), seconds=each) for each in seconds)
        )

    return course
