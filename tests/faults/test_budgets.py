"""Deadlines of real commands: ``--timeout``, ``--trial-timeout`` and Ctrl-C, measured with a stopwatch.

``tests/study/test_time_budget.py`` tests their logic on a virtual clock. Run alone: other load delays the commands.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from waiting import wait_for_record

from search.records.reader import read_study
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.locations import StudyLocation
from search.study.verification import verification_trials
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
            "sampler": "tpe",
            "pruner": "none",
            "threads": 1,
        }
        options = [word for name, value in fixed.items() for word in (f"--{name}", str(value))]
        self.words = [sys.executable, "-m", "search", "run", *options, *SMALL]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts a command."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*self.words, *words], cwd=self.folder, text=True, **pipes)

    def run(self, *words: str, code: int = 0) -> tuple[float, str, str]:
        """Runs a command to its end; returns the seconds it took, and what it printed and said."""
        began = time.monotonic()
        process = self.start(*words)
        printed, said = process.communicate(timeout=400)
        assert process.returncode == code, said
        assert "Traceback" not in said
        return time.monotonic() - began, printed, said

    @property
    def place(self) -> StudyLocation:
        """Where the study is kept."""
        return StudyLocation(studies_dir=self.folder / "studies")

    @property
    def record(self) -> StudyRecord:
        """The study's record."""
        return read_study(self.place, "bound")


def unfinished(record: StudyRecord) -> list[TrialRecord]:
    """The trials that run."""
    return [known for known in record.trials if known.outcome is None]


@pytest.fixture
def bench(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Bench:
    return Bench(tmp_path, small_mnist, cache_dir)


def test_a_time_over_before_any_worker_is_warm_holds_too(bench: Bench) -> None:
    took, _, _ = bench.run("--timeout", "2s")
    assert took < 2.0 + GRACE_SECONDS
    assert all(known.outcome.cause is Cause.TIMEOUT for known in bench.record.trials)


def test_a_search_leaves_time_for_its_verification_and_is_done_when_the_time_is_used(bench: Bench) -> None:
    words = ("--epochs", "4", "--finalists", "1", "--replicates", "2", "--pruner", "asha", "--timeout")
    took, _, said = bench.run(*words, "45s")
    assert took < 45 + GRACE_SECONDS
    record = bench.record
    assert record.exhausted_seconds == 45.0
    assert (bench.folder / "reports/bound/leaderboard.md").exists()
    verified = [known for known in record.trials_in_phase(Phase.VERIFICATION) if known.outcome.state is State.COMPLETE]
    assert verified
    # The estimate may be too low on a busy machine; then the message names the missing runs.
    missing = len(verification_trials(record, count=1, replicates=2))
    assert not missing or f"{missing} of its runs" in said
    _, _, said = bench.run(*words, "45s")
    assert bench.record.trials == record.trials
    assert "Nothing left to do" in said or "finishes it" in said


def test_a_trial_s_time_fails_it_and_the_search_goes_on(bench: Bench) -> None:
    options = ("--epochs", "3000", "--workers", "1", "--finalists", "0")
    bench.run(*options, "--trials", "2", "--trial-timeout", "4s", code=1)  # none was trained
    record = bench.record
    assert [known.outcome.state for known in record.trials] == [State.FAILED] * 2
    assert {known.outcome.cause for known in record.trials} == {Cause.TRIAL_TIMEOUT}
    assert record.trials[0].trial.origin == BASELINE
    assert "4 s" in record.trials[0].outcome.message


@pytest.mark.parametrize("stopped", [False, True], ids=["workers respond", "workers are stopped"])
def test_one_interrupt_ends_within_seconds(bench: Bench, stopped: bool) -> None:
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


def test_workers_that_are_stopped_at_the_deadline_do_not_delay_it(bench: Bench) -> None:
    began = time.monotonic()
    session = bench.start("--timeout", "40s", "--epochs", "60", "--workers", "2", "--finalists", "0")
    wait_for_record(bench.place, "bound", lambda record: len(unfinished(record)) == 2, session)
    stopped = psutil.Process(session.pid).children()
    for worker in stopped:
        worker.send_signal(signal.SIGSTOP)
    _, said = session.communicate(timeout=100)
    took = time.monotonic() - began
    assert session.returncode == 0, said
    assert 40.0 <= took < 40.0 + GRACE_SECONDS
    assert len(stopped) == 2
    assert not any(worker.is_running() for worker in stopped)
    assert unfinished(bench.record) == []
    causes = [known.outcome.cause for known in bench.record.trials if known.state is State.INTERRUPTED]
    assert causes == [Cause.TIMEOUT] * 2


def test_verification_is_cut_at_the_deadline_and_the_missing_runs_are_reported(bench: Bench) -> None:
    common = ("--trials", "1", "--epochs", "8", "--replicates", "60")
    bench.run(*common, "--finalists", "0")
    timeout = int(bench.record.spent_seconds) + 20
    left = timeout - bench.record.spent_seconds
    took, printed, said = bench.run(*common, "--timeout", f"{timeout}s")
    assert left / 2 < took < left + GRACE_SECONDS  # no run is begun that cannot end
    outcomes = [known.outcome for known in bench.record.trials_in_phase(Phase.VERIFICATION)]
    complete = [outcome for outcome in outcomes if outcome.state is State.COMPLETE]
    assert complete, "some runs fit"
    assert {outcome.cause for outcome in outcomes if outcome not in complete} <= {Cause.TIMEOUT}
    assert f"{60 - len(complete)} of" in said
    (sufficient,) = re.findall(r"--timeout (\d+)s", said)
    assert int(sufficient) > timeout
    assert "baseline" in printed
