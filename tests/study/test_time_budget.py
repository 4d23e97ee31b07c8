"""Time budgets and goals over whole studies, on a virtual clock: where they end, what is left, and going on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest

from search.cli.progress_state import ProgressState
from search.errors import UserError
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.leaderboard.compute import compute
from search.records.opening import open_ledger
from search.records.record import StudyRecord
from search.session.callbacks import Callback
from search.session.parallelism.choose import choose_parallelism
from search.session.plan import Plan, make_plan
from search.session.run import run_plan
from search.session.session import open_session
from search.session.settings import from_mapping
from search.study.time_budget import (
    FINAL_GRACE_SECONDS,
    GRACE_SECONDS,
    RESERVE_MARGIN,
    WARM_UP_SECONDS,
    InterruptHandler,
    TimeBudget,
)
from search.study.verification import verification_trials
from search.trial import BASELINE, Cause, Outcome, Phase, State, Trial

EPOCHS, EPOCH_SECONDS = 5, 4.0


def course(trial: Trial) -> SimulatedTrial:
    """Twenty seconds a trial; errors fall with the trials, until the eighth."""
    error = 10.0 - min(trial.number, 8)
    return SimulatedTrial(
        epochs=tuple(SimulatedEpoch(error_percent=error, seconds=EPOCH_SECONDS) for _ in range(trial.epochs))
    )


@pytest.fixture
def plan(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Callable[..., Plan]:
    """Makes plans of one study."""

    def make(**options: object) -> Plan:
        where = {"dataset": small_mnist, "cache_dir": cache_dir, "studies_dir": tmp_path / "studies"}
        fixed = {"study": "timed", "seed": 1, "epochs": EPOCHS, "pruner": "none", "sampler": "random", "workers": 2}
        return make_plan(from_mapping({**where, **fixed, **options}))

    return make


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


def play(plan: Plan, executor: VirtualExecutor | None = None) -> tuple[StudyRecord, Listener]:
    """Runs a plan on the virtual clock; writes no reports."""
    executor, listener = executor or VirtualExecutor(course, slots=plan.settings.workers), Listener()
    with ExitStack() as stack:
        for name, value in (
            ("session.stopwatch", lambda started_at: lambda: executor.now),
            ("session.choose_parallelism", lambda plan, *_, **__: choose_parallelism(plan)),
            ("session.make_executor", lambda *_, **__: executor),
            ("publish.publish_study", lambda *_: []),
        ):
            stack.enter_context(patch(f"search.session.{name}", value))
        return run_plan(plan, listener).record, listener


def states(record: StudyRecord, phase: Phase) -> list[State]:
    return [known.outcome.state for known in record.trials_in_phase(phase) if known.outcome]


def test_the_search_ends_so_that_verification_fits(plan: Callable[..., Plan]) -> None:
    record, session = play(plan(timeout=600.0))
    verified = states(record, Phase.VERIFICATION)
    assert verified == [State.COMPLETE] * 6
    assert session.budget.elapsed_seconds() <= 600.0
    # Of the reserve no more is left over than its margin and the last epoch begun.
    each = EPOCHS * EPOCH_SECONDS * 6 / 5
    assert (
        session.budget.elapsed_seconds()
        >= 600.0 - RESERVE_MARGIN * (3 * each + each / 2) + 3 * EPOCHS * EPOCH_SECONDS - 10
    )
    causes = {
        known.outcome.cause
        for known in record.trials_in_phase(Phase.SEARCH)
        if known.outcome.state is State.INTERRUPTED
    }
    assert causes == {Cause.TIMEOUT}
    assert all(known.outcome.history for known in record.trials_in_phase(Phase.SEARCH)), "with their curves"


def test_verification_is_cut_at_the_deadline_and_goes_on_with_a_larger_budget(plan: Callable[..., Plan]) -> None:
    # Verification is slower than its estimate by far, so that it does not fit.
    def slow(trial: Trial) -> SimulatedTrial:
        factor = 1.0 if trial.phase is Phase.SEARCH else 2.6
        steps = (
            SimulatedEpoch(error_percent=step.error_percent, seconds=step.seconds * factor)
            for step in course(trial).epochs
        )
        return SimulatedTrial(epochs=tuple(steps))

    record, session = play(plan(timeout=400.0), VirtualExecutor(slow, slots=2))
    assert 400.0 <= session.budget.elapsed_seconds() < 400.0 + 5 * EPOCH_SECONDS
    verified = states(record, Phase.VERIFICATION)
    assert State.COMPLETE in verified
    assert verified.count(State.INTERRUPTED) == 2
    missing, enough = session.state.incomplete_verification
    assert missing == 6 - verified.count(State.COMPLETE)
    assert enough > 400.0
    assert f"{missing} of its runs" in session.closing_message
    assert f"--timeout {enough}s" in session.closing_message
    assert any(row.test_error is not None for row in compute([record]).sections[0].rows)
    again, _ = play(plan(timeout=400.0))
    assert again.trials == record.trials, "the same budget again runs nothing"
    searched = len(record.trials_in_phase(Phase.SEARCH))
    record, _ = play(plan(timeout=enough))
    assert len(record.trials_in_phase(Phase.SEARCH)) == searched, "what was added is for verification alone"
    assert states(record, Phase.VERIFICATION).count(State.COMPLETE) == 6
    assert verification_trials(record, count=1, replicates=3) == []


def test_a_search_of_long_trials_ends_at_its_time_and_keeps_their_curves(plan: Callable[..., Plan]) -> None:
    options = {"timeout": 50.0, "epochs": 1000}
    record, session = play(plan(**options))
    assert 50.0 <= session.budget.elapsed_seconds() <= 50.0 + EPOCH_SECONDS
    assert {known.outcome.cause for known in record.trials} == {Cause.TIMEOUT}
    assert {known.outcome.state for known in record.trials} == {State.INTERRUPTED}
    assert [len(known.outcome.history) >= 50.0 // EPOCH_SECONDS for known in record.trials] == [True, True]
    again, session = play(plan(**options))
    assert again.trials == record.trials
    assert "--timeout" in session.closing_message


def test_a_larger_time_continues_a_search_whose_time_was_used_up(plan: Callable[..., Plan]) -> None:
    first, session = play(plan(timeout=300.0))
    assert session.budget.has_cut_session
    assert first.exhausted_seconds == 300.0
    more, _ = play(plan(timeout=600.0))
    assert len(more.trials_in_phase(Phase.SEARCH)) > len(first.trials_in_phase(Phase.SEARCH))


def test_more_trials_go_on_under_the_same_time_where_the_time_was_not_used_up(plan: Callable[..., Plan]) -> None:
    first, session = play(plan(trials=4, timeout=3600.0))
    assert not session.budget.has_cut_session
    more, _ = play(plan(trials=6, timeout=3600.0))
    assert (len(first.trials_in_phase(Phase.SEARCH)), len(more.trials_in_phase(Phase.SEARCH))) == (4, 6)


def test_a_budget_without_verification_does_not_cut_it(plan: Callable[..., Plan]) -> None:
    _, session = play(plan(timeout=100.0, finalists=0))
    assert session.budget.is_exhausted
    assert session.budget.search_stop_cause() is Cause.TIMEOUT
    assert session.budget.verification_stop_cause() is None


def test_the_grace_period_is_short_after_an_interrupt_and_after_the_deadline(plan: Callable[..., Plan]) -> None:
    interrupt = InterruptHandler()
    assert interrupt.grace_seconds() == GRACE_SECONDS
    interrupt.is_requested = True
    assert interrupt.grace_seconds() == FINAL_GRACE_SECONDS
    _, before = play(plan(trials=1, timeout=3600.0))
    assert before.budget.grace_seconds() == GRACE_SECONDS
    _, after = play(plan(timeout=60.0, study="over"))
    assert after.budget.is_exhausted
    assert after.budget.grace_seconds() == FINAL_GRACE_SECONDS


def test_verification_that_begins_a_session_waits_for_its_workers(plan: Callable[..., Plan]) -> None:
    play(plan(trials=2, finalists=0))
    for reserved in (True, False):  # all is verified the second time
        _, session = play(plan(trials=2, timeout=1e6, replicates=1))
        assert bool(session.budget.reserved_seconds()) is reserved
    _, session = play(plan(trials=2, timeout=1.0, replicates=4))
    estimate = session.budget.verification_seconds()
    assert session.budget.reserved_seconds() == RESERVE_MARGIN * estimate + WARM_UP_SECONDS


def test_a_search_ends_at_its_goal_and_is_verified_and_does_not_go_on(plan: Callable[..., Plan]) -> None:
    record, heard = play(plan(trials=50, stop_when="error<5.5"))
    assert "5.00 %, is below 5.5 %" in heard.reason
    assert heard.reason in heard.closing_message
    searched = record.trials_in_phase(Phase.SEARCH)
    assert [known.trial.number for known in searched if known.outcome.state is State.COMPLETE] == [0, 1, 2, 3, 4, 5]
    (interrupted,) = (known.outcome for known in searched if known.outcome.state is State.INTERRUPTED)
    assert interrupted.cause is Cause.GOAL
    assert states(record, Phase.VERIFICATION) == [State.COMPLETE] * 6
    again, heard_again = play(plan(trials=50, stop_when="error<5.5"))
    assert again.trials == record.trials
    assert heard_again.reason == heard.reason
    further, _ = play(plan(trials=8))
    assert len([known for known in further.trials_in_phase(Phase.SEARCH) if known.outcome.state is State.COMPLETE]) == 8


def test_a_search_ends_on_a_plateau(plan: Callable[..., Plan]) -> None:
    record, heard = play(plan(trials=100, workers=1, stop_when=["error<0.1", "plateau:6"]))
    assert "last 6 trials" in heard.reason
    assert len(record.trials_in_phase(Phase.SEARCH)) == 8 + 1 + 6  # trial 8 is the best


def test_no_goal_ends_a_search_before_its_baseline(plan: Callable[..., Plan]) -> None:
    def late(trial: Trial) -> SimulatedTrial:
        seconds = 30.0 if trial.origin == BASELINE else EPOCH_SECONDS
        error = 9.0 if trial.origin == BASELINE else 1.0
        return SimulatedTrial(
            epochs=tuple(SimulatedEpoch(error_percent=error, seconds=seconds) for _ in range(trial.epochs))
        )

    record, _ = play(plan(trials=50, stop_when="error<2"), VirtualExecutor(late, slots=2))
    assert record.trials[0].trial.origin == BASELINE
    assert record.trials[0].outcome.state is State.COMPLETE
    assert states(record, Phase.VERIFICATION) == [State.COMPLETE] * 6, "rows are compared with the baseline"


def test_a_study_is_not_gone_on_with_on_another_backend(plan: Callable[..., Plan]) -> None:
    made = plan(trials=2)
    with open_ledger(made.location, made.header) as ledger:
        ledger.begin(trial := Trial(number=0, config=made.header.space.baseline, seed=1, epochs=EPOCHS))
        ledger.finish(
            trial, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}, environment={"backend": "jax"})
        )
    with pytest.raises(UserError, match="recorded jax"), open_session(made, Callback()):
        pass
