"""The contract of every executor; inherited by test classes that give an executor with two slots."""

from __future__ import annotations

import time

import pytest

from search.execution.base import Event, Executor, Finished, Reported
from search.trial import Cause, Phase, State, Trial
from spaces import registry

CONFIG = {**registry.load("cnn").baseline, "filters_1": 8, "dense_1": 32}
TIMEOUT_SECONDS = 300.0


def trial(number: int, *, epochs: int = 2, **config: object) -> Trial:
    """A small trial."""
    return Trial(number=number, config={**CONFIG, **config}, seed=number, epochs=epochs)


def drain(executor: Executor) -> list[Event]:
    """Collects until nothing runs."""
    events: list[Event] = []
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while executor.running:
        assert time.monotonic() < deadline, f"still running: {executor.running}"
        events += executor.collect(1.0)
    return events


def outcomes(events: list[Event]) -> dict[int, State]:
    """How each trial ended; fails if a trial ended twice."""
    ended = [event for event in events if isinstance(event, Finished)]
    assert len({event.key for event in ended}) == len(ended)
    return {event.key[1]: event.outcome.state for event in ended}


class ExecutorContract:
    """Inherit, and define the fixture ``executor``."""

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError

    def test_trials_run_side_by_side_and_end_once(self, executor: Executor) -> None:
        assert executor.slots == 2
        for number in range(2):
            executor.submit(trial(number))
        assert set(executor.running) == {(Phase.SEARCH, 0), (Phase.SEARCH, 1)}
        assert outcomes(drain(executor)) == {0: State.COMPLETE, 1: State.COMPLETE}
        assert executor.running == {}

    def test_reports_come_in_order_and_before_the_end(self, executor: Executor) -> None:
        executor.submit(trial(0, epochs=3))
        events = drain(executor)
        reports = [event.report for event in events if isinstance(event, Reported)]
        assert [report.epoch for report in reports] == [1, 2, 3]
        assert isinstance(events[-1], Finished)
        assert events[-1].outcome.history == tuple(reports)

    def test_a_cancelled_trial_ends_as_interrupted(self, executor: Executor) -> None:
        executor.submit(trial(0, epochs=500))
        executor.submit(trial(1))
        while not any(isinstance(event, Reported) for event in executor.collect(1.0)):
            pass
        executor.cancel((Phase.SEARCH, 0), Cause.TIMEOUT)
        executor.cancel((Phase.SEARCH, 0), Cause.CANCELLED)
        events = drain(executor)
        assert outcomes(events) | {1: State.COMPLETE} == {0: State.INTERRUPTED, 1: State.COMPLETE}
        ended = next(event for event in events if isinstance(event, Finished) and event.key[1] == 0)
        assert ended.outcome.cause is Cause.TIMEOUT

    def test_a_slot_is_free_again_after_its_trial(self, executor: Executor) -> None:
        for number in range(3):
            executor.submit(trial(number, epochs=1))
            assert outcomes(drain(executor)) == {number: State.COMPLETE}

    def test_collect_returns_when_nothing_happens(self, executor: Executor) -> None:
        started = time.monotonic()
        assert executor.collect(0.1) == []
        assert time.monotonic() - started < TIMEOUT_SECONDS / 2

    def test_a_failing_trial_is_an_outcome(self, executor: Executor) -> None:
        executor.submit(trial(0, activation="no such thing"))
        events = drain(executor)
        assert outcomes(events) == {0: State.FAILED}
        assert events[-1].outcome.cause is Cause.INVALID
        executor.submit(trial(1, epochs=1))
        assert outcomes(drain(executor)) == {1: State.COMPLETE}
