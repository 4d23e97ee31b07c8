"""When a silent worker is killed: scripted workers on a clock of the test."""

from __future__ import annotations

import pytest

from search.execution import worker_state
from search.execution.messages import Request
from search.execution.worker_backend import Worker, WorkerExit
from search.execution.worker_state import KillReason, RunningTrial, WorkerLimits, WorkerState
from search.trial import Cause, Trial

LIMITS = WorkerLimits(hang_seconds=20.0, step_seconds=100.0)
TRIALS = [RunningTrial(Trial(number=0, config={}, seed=0, epochs=1))]


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class ComputingWorker(Worker):
    """Sends nothing, and has used as much of the CPU as the test says."""

    node = ""

    def __init__(self) -> None:
        self.used = 0.0

    def send(self, message: Request) -> None:
        pass

    def has_message(self) -> bool:
        return False

    def memory_mib(self) -> float:
        return 0.0

    def cpu_seconds(self) -> float:
        return self.used

    def kill(self) -> None:
        pass

    def reap(self) -> WorkerExit:
        return WorkerExit(cause=Cause.KILLED, message="")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(worker_state, "time", clock)
    return clock


def run(clock: Clock, worker: ComputingWorker, *, share: float, seconds: int, state: WorkerState) -> KillReason | None:
    """Lets time pass while the worker uses a share of a core; returns why it must be killed, and stops there."""
    for _ in range(5 * seconds):
        clock.now += 0.2
        worker.used += 0.2 * share
        if reason := state.unresponsive_reason(TRIALS, LIMITS, 1.0):
            return reason
    return None


def silent_worker(clock: Clock) -> tuple[ComputingWorker, WorkerState]:
    worker = ComputingWorker()
    state = WorkerState(worker, last_message=clock.now, last_active=clock.now, sampled_at=clock.now)
    return worker, state


@pytest.mark.parametrize("share", [0.014, 1.0, 16.0])
def test_a_long_step_keeps_its_worker(clock: Clock, share: float) -> None:
    worker, state = silent_worker(clock)
    assert run(clock, worker, share=share, seconds=90, state=state) is None


@pytest.mark.parametrize("share", [0.0, 0.002])
def test_a_worker_that_waits_is_killed_as_hung(clock: Clock, share: float) -> None:
    worker, state = silent_worker(clock)
    assert run(clock, worker, share=share, seconds=19, state=state) is None
    reason = run(clock, worker, share=share, seconds=3, state=state)
    assert reason is not None
    assert reason.cause is Cause.HUNG


def test_a_worker_that_stops_computing_is_killed_later(clock: Clock) -> None:
    worker, state = silent_worker(clock)
    assert run(clock, worker, share=1.0, seconds=50, state=state) is None
    assert run(clock, worker, share=0.0, seconds=18, state=state) is None
    reason = run(clock, worker, share=0.0, seconds=9, state=state)
    assert reason is not None
    assert reason.cause is Cause.HUNG


def test_a_step_that_never_ends_is_killed_and_not_retried(clock: Clock) -> None:
    worker, state = silent_worker(clock)
    assert run(clock, worker, share=1.0, seconds=99, state=state) is None
    reason = run(clock, worker, share=1.0, seconds=2, state=state)
    assert reason is not None
    assert reason.cause is Cause.TRIAL_TIMEOUT


def test_a_pause_of_the_machine_ends_no_trial(clock: Clock) -> None:
    worker, state = silent_worker(clock)
    for _ in range(3):
        assert run(clock, worker, share=1.0, seconds=20, state=state) is None
        clock.now += 1e4
    reason = run(clock, worker, share=1.0, seconds=40, state=state)
    assert reason is not None, "pauses add a little to the time of a step"
    assert reason.cause is Cause.TRIAL_TIMEOUT


def test_a_worker_that_waits_is_found_after_a_pause_too(clock: Clock) -> None:
    worker, state = silent_worker(clock)
    clock.now += 1e4
    assert run(clock, worker, share=0.0, seconds=19, state=state) is None
    reason = run(clock, worker, share=0.0, seconds=3, state=state)
    assert reason is not None
    assert reason.cause is Cause.HUNG


def test_a_long_wait_before_the_trial_does_not_hide_that_it_computes(clock: Clock) -> None:
    worker, state = silent_worker(clock)
    clock.now += 1e6
    state.record_message()
    assert run(clock, worker, share=1.0, seconds=90, state=state) is None
