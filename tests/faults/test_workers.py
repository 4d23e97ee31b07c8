"""Workers that die, hang and grow: real processes, real signals."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from executor_contract import drain, outcomes, trial

from search.data.dataset import prepare
from search.errors import FatalError
from search.execution.base import Event, Finished, Reported
from search.execution.local import local_executor
from search.execution.pool import PoolExecutor
from search.execution.worker_state import WorkerLimits
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.trial import Cause, Phase, State, Trial

pytestmark = pytest.mark.slow
LONG = 10_000
"""Epochs of a trial that the test stops."""
HUNGRY = """
import numpy as np
from spaces import TRAINING, Int, Space

def build(images, config, classes):
    import keras
    held = np.ones((config["mebibytes"], 2**17))
    assert held.sum() > 0
    return keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(images))

SPACE = Space(name="hungry", parameters={"mebibytes": Int(1, 4000, 1), **TRAINING}, build=build)
"""
"""A space whose parameter is the memory that its builder takes."""

SLOW = """
import time
from spaces import TRAINING, Choice, Space

SECONDS = 20

def compute():
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        sum(range(10**7))  # holds the interpreter lock

def build(images, config, classes):
    import keras
    import tensorflow as tf

    class SlowStep(keras.layers.Layer):
        def call(self, images, training=False):
            if not training:
                return images
            square = tf.fill((3000, 3000), tf.reduce_mean(images))
            product = lambda step, total: (step + 1, tf.reduce_mean(tf.matmul(square + 0.0 * total, square)))
            _, total = tf.while_loop(lambda step, _: step < 24, product, [0, 0.0])  # 15 s at 85 GFLOP/s
            return images + 0.0 * tf.stop_gradient(total)

    if config["slow"] == "waiting build":
        time.sleep(3600)
    if config["slow"] == "computing build":
        compute()
    images = SlowStep()(images) if config["slow"] == "step" else images
    return keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(images))

KINDS = ("none", "waiting build", "computing build", "step")
SPACE = Space(name="slow", parameters={"slow": Choice(KINDS, "none"), **TRAINING}, build=build)
"""
"""A space whose builder waits or computes for longer than the tests let a worker be silent, or whose steps compute."""


@pytest.fixture
def task(small_mnist: Path, cache_dir: Path) -> Task:
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED)
    return Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))


@contextmanager
def executor(
    task: Task, folder: Path, grace_seconds: Callable[[], float] | None = None, **limits: float
) -> Iterator[PoolExecutor]:
    """An executor of one worker with these limits; checks that no process is left at the end."""
    running = local_executor(
        task, workers=1, log_dir=folder, limits=WorkerLimits(**limits), grace_seconds=grace_seconds
    )
    before = {child.pid for child in psutil.Process().children()}
    try:
        yield running
    finally:
        running.close()
    gone = [child for child in psutil.Process().children() if child.pid not in before]
    assert gone == []


def wait_for_report(running: PoolExecutor) -> None:
    """Returns once the trial has finished an epoch."""
    while not any(isinstance(event, Reported) for event in running.collect(1.0)):
        pass


def ending(events: list[Event]) -> Finished:
    """The event that ended the only trial."""
    assert isinstance(events[-1], Finished)
    return events[-1]


def pids(running: PoolExecutor) -> set[int]:
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
    with executor(task, tmp_path, hang_seconds=12.0) as running:
        before = pids(running)
        running.submit(trial(0, epochs=LONG))
        (pid,) = pids(running) - before
        wait_for_report(running)
        os.kill(pid, signal.SIGSTOP)
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.FAILED, Cause.HUNG)
        assert not psutil.pid_exists(pid)


@pytest.fixture
def slow_task(task: Task, tmp_path: Path) -> Task:
    space = tmp_path / "slow.py"
    space.write_text(SLOW)
    return dataclasses.replace(task, space_source=str(space))


def slow_trial(number: int, slow: str) -> Trial:
    return Trial(number=number, config={"slow": slow, "batch_size": 1024}, seed=0, epochs=1)


@pytest.mark.parametrize("slow", ["computing build", "step"])
def test_a_worker_that_computes_for_longer_than_a_hung_one_may_is_kept(
    slow_task: Task, tmp_path: Path, slow: str
) -> None:
    with executor(slow_task, tmp_path, hang_seconds=12.0) as running:
        running.submit(slow_trial(0, slow))
        outcome = ending(drain(running)).outcome
        assert outcome.state is State.COMPLETE, f"{outcome.cause}: {outcome.message}"


def test_a_worker_that_waits_without_end_is_killed_and_the_next_trial_runs(slow_task: Task, tmp_path: Path) -> None:
    with executor(slow_task, tmp_path, hang_seconds=12.0) as running:
        running.submit(slow_trial(0, "waiting build"))
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.FAILED, Cause.HUNG)
        running.submit(slow_trial(1, "none"))
        assert outcomes(drain(running)) == {1: State.COMPLETE}


def test_a_worker_that_ignores_a_cancellation_is_killed(task: Task, tmp_path: Path) -> None:
    with executor(task, tmp_path, cancel_grace_seconds=1.0) as running:
        before = pids(running)
        running.submit(trial(0, epochs=LONG))
        (pid,) = pids(running) - before
        wait_for_report(running)
        os.kill(pid, signal.SIGSTOP)
        running.cancel((Phase.SEARCH, 0), Cause.TIMEOUT)
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.INTERRUPTED, Cause.TIMEOUT)


def test_a_trial_that_takes_too_long_has_failed_with_its_curve(task: Task, tmp_path: Path) -> None:
    limited = dataclasses.replace(task, trial_seconds=8.0)
    with executor(limited, tmp_path) as running:
        running.submit(trial(0, epochs=LONG))
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.FAILED, Cause.TRIAL_TIMEOUT)
        assert "8 s" in outcome.message
        assert outcome.history
        assert outcome.seconds["fit"] > 0
        pid = outcome.environment["pid"]
        running.submit(trial(1, epochs=1))
        assert ending(drain(running)).outcome.environment["pid"] == pid, "it stopped by itself and serves on"


def test_waiting_for_a_worker_does_not_count_as_a_trial_s_time(task: Task, tmp_path: Path) -> None:
    slow = tmp_path / "space.py"
    source = Path("spaces/cnn.py").resolve()
    slow.write_text(
        f"import importlib.util, time\nspec = importlib.util.spec_from_file_location('copied', {str(source)!r})\n"
        "copied = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(copied)\nSPACE = copied.SPACE\n"
        "time.sleep(20)\n"
    )
    limited = dataclasses.replace(task, trial_seconds=20.0, space_source=str(slow))
    with executor(limited, tmp_path, cancel_grace_seconds=1.0) as running:
        running.submit(trial(0, epochs=1))
        assert outcomes(drain(running)) == {0: State.COMPLETE}


def test_verification_is_not_bound_by_a_trial_s_time(task: Task, tmp_path: Path) -> None:
    limited = dataclasses.replace(task, trial_seconds=0.0)
    with executor(limited, tmp_path, cancel_grace_seconds=0.0) as running:
        verification = dataclasses.replace(trial(0, epochs=1), phase=Phase.VERIFICATION, source_trial=0, replicate=0)
        running.submit(verification)
        assert outcomes(drain(running)) == {0: State.COMPLETE}


def test_a_worker_that_ignores_its_trial_s_time_limit_is_killed(task: Task, tmp_path: Path) -> None:
    limited = dataclasses.replace(task, trial_seconds=15.0)
    with executor(limited, tmp_path, cancel_grace_seconds=1.0) as running:
        before = pids(running)
        running.submit(trial(0, epochs=LONG))
        (pid,) = pids(running) - before
        wait_for_report(running)
        os.kill(pid, signal.SIGSTOP)
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.FAILED, Cause.TRIAL_TIMEOUT)
        assert not psutil.pid_exists(pid)


def test_a_cancelled_trial_whose_worker_warms_up_ends_at_once(task: Task, tmp_path: Path) -> None:
    with executor(task, tmp_path, cancel_grace_seconds=60.0) as running:
        running.submit(trial(0))
        running.cancel((Phase.SEARCH, 0), Cause.TIMEOUT)
        asked = time.monotonic()
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.INTERRUPTED, Cause.TIMEOUT)
        assert time.monotonic() - asked < 3.0
        running.submit(trial(1, epochs=1))
        assert outcomes(drain(running)) == {1: State.COMPLETE}


def test_the_grace_period_can_end_while_a_cancelled_trial_is_waited_for(task: Task, tmp_path: Path) -> None:
    grace = [600.0]
    with executor(task, tmp_path, grace_seconds=lambda: grace[0]) as running:
        before = pids(running)
        running.submit(trial(0, epochs=LONG))
        (pid,) = pids(running) - before
        wait_for_report(running)
        os.kill(pid, signal.SIGSTOP)
        running.cancel((Phase.SEARCH, 0), Cause.TIMEOUT)
        assert not any(isinstance(event, Finished) for _ in range(5) for event in running.collect(0.5))
        grace[0] = 0.0
        assert ending(drain(running)).outcome.state is State.INTERRUPTED


def test_a_trial_that_takes_too_much_memory_is_killed_and_the_next_one_runs(task: Task, tmp_path: Path) -> None:
    with executor(task, tmp_path, trial_memory_mib=1600.0) as running:
        running.submit(trial(0, epochs=1))
        assert outcomes(drain(running)) == {0: State.COMPLETE}
        hungry = tmp_path / "hungry.py"
        hungry.write_text(HUNGRY)
    with executor(
        dataclasses.replace(task, space_source=str(hungry)), tmp_path / "hungry", trial_memory_mib=1600.0
    ) as running:
        running.submit(Trial(number=0, config={"mebibytes": 4000}, seed=0, epochs=1))
        outcome = ending(drain(running)).outcome
        assert (outcome.state, outcome.cause) == (State.FAILED, Cause.OUT_OF_MEMORY)
        assert "1.56 GiB" in outcome.message
        assert "--trial-memory" in outcome.message
        running.submit(Trial(number=1, config={"mebibytes": 1}, seed=0, epochs=1))
        assert outcomes(drain(running)) == {1: State.COMPLETE}


def test_what_earlier_trials_left_behind_may_take_half_of_a_trial_s_room() -> None:
    assert WorkerLimits(memory_mib=4096.0).recycle_threshold_mib(700.0) == 4096.0
    assert WorkerLimits(memory_mib=4096.0, trial_memory_mib=1500.0).recycle_threshold_mib(700.0) == 1100.0
    assert WorkerLimits(memory_mib=4096.0, trial_memory_mib=16000.0).recycle_threshold_mib(700.0) == 4096.0


def test_a_worker_is_replaced_after_its_share_of_trials(task: Task, tmp_path: Path) -> None:
    served: list[int] = []
    with executor(task, tmp_path, max_trials=2) as running:
        for number in range(3):
            running.submit(trial(number, epochs=1))
            served.append(ending(drain(running)).outcome.environment["pid"])
    assert served[0] == served[1] != served[2]


def test_a_worker_past_its_memory_is_replaced(task: Task, tmp_path: Path) -> None:
    served: list[int] = []
    with executor(task, tmp_path, memory_mib=0.0) as running:
        for number in range(2):
            running.submit(trial(number, epochs=1))
            served.append(ending(drain(running)).outcome.environment["pid"])
    assert len(set(served)) == 2


def test_a_worker_killed_while_it_warms_up_costs_nothing(task: Task, tmp_path: Path) -> None:
    with executor(task, tmp_path) as running:
        before = pids(running)
        running.submit(trial(0))
        (pid,) = pids(running) - before
        os.kill(pid, signal.SIGKILL)
        assert outcomes(drain(running)) == {0: State.COMPLETE}


def test_workers_that_never_start_end_the_study_with_their_error(task: Task, tmp_path: Path) -> None:
    broken = tmp_path / "space.py"
    broken.write_text("raise RuntimeError('nothing to build here')\n")
    with executor(dataclasses.replace(task, space_source=str(broken)), tmp_path) as running:
        running.submit(trial(0))
        with pytest.raises(FatalError, match="nothing to build here"):
            drain(running)


def test_workers_end_when_their_coordinator_is_killed(task: Task, tmp_path: Path) -> None:
    import pickle
    import subprocess
    import sys

    code = (
        "import pickle, sys, time\n"
        "from pathlib import Path\n"
        "from search.execution.local import local_executor\n"
        "task, trial, folder = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "running = local_executor(task, workers=1, log_dir=Path(folder))\n"
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
