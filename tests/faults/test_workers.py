"""Workers that die, hang and grow: real processes, real signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from executor_contract import drain, outcomes, trial

from search.errors import FatalError
from search.execution.base import Event, Finished, Reported
from search.execution.local import Limits, LocalExecutor
from search.protocol import EvaluationProtocol, Split
from search.training.data import prepare
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.trial import Cause, Phase, State

pytestmark = pytest.mark.slow
LONG = 10_000
"""Epochs of a trial that a test means to stop."""


@pytest.fixture
def task(small_mnist: Path, cache_dir: Path) -> Task:
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED)
    return Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))


@contextmanager
def executor(task: Task, folder: Path, **limits: float) -> Iterator[LocalExecutor]:
    """One worker with these limits; afterwards no process of it is left."""
    running = LocalExecutor(task, workers=1, log_dir=folder, limits=Limits(**limits))
    before = {child.pid for child in psutil.Process().children()}
    try:
        yield running
    finally:
        running.close()
    gone = [child for child in psutil.Process().children() if child.pid not in before]
    assert gone == []


def wait_for_report(running: LocalExecutor) -> None:
    """Returns once the trial has finished an epoch."""
    while not any(isinstance(event, Reported) for event in running.collect(1.0)):
        pass


def ending(events: list[Event]) -> Finished:
    """The event that ended the only trial."""
    assert isinstance(events[-1], Finished)
    return events[-1]


def pids(running: LocalExecutor) -> set[int]:
    """The worker processes."""
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


def test_a_killed_worker_costs_one_trial(task: Task, tmp_path: Path) -> None:
    with executor(task, tmp_path) as running:
        before = pids(running)
        running.submit(trial(0, epochs=LONG))
        (pid,) = pids(running) - before
        wait_for_report(running)
        os.kill(pid, signal.SIGKILL)
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.FAILED, Cause.KILLED)
        assert "signal 9" in outcome.message
        running.submit(trial(1))
        assert outcomes(drain(running)) == {1: State.COMPLETE}


def test_a_hung_worker_is_killed_and_named(task: Task, tmp_path: Path) -> None:
    with executor(task, tmp_path, hang_seconds=20.0) as running:
        before = pids(running)
        running.submit(trial(0, epochs=LONG))
        (pid,) = pids(running) - before
        wait_for_report(running)
        os.kill(pid, signal.SIGSTOP)
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.FAILED, Cause.HUNG)
        assert not psutil.pid_exists(pid)
        running.submit(trial(1))
        assert outcomes(drain(running)) == {1: State.COMPLETE}


def test_a_worker_that_does_not_heed_a_cancellation_is_killed(task: Task, tmp_path: Path) -> None:
    with executor(task, tmp_path, cancel_seconds=1.0) as running:
        before = pids(running)
        running.submit(trial(0, epochs=LONG))
        (pid,) = pids(running) - before
        wait_for_report(running)
        os.kill(pid, signal.SIGSTOP)
        running.cancel((Phase.SEARCH, 0), Cause.TIMEOUT)
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.INTERRUPTED, Cause.TIMEOUT)


def test_a_worker_is_replaced_after_its_share_of_trials(task: Task, tmp_path: Path) -> None:
    served: list[int] = []
    with executor(task, tmp_path, trials=2) as running:
        for number in range(5):
            running.submit(trial(number, epochs=1))
            served.append(ending(drain(running)).outcome.environment["pid"])
    assert served[0] == served[1] != served[2] == served[3] != served[4]


def test_a_worker_past_its_memory_is_replaced(task: Task, tmp_path: Path) -> None:
    served: list[int] = []
    with executor(task, tmp_path, memory_mib=0.0) as running:
        for number in range(3):
            running.submit(trial(number, epochs=1))
            served.append(ending(drain(running)).outcome.environment["pid"])
    assert len(set(served)) == 3


def test_a_worker_killed_while_it_warms_up_costs_nothing(task: Task, tmp_path: Path) -> None:
    with executor(task, tmp_path) as running:
        before = pids(running)
        running.submit(trial(0))
        (pid,) = pids(running) - before
        os.kill(pid, signal.SIGKILL)
        assert outcomes(drain(running)) == {0: State.COMPLETE}


def test_workers_that_can_never_start_end_the_study_with_their_words(task: Task, tmp_path: Path) -> None:
    broken = tmp_path / "space.py"
    broken.write_text("raise RuntimeError('nothing to build here')\n")
    import dataclasses

    with executor(dataclasses.replace(task, space_source=str(broken)), tmp_path) as running:
        running.submit(trial(0))
        with pytest.raises(FatalError, match="nothing to build here"):
            drain(running)


def test_workers_leave_when_their_coordinator_is_killed(task: Task, tmp_path: Path) -> None:
    import pickle
    import subprocess
    import sys

    code = (
        "import pickle, sys, time\n"
        "from pathlib import Path\n"
        "from search.execution.local import LocalExecutor\n"
        "task, trial, folder = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "running = LocalExecutor(task, workers=1, log_dir=Path(folder))\n"
        "running.submit(trial)\n"
        "while not running.collect(1.0): pass\n"
        "print('trains', flush=True)\n"
        "time.sleep(600)\n"
    )
    sent = pickle.dumps((task, trial(0, epochs=LONG), str(tmp_path))).hex()
    with subprocess.Popen([sys.executable, "-c", code, sent], stdout=subprocess.PIPE, text=True) as coordinator:
        assert coordinator.stdout is not None
        assert coordinator.stdout.readline() == "trains\n"
        (worker,) = psutil.Process(coordinator.pid).children()
        coordinator.kill()
    deadline = time.monotonic() + 20
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker outlived its coordinator"
        time.sleep(0.2)
