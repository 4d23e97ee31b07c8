"""Keras Tuner's Hyperband for real: killed in the middle, it ends with the same brackets and trains nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from waiting import wait_for_record

from search.records.reader import read_study
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.locations import StudyLocation
from search.trial import BASELINE, Phase, State

EPOCHS, SWEEP, MORE = 9, 23, 5
ROUNDS = {(2, 0): 9, (2, 1): 3, (2, 2): 1, (1, 0): 5, (1, 1): 2, (0, 0): 3}
"""Trials by bracket and round in one sweep of nine epochs."""


@pytest.fixture
def command(small_mnist: Path, cache_dir: Path) -> list[str]:
    """The command of the study, the same at every session."""
    options = {
        "engine": "keras-tuner:hyperband",
        "space": "mlp",
        "dataset": small_mnist,
        "cache-dir": cache_dir,
        "study": "bands",
        "seed": 0,
        "trials": 1 + SWEEP + MORE,
        "finalists": 0,
        "epochs": EPOCHS,
        "threads": 1,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "search", "run", "--no-recipes", *words, "--fix", "width_1=64"]


def recorded(folder: Path) -> StudyRecord:
    return read_study(StudyLocation(studies_dir=folder / "studies"), "bands")


def settled(record: StudyRecord) -> list[TrialRecord]:
    """The search trials that came to their own end."""
    searched = record.trials_in_phase(Phase.SEARCH)
    return [known for known in searched if known.outcome and known.outcome.state is not State.INTERRUPTED]


def check_whole(record: StudyRecord) -> None:
    """One whole sweep in Keras Tuner's brackets, every epoch of every training trained once."""
    trials = settled(record)
    assert trials[0].trial.origin == BASELINE
    assert (trials[0].trial.target_epoch, trials[0].outcome.epochs_trained) == (None, EPOCHS)
    found = [known for known in trials if known.trial.origin != BASELINE]
    notes = [known.trial.engine_metadata for known in found if known.trial.engine_metadata["iteration"] == 0]
    assert Counter((one["bracket"], one["round"]) for one in notes) == ROUNDS
    by_number = {known.trial.number: known for known in record.trials_in_phase(Phase.SEARCH)}
    trained: Counter[tuple[int, int]] = Counter()
    for known in trials:
        reports = known.outcome.history
        assert [report.epoch for report in reports] == list(range(1, known.trial.last_epoch + 1))
        trained.update((known.trial.seed, report.epoch) for report in reports if not report.restored)
        if known.trial.parent is not None:
            parent = by_number[known.trial.parent]
            before = parent.trial.last_epoch
            assert known.trial.engine_metadata["initial_epoch"] == before
            assert (known.trial.config, known.trial.seed) == (parent.trial.config, parent.trial.seed)
            assert all(report.restored for report in reports[:before]), "it went on, and did not begin anew"
            assert [r.error_percent for r in reports[:before]] == [r.error_percent for r in parent.outcome.history]
    assert max(trained.values()) == 1, "nothing is trained twice"


@pytest.mark.matrix
def test_sigkill_in_the_middle_of_hyperband_changes_nothing(
    command: list[str], tmp_path: Path, moments: Random
) -> None:
    place = StudyLocation(studies_dir=tmp_path / "studies")
    for ended in (6, 14, 20):  # in the first round, between rounds, in the second bracket
        session = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for_record(place, "bands", lambda record, ended=ended: len(settled(record)) >= ended, session)
        time.sleep(moments.uniform(0.0, 1.0))
        os.kill(session.pid, signal.SIGKILL)
        session.communicate()
    before = settled(recorded(tmp_path))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    record = recorded(tmp_path)
    assert len(settled(record)) == 1 + SWEEP + MORE
    assert [known for known in settled(record) if known.trial.number <= before[-1].trial.number] == before
    check_whole(record)
    shown = subprocess.run(
        [sys.executable, "-m", "search", "leaderboard", "--format", "details"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(name in shown for name in ("iteration", "bracket", "round", "initial", "epochs"))
    waiting = {known.trial.training_key for known in settled(record) if known.outcome.state is State.PAUSED}
    kept = {path.stem.partition("-")[0] for path in (tmp_path / "studies/bands/checkpoints").glob("*.npz")}
    assert kept <= waiting, "only what may go on is kept"
    over = {k.trial.training_key for k in settled(record) if k.trial.engine_metadata.get("iteration") == 0}
    assert not kept & over, "and nothing of a bracket that is over"
