"""A whole search killed, stopped and taken up again: real processes, real signals, the same command each time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import psutil
import pytest
from waiting import so_far, wait_for_record
from worn import ended

from search.records.reader import read_study
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.locations import StudyLocation
from search.trial import BASELINE, Cause, Phase, State

pytestmark = pytest.mark.slow
TRIALS, FINALISTS, REPLICATES = 4, 1, 1
TWO_WORKERS = ("--workers", "2")


@pytest.fixture
def command(small_mnist: Path, cache_dir: Path) -> list[str]:
    """The command of the study, the same at every session."""
    options = {
        "space": "mlp",
        "dataset": small_mnist,
        "cache-dir": cache_dir,
        "study": "hardy",
        "seed": 0,
        "trials": TRIALS,
        "finalists": FINALISTS,
        "replicates": REPLICATES,
        "epochs": 12,
        "sampler": "tpe",
        "pruner": "none",
        "threads": 1,
        "workers": 1,  # each imports TensorFlow
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "search", "run", *words, "--fix", "width_1=64"]


def start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """Starts a session in a process group of its own."""
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(command: list[str], folder: Path) -> StudyRecord:
    """Runs the command to its end and returns the record."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return recorded(folder)


def recorded(folder: Path) -> StudyRecord:
    """The study's record."""
    return read_study(StudyLocation(studies_dir=folder / "studies"), "hardy")


def wait_until(session: subprocess.Popen[str], folder: Path, holds: Callable[[StudyRecord], bool]) -> None:
    """Returns once the record is so."""
    wait_for_record(StudyLocation(studies_dir=folder / "studies"), "hardy", holds, session)


def check_whole(record: StudyRecord, before: list[TrialRecord]) -> None:
    """Everything recorded before is there, nothing ran twice, and the study ended as it should."""
    now = {(known.trial.key): known for known in record.trials}
    assert all(now[known.trial.key] == known for known in before)
    searched = [known for known in ended(record) if known.trial.phase is Phase.SEARCH]
    assert len(searched) == TRIALS
    configs = [json.dumps(dict(known.trial.config)) for known in searched]
    assert len(set(configs)) == TRIALS
    assert [known.trial.origin for known in searched].count(BASELINE) == 1
    verified = [known for known in ended(record) if known.trial.phase is Phase.VERIFICATION]
    pairs = [(known.trial.source_trial, known.trial.replicate) for known in verified]
    assert len(set(pairs)) == len(pairs) >= (1 + FINALISTS) * REPLICATES  # baseline and recipe, begun early, too


def test_sigkill_of_the_coordinator_loses_nothing(command: list[str], tmp_path: Path) -> None:
    session = start([*command, *TWO_WORKERS], tmp_path)
    wait_until(session, tmp_path, lambda record: len(ended(record)) >= 2)
    os.kill(session.pid, signal.SIGKILL)
    session.communicate()
    before = ended(recorded(tmp_path))
    assert len(before) >= 2
    running = [known.trial for known in recorded(tmp_path).trials if known.outcome is None]
    record = finish(command, tmp_path)
    check_whole(record, before)
    for trial in running:
        orphan = next(known for known in record.trials if known.trial.key == trial.key)
        assert orphan.outcome.cause is Cause.COORDINATOR_DIED
        if trial.phase is Phase.SEARCH:
            again = [known for known in ended(record) if known.trial.config == trial.config]
            assert {known.trial.seed for known in again if known.trial.phase is Phase.SEARCH} == {trial.seed}


@pytest.mark.matrix
def test_sigkill_and_sigterm_at_six_random_moments(command: list[str], tmp_path: Path, moments: Random) -> None:
    before: list[TrialRecord] = []
    for number in [signal.SIGKILL, signal.SIGTERM] * 3:
        session = start([*command, *TWO_WORKERS], tmp_path)
        time.sleep(moments.uniform(1.0, 14.0))
        os.kill(session.pid, number)
        _, said = session.communicate(timeout=60)
        assert "Traceback" not in said
        assert session.returncode in (130, -number, 0)  # asked to stop; too early for that; already done
        if (record := so_far(StudyLocation(studies_dir=tmp_path / "studies"), "hardy")) is not None:
            now = ended(record)
            assert now[: len(before)] == before or set(map(str, before)) <= set(map(str, now))
            before = now
    check_whole(finish(command, tmp_path), before)


def test_a_worker_killed_in_a_search_costs_what_its_trial_had_not_saved(command: list[str], tmp_path: Path) -> None:
    session = start(command, tmp_path)  # one worker, which then runs the next trial, and none warms up
    wait_until(session, tmp_path, lambda record: len(ended(record)) >= 1)
    workers = [
        child for child in psutil.Process(session.pid).children() if "search.execution.worker_loop" in child.cmdline()
    ]
    os.kill(workers[0].pid, signal.SIGKILL)
    _, said = session.communicate(timeout=300)
    assert session.returncode == 0, said
    record = recorded(tmp_path)
    failed = [known for known in record.trials if known.outcome.state is State.FAILED]
    assert failed == []
    (lost,) = [known for known in record.trials if known.outcome.state is State.INTERRUPTED]
    assert lost.outcome.cause is Cause.KILLED
    again = [known for known in ended(record) if known.trial.phase is lost.trial.phase]
    same = [k for k in again if (k.trial.seed, k.trial.config) == (lost.trial.seed, lost.trial.config)]
    assert [known.outcome.state for known in same] == [State.COMPLETE]
    check_whole(record, [])


def test_one_interrupt_reports_and_leaves_a_study_that_resumes(command: list[str], tmp_path: Path) -> None:
    session = start(command, tmp_path)
    wait_until(
        session, tmp_path, lambda record: len(ended(record)) >= 1 and any(k.outcome is None for k in record.trials)
    )
    asked = time.monotonic()
    os.kill(session.pid, signal.SIGINT)  # the matrix sends SIGTERM
    printed, said = session.communicate(timeout=60)
    assert session.returncode == 130
    assert time.monotonic() - asked < 30
    assert "Traceback" not in said
    assert "run the same command again" in said
    assert "baseline" in printed
    assert (tmp_path / "reports/hardy/leaderboard.md").exists()
    stopped = recorded(tmp_path)
    assert all(known.outcome is not None for known in stopped.trials)
    check_whole(finish(command, tmp_path), ended(stopped))


def test_two_interrupts_stop_at_once(command: list[str], tmp_path: Path) -> None:
    session = start(command, tmp_path)
    wait_until(session, tmp_path, lambda record: len(ended(record)) >= 1)
    workers = psutil.Process(session.pid).children()
    for worker in workers:
        worker.suspend()  # so that they cannot heed the first
    os.kill(session.pid, signal.SIGINT)
    time.sleep(1.0)
    before = ended(recorded(tmp_path))
    asked = time.monotonic()
    os.kill(session.pid, signal.SIGINT)
    _, said = session.communicate(timeout=60)
    assert session.returncode == 130
    assert time.monotonic() - asked < 5
    assert "Traceback" not in said
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    check_whole(finish(command, tmp_path), before)


def test_two_sessions_of_one_study_are_refused(command: list[str], tmp_path: Path) -> None:
    session = start(command, tmp_path)
    wait_until(session, tmp_path, lambda record: len(record.trials) >= 1)
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert "another process" in second.stderr
    os.kill(session.pid, signal.SIGKILL)
    session.communicate()


def test_a_closed_standard_output_ends_quietly(command: list[str], tmp_path: Path) -> None:
    line = f"{' '.join(command)} --trials 1 --finalists 0 | head -1"
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
