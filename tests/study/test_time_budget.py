"""Time budgets and goals over whole studies, on a virtual clock: where they end, what is left, and going on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import virtual_runs
from virtual_runs import Listener

from search.errors import UserError
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.leaderboard.compute import compute
from search.records.opening import open_ledger
from search.records.record import StudyRecord
from search.session.callbacks import Callback
from search.session.plan import Plan, make_plan
from search.session.session import open_session
from search.session.settings import from_mapping
from search.study.time_budget import (
    CLOSING_SECONDS,
    FINAL_GRACE_SECONDS,
    GRACE_SECONDS,
    InterruptHandler,
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


def play(plan: Plan, executor: VirtualExecutor | None = None) -> tuple[StudyRecord, Listener]:
    """Runs a plan on the virtual clock."""
    return virtual_runs.play(plan, executor or VirtualExecutor(course, slots=plan.settings.workers))


def states(record: StudyRecord, phase: Phase) -> list[State]:
    return [known.outcome.state for known in record.trials_in_phase(phase) if known.outcome]


def slower(factor: float, phase: Phase, first: int) -> Callable[[Trial], SimulatedTrial]:
    """The same course, but trials of a phase take longer from a number on."""

    def simulate(trial: Trial) -> SimulatedTrial:
        is_slow = trial.phase is phase and trial.number >= first
        return SimulatedTrial(
            epochs=tuple(
                replace(epoch, seconds=epoch.seconds * (factor if is_slow else 1.0)) for epoch in course(trial).epochs
            )
        )

    return simulate


def test_the_search_and_all_that_is_verified_end_in_time(plan: Callable[..., Plan]) -> None:
    record, session = play(plan(timeout=600.0))
    assert {known.state for known in record.trials} == {State.COMPLETE}, "nothing was begun that could not end"
    assert verification_trials(record, count=1, replicates=3) == []
    # What is left over is less than one trial on each worker, its margin and the time of the reports.
    assert 600.0 - 1.2 * EPOCHS * EPOCH_SECONDS - CLOSING_SECONDS <= session.budget.elapsed_seconds() <= 600.0
    assert session.budget.has_cut_session


def test_verification_is_cut_at_the_deadline_and_goes_on_with_a_larger_budget(plan: Callable[..., Plan]) -> None:
    # The runs after the search take far longer than those before, from which the time is predicted.
    executor = VirtualExecutor(slower(8.0, Phase.VERIFICATION, first=4), slots=2)
    record, session = play(plan(timeout=400.0, replicates=3), executor)
    assert 400.0 <= session.budget.elapsed_seconds() < 400.0 + 8 * EPOCH_SECONDS
    verified = states(record, Phase.VERIFICATION)
    assert State.COMPLETE in verified
    assert verified.count(State.INTERRUPTED) == 2
    missing, enough = session.state.incomplete_verification
    assert missing == len(verification_trials(record, count=1, replicates=3)) > 0
    assert enough > 400.0
    assert f"{missing} of its runs" in session.closing_message
    assert f"--timeout {enough}s" in session.closing_message
    assert any(row.test_error is not None for row in compute([record]).sections[0].rows)
    again, _ = play(plan(timeout=400.0, replicates=3))
    assert again.trials == record.trials, "the same budget again runs nothing"
    record, _ = play(plan(timeout=enough, replicates=3))
    assert verification_trials(record, count=1, replicates=3) == []


def test_a_search_trial_that_takes_longer_than_predicted_leaves_the_time_of_verification(
    plan: Callable[..., Plan],
) -> None:
    def simulate(trial: Trial) -> SimulatedTrial:
        seconds = 0.8 if trial.phase is Phase.SEARCH and trial.number >= 9 else 0.2
        error = 10.0 - min(trial.number, 8)
        return SimulatedTrial(epochs=(SimulatedEpoch(error_percent=error, seconds=seconds),) * trial.epochs)

    executor = VirtualExecutor(simulate, slots=2)
    record, session = play(plan(timeout=250.0, replicates=1, epochs=100), executor)
    cut = [known.outcome for known in record.trials if known.state is State.INTERRUPTED]
    assert {outcome.cause for outcome in cut} == {Cause.TIMEOUT}
    assert verification_trials(record, count=1, replicates=1) == []
    assert session.budget.elapsed_seconds() <= 400.0


def test_a_search_of_long_trials_ends_at_its_time_and_keeps_their_curves(plan: Callable[..., Plan]) -> None:
    options = {"timeout": 50.0, "epochs": 1000, "finalists": 0}
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
    late = VirtualExecutor(slower(20.0, Phase.SEARCH, first=0), slots=2)
    _, after = play(plan(timeout=60.0, study="over"), late)
    assert after.budget.is_exhausted
    assert after.budget.grace_seconds() == FINAL_GRACE_SECONDS


def test_a_search_ends_at_its_goal_and_is_verified_and_does_not_go_on(plan: Callable[..., Plan]) -> None:
    record, heard = play(plan(trials=50, stop_when="error<5.5"))
    assert "5.00 %, is below 5.5 %" in heard.reason
    assert heard.reason in heard.closing_message
    searched = record.trials_in_phase(Phase.SEARCH)
    assert [known.trial.number for known in searched if known.outcome.state is State.COMPLETE] == [0, 1, 2, 3, 4, 5]
    (interrupted,) = (known.outcome for known in searched if known.outcome.state is State.INTERRUPTED)
    assert interrupted.cause is Cause.GOAL
    assert set(states(record, Phase.VERIFICATION)) == {State.COMPLETE}
    assert verification_trials(record, count=1, replicates=3) == []
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
