"""The virtual executor keeps the contract, tells events in order of virtual time, and is fast with a thousand slots."""

from __future__ import annotations

import pytest
from executor_contract import ExecutorContract, drain, outcomes, trial
from makers import header

from search.execution.base import Event, Executor, Finished, Reported
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation
from search.study.loop import run_loop
from search.study.verification import ReplicateSource
from search.trial import Cause, EpochReport, Outcome, Phase, State, Trial
from spaces import registry


def judged(trial: Trial) -> SimulatedTrial:
    """What a real worker does with a trial of the cnn: it refuses what lies outside the space."""
    if problems := registry.load("cnn").problems(trial.config):
        return SimulatedTrial(epochs=(), failure_cause=Cause.INVALID, message="; ".join(problems))
    return SimulatedTrial(
        epochs=tuple(SimulatedEpoch(error_percent=10.0 / epoch, seconds=1.5) for epoch in range(1, trial.epochs + 1))
    )


class TestVirtual(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return VirtualExecutor(judged, slots=2)


def paced(trial: Trial) -> SimulatedTrial:
    """Epochs of 1 + (number modulo 7) seconds; every eleventh trial fails in its second epoch."""
    steps = tuple(
        SimulatedEpoch(error_percent=float(trial.number % 100), seconds=1.0 + trial.number % 7) for _ in range(3)
    )
    return (
        SimulatedTrial(epochs=steps[:1], failure_cause=Cause.NOT_FINITE)
        if trial.number % 11 == 10
        else SimulatedTrial(epochs=steps)
    )


def small(number: int, **changes: object) -> Trial:
    return Trial(**{"number": number, "config": {}, "seed": number, "epochs": 3, **changes})


def play(count: int, slots: int) -> tuple[list[Event], float]:
    executor, events, number = VirtualExecutor(paced, slots=slots), [], 0
    while number < count or executor.running:
        while number < count and len(executor.running) < slots:
            executor.submit(small(number))
            number += 1
        events += executor.collect(1.0)
    return events, executor.now


def test_a_thousand_slots_play_five_thousand_trials_the_same_way_each_time() -> None:
    events, now = play(5000, 1000)
    assert sum(isinstance(event, Finished) for event in events) == 5000
    failed = 5000 // 11 + (5000 % 11 == 10)
    assert sum(isinstance(event, Reported) for event in events) == (5000 - failed) * 3 + failed
    assert now > 0
    again, now_again = play(5000, 1000)
    assert (again, now_again) == (events, now)


def test_the_loop_and_a_ledger_in_memory_stand_a_thousand_slots(tmp_path) -> None:
    ended: list[Outcome] = []

    class Listener:
        def on_trial_start(self, trial: Trial) -> None: ...
        def on_epoch_end(self, trial: Trial, report: EpochReport) -> None: ...
        def on_tick(self) -> None: ...
        def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
            ended.append(outcome)

    executor = VirtualExecutor(paced, slots=1000)
    trials = [small(number, phase=Phase.VERIFICATION, replicate=number) for number in range(2000)]
    with FileLedger.in_memory(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        run_loop(
            ReplicateSource(trials),
            executor=executor,
            ledger=ledger,
            callback=Listener(),
            elapsed_seconds=lambda: executor.now,
        )
        recorded = ledger.read().trials_in_phase(Phase.VERIFICATION)
    assert len(recorded) == len(ended) == 2000
    assert [outcome.elapsed_seconds for outcome in ended] == sorted(outcome.elapsed_seconds for outcome in ended)
    assert list(tmp_path.iterdir()) == []


def test_events_come_in_order_of_time_and_at_one_instant_in_order_of_submission() -> None:
    seconds = {0: 5.0, 1: 2.0, 2: 2.0}
    executor = VirtualExecutor(
        lambda trial: SimulatedTrial(epochs=(SimulatedEpoch(error_percent=1.0, seconds=seconds[trial.number]),)),
        slots=3,
    )
    for number in (2, 0, 1):
        executor.submit(small(number, epochs=1))
    seen = []
    while executor.running:
        (event,) = executor.collect(1.0)
        seen.append((executor.now, event.key[1], type(event)))
    order = [(2.0, 2), (2.0, 1), (5.0, 0)]
    assert seen == [(now, number, kind) for now, number in order for kind in (Reported, Finished)]


def test_a_paused_trial_s_child_goes_on_and_pays_only_for_its_own_epochs() -> None:
    executor = VirtualExecutor(paced)
    executor.submit(small(0, target_epoch=2))
    events = drain(executor)
    assert outcomes(events) == {0: State.PAUSED}
    assert executor.now == 2.0
    executor.submit(small(7, parent=0))
    events = drain(executor)
    reports = [event.report for event in events if isinstance(event, Reported)]
    assert [(report.epoch, report.restored) for report in reports] == [(1, True), (2, True), (3, False)]
    assert executor.now == 3.0
    ended = events[-1].outcome
    assert (ended.state, ended.epochs_trained, ended.seconds["fit"]) == (State.COMPLETE, 1, 3.0)


def test_a_child_whose_parent_is_unknown_begins_anew() -> None:
    executor = VirtualExecutor(paced)
    executor.submit(small(7, parent=0))
    ended = drain(executor)[-1].outcome
    assert (ended.state, ended.epochs_trained) == (State.COMPLETE, 3)


def test_a_failure_comes_after_the_steps_before_it_and_not_before_a_pause() -> None:
    executor = VirtualExecutor(paced, slots=2)
    executor.submit(small(10))
    executor.submit(small(21, target_epoch=1))
    events = drain(executor)
    assert outcomes(events) == {10: State.FAILED, 21: State.PAUSED}
    failed = next(event.outcome for event in events if isinstance(event, Finished) and event.key[1] == 10)
    assert (failed.cause, len(failed.history)) == (Cause.NOT_FINITE, 1)


def test_a_cancelled_trial_ends_now_and_reports_no_more() -> None:
    executor = VirtualExecutor(paced, slots=2)
    executor.submit(small(6))
    executor.submit(small(0))
    assert executor.collect(1.0)[0].key[1] == 0
    executor.cancel((Phase.SEARCH, 6), Cause.TIMEOUT)
    (event,) = executor.collect(1.0)
    assert isinstance(event, Finished)
    assert (event.key[1], event.outcome.state, executor.now) == (6, State.INTERRUPTED, 1.0)


def test_trials_go_on_while_their_driver_works_and_are_heard_late() -> None:
    executor = VirtualExecutor(paced, slots=2)
    executor.submit(small(0))
    executor.advance(1.5)
    executor.submit(small(1))
    heard = []
    while executor.running:
        (event,) = executor.collect(1.0)
        heard.append((executor.now, event.key[1], type(event)))
        if len(heard) == 1:
            executor.advance(3.0)
    # Trial 0 was due at 1, 2 and 3 s, trial 1 at 3.5, 5.5 and 7.5 s.
    expected = [(1.5, 0), (4.5, 0), (4.5, 0), (4.5, 0), (4.5, 1), (5.5, 1), (7.5, 1), (7.5, 1)]
    assert [(now, number) for now, number, _ in heard] == expected
    assert [kind for _, _, kind in heard[3::4]] == [Finished, Finished]


def test_nothing_can_be_submitted_once_it_is_closed_or_full_or_without_a_course_to_the_end() -> None:
    executor = VirtualExecutor(paced)
    executor.submit(small(0))
    with pytest.raises(AssertionError, match="slots are taken"):
        executor.submit(small(1))
    executor.close()
    assert (executor.running, executor.collect(0.0)) == ({}, [])
    with pytest.raises(AssertionError, match="closed"):
        executor.submit(small(2))
    with pytest.raises(AssertionError, match="too early"):
        VirtualExecutor(paced).submit(small(0, epochs=4))


def test_a_real_trial_keeps_its_seconds() -> None:
    executor = VirtualExecutor(judged)
    executor.submit(trial(0))
    ended = drain(executor)[-1].outcome
    assert (ended.error_percent, ended.seconds, executor.now) == (5.0, {"fit": 3.0}, 3.0)
