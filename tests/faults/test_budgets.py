"""Budgets that hold, with real processes and a stopwatch: the time, a trial's time and memory, a goal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from search.records.reader import read_study
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.trial import BASELINE, Cause, Phase, State

pytestmark = pytest.mark.slow
GRACE_SECONDS = 5.0
"""What a command may go beyond its time, reports and the process's end included."""
SMALL = ("--fix", "filters_1=8", "--fix", "dense_1=32", "--no-recipes")
LONG = 100_000
"""Epochs of a trial that ends only because something stops it."""


class Bench:
    """Runs commands of one study in a folder."""

    def __init__(self, folder: Path, dataset: Path, cache_dir: Path) -> None:
        self.folder = folder
        fixed = {
            "dataset": dataset,
            "cache-dir": cache_dir,
            "study": "bound",
            "seed": 0,
            "pruner": "none",
            "threads": 1,
        }
        options = [word for name, value in fixed.items() for word in (f"--{name}", str(value))]
        self.words = [sys.executable, "-m", "search", "run", *options, *SMALL]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts a command."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*self.words, *words], cwd=self.folder, text=True, **pipes)

    def run(self, *words: str) -> tuple[float, str, str]:
        """Runs a command to its end; returns the seconds it took, and what it printed and said."""
        began = time.monotonic()
        process = self.start(*words)
        printed, said = process.communicate(timeout=400)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        return time.monotonic() - began, printed, said

    @property
    def record(self) -> StudyRecord:
        """The study's record."""
        return read_study(StudyLocation(studies_dir=self.folder / "studies"), "bound")


@pytest.fixture
def bench(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Bench:
    return Bench(tmp_path, small_mnist, cache_dir)


def test_a_search_ends_at_its_time_and_keeps_its_curves(bench: Bench) -> None:
    took, _, _ = bench.run("--timeout", "20s", "--epochs", str(LONG))
    assert 20.0 <= took < 20.0 + GRACE_SECONDS
    record = bench.record
    assert [known.outcome.cause for known in record.trials] == [Cause.TIMEOUT] * len(record.trials)
    assert all(known.outcome.state is State.INTERRUPTED for known in record.trials)
    assert any(known.outcome.history for known in record.trials)
    assert (bench.folder / "reports/bound/leaderboard.md").exists()
    took, _, said = bench.run("--timeout", "20s", "--epochs", str(LONG))
    assert bench.record.trials == record.trials
    assert "the time budget is used up" in said
    assert "--timeout" in said


def test_a_time_over_before_any_worker_is_warm_holds_too(bench: Bench) -> None:
    took, _, _ = bench.run("--timeout", "2s")
    assert took < 2.0 + GRACE_SECONDS
    assert all(known.outcome.cause is Cause.TIMEOUT for known in bench.record.trials)


def test_verification_is_cut_at_the_time_said_so_and_finished_with_more(bench: Bench) -> None:
    common = ("--trials", "1", "--epochs", "8", "--replicates", "60")
    bench.run(*common, "--finalists", "0")
    (baseline,) = bench.record.trials
    timeout = int(bench.record.spent_seconds) + 20
    left = timeout - bench.record.spent_seconds
    took, printed, said = bench.run(*common, "--timeout", f"{timeout}s")
    assert left <= took < left + GRACE_SECONDS
    cut = bench.record
    ended = [known.outcome for known in cut.trials_in_phase(Phase.VERIFICATION)]
    complete = [outcome for outcome in ended if outcome.state is State.COMPLETE]
    assert complete, "some runs fit"
    assert {outcome.cause for outcome in ended if outcome not in complete} == {Cause.TIMEOUT}
    match = re.search(
        r"not suffice for verification: (\d+) of its runs are missing\. .* --timeout (\d+)s finishes", said
    )
    assert match is not None, said
    assert int(match[1]) == 60 - len(complete)
    assert int(match[2]) > timeout
    assert "baseline" in printed
    report = json.loads((bench.folder / "reports/bound/leaderboard.json").read_text())
    assert "test_error_percent" in json.dumps(report)
    bench.run(*common, "--timeout", f"{timeout}s")
    assert bench.record.trials == cut.trials, "the same time again runs nothing"
    _, _, said = bench.run(*common[:-1], str(len(complete) + 4), "--timeout", "20m")
    verified = [
        known for known in bench.record.trials_in_phase(Phase.VERIFICATION) if known.outcome.state is State.COMPLETE
    ]
    assert sorted(known.trial.replicate for known in verified) == list(range(len(complete) + 4))
    assert bench.record.trials_in_phase(Phase.SEARCH) == (baseline,)
    assert "missing" not in said


def test_a_search_leaves_time_for_its_verification_and_is_done_when_the_time_is_used(bench: Bench) -> None:
    words = ("--epochs", "4", "--replicates", "2", "--pruner", "asha", "--timeout")
    took, _, said = bench.run(*words, "45s")
    assert took < 45 + GRACE_SECONDS
    record = bench.record
    assert record.exhausted_seconds == 45.0
    verified = [known for known in record.trials_in_phase(Phase.VERIFICATION) if known.outcome.state is State.COMPLETE]
    # The estimate is the machine's of a moment ago: the time suffices, or what is missing is said.
    assert len(verified) == 4 or f"{4 - len(verified)} of its runs" in said
    assert len(verified) >= 1
    _, _, said = bench.run(*words, "45s")
    assert bench.record.trials == record.trials
    assert "Nothing left to do" in said or "finishes it" in said
    count = len(record.trials_in_phase(Phase.SEARCH)) + 1
    bench.run(*words, "5m", "--trials", str(count))
    assert len(bench.record.trials) > len(record.trials)


def test_workers_that_are_stopped_at_the_deadline_do_not_hold_it_up(bench: Bench) -> None:
    began = time.monotonic()
    session = bench.start("--timeout", "24s", "--epochs", str(LONG), "--workers", "2")
    stopped: list[psutil.Process] = []

    def stop() -> None:
        stopped.extend(psutil.Process(session.pid).children())
        for worker in stopped:
            worker.send_signal(signal.SIGSTOP)

    timer = threading.Timer(22.0, stop)
    timer.start()
    _, said = session.communicate(timeout=100)
    took = time.monotonic() - began
    timer.join()
    assert session.returncode == 0, said
    assert 24.0 <= took < 24.0 + GRACE_SECONDS
    assert len(stopped) == 2
    assert not any(worker.is_running() for worker in stopped)
    assert {known.outcome.cause for known in bench.record.trials} == {Cause.TIMEOUT}


def test_a_trial_s_time_fails_it_and_the_search_goes_on(bench: Bench) -> None:
    options = ("--epochs", "3000", "--workers", "1", "--finalists", "0")
    bench.run(*options, "--trials", "2", "--trial-timeout", "4s")
    record = bench.record
    assert [known.outcome.state for known in record.trials] == [State.FAILED] * 2
    assert {known.outcome.cause for known in record.trials} == {Cause.TRIAL_TIMEOUT}
    assert record.trials[0].trial.origin == BASELINE
    assert "4 s" in record.trials[0].outcome.message


def test_a_configuration_too_large_for_a_trial_s_memory_fails_alone(bench: Bench, tmp_path: Path) -> None:
    space = tmp_path / "wide.py"
    space.write_text(WIDE)
    bench.words = bench.words[: -len(SMALL)]
    options = ("--space", str(space), "--epochs", "1", "--replicates", "1", "--workers", "1")
    bench.run(*options, "--trials", "2", "--trial-memory", "1600MiB")
    baseline, wide = bench.record.trials_in_phase(Phase.SEARCH)
    assert (baseline.trial.origin, baseline.outcome.state) == (BASELINE, State.COMPLETE)
    assert wide.trial.origin == "recipe: wide"
    assert (wide.outcome.state, wide.outcome.cause) == (State.FAILED, Cause.OUT_OF_MEMORY)
    assert "1.56 GiB" in wide.outcome.message
    assert [known.outcome.state for known in bench.record.trials_in_phase(Phase.VERIFICATION)] == [State.COMPLETE]


def test_a_search_ends_at_its_goal_and_says_so(bench: Bench) -> None:
    options = ("--trials", "30", "--epochs", "2", "--replicates", "1", "--workers", "2", "--stop-when", "error<99")
    _, _, said = bench.run(*options)
    assert "until 30 trials or error<99" in said
    assert said.count("is below 99 %") == 2
    record = bench.record
    searched = record.trials_in_phase(Phase.SEARCH)
    assert sum(known.outcome.state is State.COMPLETE for known in searched) < 5
    assert {known.outcome.cause for known in searched if known.outcome.cause} <= {Cause.GOAL}
    assert record.trials_in_phase(Phase.VERIFICATION)
    _, _, said = bench.run(*options)
    assert bench.record.trials == record.trials
    assert "is below 99 %" in said


@pytest.mark.parametrize("stopped", [False, True])
def test_one_interrupt_ends_within_seconds_also_when_workers_do_not_heed(bench: Bench, stopped: bool) -> None:
    session = bench.start("--trials", "4", "--epochs", str(LONG), "--workers", "2", "--json")
    assert session.stdout is not None
    while json.loads(session.stdout.readline())["event"] != "reported":
        pass
    if stopped:
        for worker in psutil.Process(session.pid).children():
            worker.send_signal(signal.SIGSTOP)
    asked = time.monotonic()
    os.kill(session.pid, signal.SIGINT)
    session.communicate(timeout=60)
    assert time.monotonic() - asked < GRACE_SECONDS
    assert session.returncode == 130
    assert {known.outcome.cause for known in bench.record.trials} == {Cause.CANCELLED}


WIDE = """
from spaces import TRAINING, Int, Recipe, Space

def build(images, config, classes):
    import keras
    features = keras.layers.Flatten()(images)
    for _ in range(2):
        features = keras.layers.Dense(config["width"] * 8, activation="relu")(features)
    return keras.layers.Dense(classes, activation="softmax")(features)

SPACE = Space(
    name="wide",
    parameters={"width": Int(1, 2048, 1), **TRAINING},
    recipes={"wide": Recipe(values={"width": 2048}, doc="Wide", source="this test")},
    build=build,
)
"""
"""A space whose recipe has 281 million parameters, 1.1 GB of weights, and as much again twice for Adam's moments."""
